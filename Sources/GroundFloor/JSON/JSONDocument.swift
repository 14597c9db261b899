import Bytes

/// JSON text with the places of its values: one flat list, each value followed by what is inside it.
///
/// Whatever it is given, it takes no more than a few times the text's memory, and refuses what is nested too deep.
struct JSONDocument {
  enum Kind: UInt8 { case null, `true`, `false`, number, string, array, object }

  struct Node {
    let kind: Kind
    /// Whether a string has escapes in it.
    var isEscaped = false
    /// Where the text of a number or a string is, quotes left out.
    let start: Int32
    var end: Int32
    /// The first value that is not inside this one. An object holds its keys (strings) and values in turn.
    var next: Int32
  }

  static let depthLimit = 64

  let bytes: [UInt8]
  let dialect: JSON.Dialect
  private(set) var nodes: [Node] = []

  private let nodeLimit: Int

  init(_ bytes: [UInt8], _ dialect: JSON.Dialect, nodeLimit: Int = .max) throws {
    self.bytes = bytes
    self.dialect = dialect
    self.nodeLimit = nodeLimit
    guard bytes.count < 1 << 30 else { throw JSONDocument.corrupted("over a gigabyte of it") }
    nodes.reserveCapacity(min(bytes.count / 8 + 1, 1 << 16))
    var at = 0
    try value(&at, depth: 0)
    skipSpace(&at)
    guard at == bytes.count else { throw JSONDocument.corrupted("something follows its end, at byte \(at)") }
  }

  static func corrupted(_ reason: String) -> DecodingError {
    .dataCorrupted(DecodingError.Context(codingPath: [], debugDescription: "not JSON: \(reason)"))
  }

  private func skipSpace(_ at: inout Int) {
    while at < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[at]) { at += 1 }
  }

  private mutating func value(_ at: inout Int, depth: Int) throws {
    skipSpace(&at)
    guard at < bytes.count else { throw JSONDocument.corrupted("it ends too early") }
    switch bytes[at] {
    case UInt8(ascii: "{"): try container(&at, depth, .object, UInt8(ascii: "}"))
    case UInt8(ascii: "["): try container(&at, depth, .array, UInt8(ascii: "]"))
    case UInt8(ascii: "\""): try string(&at)
    case UInt8(ascii: "t"): try word("true", .true, &at)
    case UInt8(ascii: "f"): try word("false", .false, &at)
    case UInt8(ascii: "n"): try word("null", .null, &at)
    default: try number(&at)
    }
  }

  private mutating func add(_ kind: Kind, _ start: Int, _ end: Int, isEscaped: Bool = false) throws {
    guard nodes.count < nodeLimit else { throw JSONDocument.corrupted("over \(nodeLimit) values") }
    nodes.append(
      Node(kind: kind, isEscaped: isEscaped, start: Int32(start), end: Int32(end), next: Int32(nodes.count + 1)))
  }

  private mutating func word(_ text: StaticString, _ kind: Kind, _ at: inout Int) throws {
    let count = text.utf8CodeUnitCount
    guard at + count <= bytes.count, bytes[at..<at + count].elementsEqual("\(text)".utf8) else {
      throw JSONDocument.corrupted("an unknown word at byte \(at)")
    }
    try add(kind, at, at + count)
    at += count
  }

  private mutating func number(_ at: inout Int) throws {
    let start = at
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
        UInt8(ascii: "e"), UInt8(ascii: "E"):
        at += 1
        continue
      default: break
      }
      break
    }
    guard at > start, at - start <= 400 else { throw JSONDocument.corrupted("no value at byte \(start)") }
    try add(.number, start, at)
  }

  private mutating func string(_ at: inout Int) throws {
    let start = at + 1
    var isEscaped = false
    at = start
    while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
      guard bytes[at] >= 0x20 else { throw JSONDocument.corrupted("a control character at byte \(at)") }
      if bytes[at] == UInt8(ascii: "\\") {
        isEscaped = true
        at += 1
      }
      at += 1
    }
    guard at < bytes.count else { throw JSONDocument.corrupted("a string without end at byte \(start)") }
    try add(.string, start, at, isEscaped: isEscaped)
    at += 1
  }

  private mutating func container(_ at: inout Int, _ depth: Int, _ kind: Kind, _ end: UInt8) throws {
    guard depth < Self.depthLimit else { throw JSONDocument.corrupted("nested over \(Self.depthLimit) deep") }
    let index = nodes.count
    try add(kind, at, at)
    at += 1
    skipSpace(&at)
    if at < bytes.count, bytes[at] == end {
      at += 1
    } else {
      while true {
        if kind == .object {
          skipSpace(&at)
          guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else {
            throw JSONDocument.corrupted("no key at byte \(at)")
          }
          try string(&at)
          skipSpace(&at)
          guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else {
            throw JSONDocument.corrupted("no colon at byte \(at)")
          }
          at += 1
        }
        try value(&at, depth: depth + 1)
        skipSpace(&at)
        guard at < bytes.count, bytes[at] == UInt8(ascii: ",") || bytes[at] == end else {
          throw JSONDocument.corrupted("no comma and no end at byte \(at)")
        }
        at += 1
        if bytes[at - 1] == end { break }
      }
    }
    nodes[index].end = Int32(at)
    nodes[index].next = Int32(nodes.count)
  }
}

// MARK: - Values

extension JSONDocument {
  /// The keys and positions that lead to a value.
  func path(to index: Int) -> [any CodingKey] {
    var path: [any CodingKey] = []
    var container = 0
    while container < index {
      let isObject = nodes[container].kind == .object
      var position = 0
      var member = container + 1
      // A key belongs to its value.
      func end() -> Int { Int(nodes[isObject ? member + 1 : member].next) }
      while end() <= index {
        member = end()
        position += 1
      }
      path.append(isObject ? Step((try? string(member)) ?? "?") : Step(position))
      container = isObject ? member + 1 : member
    }
    return path
  }

  private struct Step: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(_ name: String) { (stringValue, intValue) = (name, nil) }
    init(_ position: Int) { (stringValue, intValue) = ("\(position)", position) }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { self.init(intValue) }
  }

  /// The text of a string; nil when it is none.
  func string(_ index: Int) throws -> String? {
    let node = nodes[index]
    guard node.kind == .string else { return nil }
    let text = bytes[Int(node.start)..<Int(node.end)]
    guard let string = String(validating: node.isEscaped ? try unescaped(text) : Array(text), as: UTF8.self) else {
      throw JSONDocument.corrupted("a string that is not UTF-8 at byte \(node.start)")
    }
    return string
  }

  /// Whether the string at `index` is `text`; most keys are plain, and no string is made of them.
  func isString(_ index: Int, _ text: String) -> Bool {
    let node = nodes[index]
    if node.isEscaped { return (try? string(index)) == text }
    return bytes[Int(node.start)..<Int(node.end)].elementsEqual(text.utf8)
  }

  /// Whether the key at `index` is what a type declares as `name`.
  func isKey(_ index: Int, _ name: String) -> Bool {
    switch dialect {
    case .plain, .fleet: isString(index, name)
    case .snakeCase: (try? key(index)) == name
    }
  }

  /// The key at `index` as a type declares it.
  func key(_ index: Int) throws -> String {
    let text = try string(index) ?? ""
    guard dialect == .snakeCase else { return text }
    let words = text.split(separator: "_")
    return words.dropFirst().reduce(words.first.map(String.init) ?? text) {
      $0 + $1.prefix(1).uppercased() + $1.dropFirst()
    }
  }

  func integer<Value: FixedWidthInteger>(_ index: Int, _ type: Value.Type) -> Value? {
    let node = nodes[index]
    guard node.kind == .number else { return nil }
    var at = Int(node.start)
    let isNegative = bytes[at] == UInt8(ascii: "-")
    if isNegative { at += 1 }
    guard at < node.end else { return nil }
    var value: Value = 0
    while at < node.end {
      guard let digit = Value(exactly: bytes[at] &- UInt8(ascii: "0")), digit < 10 else { return nil }
      let (tens, isTooLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflows) = isNegative ? tens.subtractingReportingOverflow(digit) : tens.addingReportingOverflow(digit)
      guard !isTooLarge, !overflows else { return nil }
      value = sum
      at += 1
    }
    return value
  }

  func double(_ index: Int) -> Double? {
    let node = nodes[index]
    switch node.kind {
    case .number:
      let value = Double(String(decoding: bytes[Int(node.start)..<Int(node.end)], as: UTF8.self))
      return value?.isFinite == true ? value : nil
    case .string where dialect == .fleet: return figure(index)
    default: return nil
    }
  }

  private func figure(_ index: Int) -> Double? {
    if isString(index, "nan") { return .nan }
    if isString(index, "inf") { return .infinity }
    return isString(index, "-inf") ? -.infinity : nil
  }

  func bool(_ index: Int) -> Bool? {
    switch nodes[index].kind {
    case .true: true
    case .false: false
    default: nil
    }
  }

  private func unescaped(_ text: ArraySlice<UInt8>) throws -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var at = text.startIndex
    while at < text.endIndex {
      guard text[at] == UInt8(ascii: "\\") else {
        result.append(text[at])
        at += 1
        continue
      }
      at += 2
      guard at <= text.endIndex else { throw JSONDocument.corrupted("half an escape at byte \(at)") }
      switch text[at - 1] {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(text[at - 1])
      case UInt8(ascii: "b"): result.append(0x08)
      case UInt8(ascii: "f"): result.append(0x0C)
      case UInt8(ascii: "n"): result.append(0x0A)
      case UInt8(ascii: "r"): result.append(0x0D)
      case UInt8(ascii: "t"): result.append(0x09)
      case UInt8(ascii: "u"):
        var units = [try unit(text, &at)]
        if UTF16.isLeadSurrogate(units[0]), text[at...].starts(with: "\\u".utf8) {
          at += 2
          units.append(try unit(text, &at))
        }
        guard let string = String(validating: units, as: UTF16.self) else {
          throw JSONDocument.corrupted("half a character at byte \(at)")
        }
        result += Array(string.utf8)
      default: throw JSONDocument.corrupted("an unknown escape at byte \(at)")
      }
    }
    return result
  }

  private func unit(_ text: ArraySlice<UInt8>, _ at: inout Int) throws -> UInt16 {
    let digits = text[at...].prefix(4)
    guard let unit = UInt16(hexDigits: digits) else {
      throw JSONDocument.corrupted("an escape without four hex digits at byte \(at)")
    }
    at += 4
    return unit
  }
}
