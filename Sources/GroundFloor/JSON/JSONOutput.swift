import Bytes

/// The bytes written so far and the containers still open.
///
/// Nobody tells an encoder that a container is complete, but values arrive in order: whoever writes into a container
/// closes those inside it first.
final class JSONOutput {
  private(set) var bytes: [UInt8] = []
  private let style: Style
  /// The open containers, outermost first.
  private var open: [Container] = []

  /// How values are written.
  struct Style {
    enum Numbers {
      /// Whole numbers have a decimal point; numbers that are not finite are words, as the fleet reads them.
      case fleet
      /// Whole numbers have no decimal point, and all are finite.
      case forFiles
      /// Whole numbers have a decimal point; numbers that are not finite are null.
      case canonical
    }

    /// Whether the members of all objects are sorted, rather than those of dictionaries only.
    var isSorted = false
    var isInSnakeCase = false
    var numbers = Numbers.fleet
  }

  private struct Container {
    let end: UInt8
    /// The place behind the opening bracket.
    let start: Int
    /// The members of an object that is to be sorted, each from its name to the next comma or the end.
    var members: [(name: String, start: Int)] = []
  }

  init(_ style: Style) {
    self.style = style
    bytes.reserveCapacity(512)
  }

  /// - Returns: the new container's depth: how many are open with it.
  func begin(_ start: UInt8, _ end: UInt8) -> Int {
    bytes.append(start)
    open.append(Container(end: end, start: bytes.count))
    return open.count
  }

  func close(to depth: Int) {
    while open.count > depth {
      let container = open.removeLast()
      sort(container)
      bytes.append(container.end)
    }
  }

  private func sort(_ object: Container) {
    guard zip(object.members, object.members.dropFirst()).contains(where: { $0.name > $1.name }) else { return }
    let ends = object.members.dropFirst().map { $0.start - 1 } + [bytes.count]
    let members = zip(object.members, ends).sorted { $0.0.name < $1.0.name }.map { bytes[$0.0.start..<$0.1] }
    bytes.replaceSubrange(object.start..., with: Array(members.joined(separator: [UInt8(ascii: ",")])))
  }

  /// Gets ready for the next member of the container at `depth`.
  func separate(_ depth: Int) {
    close(to: depth)
    if bytes.count > open[depth - 1].start { bytes.append(UInt8(ascii: ",")) }
  }

  /// Writes the name of a member that a type declares.
  func key(_ name: String, _ depth: Int) {
    let name = style.isInSnakeCase ? snakeCase(name) : name
    separate(depth)
    if style.isSorted { open[depth - 1].members.append((name, bytes.count)) }
    member(name)
  }

  /// Writes a name of a dictionary's, after all that are less.
  func entry(_ name: String, _ depth: Int) {
    separate(depth)
    member(name)
  }

  private func member(_ name: String) {
    write(name)
    bytes.append(UInt8(ascii: ":"))
  }

  func write(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    if isPlain(text.utf8.span) {
      bytes.append(contentsOf: text.utf8)
    } else {
      for byte in text.utf8 { writeEscaped(byte) }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private func isPlain(_ text: Span<UInt8>) -> Bool {
    for index in text.indices {
      let byte = text[index]
      if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return false }
    }
    return true
  }

  private func writeEscaped(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
    case UInt8(ascii: "\n"): bytes += Array("\\n".utf8)
    case UInt8(ascii: "\r"): bytes += Array("\\r".utf8)
    case UInt8(ascii: "\t"): bytes += Array("\\t".utf8)
    case 0..<0x20: bytes += Array("\\u\(UInt16(byte).hexDigits)".utf8)
    default: bytes.append(byte)
    }
  }

  func write(_ value: some BinaryInteger) {
    guard value != 0 else { return bytes.append(UInt8(ascii: "0")) }
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    var rest = UInt64(value.magnitude)
    let first = bytes.count
    while rest > 0 {
      bytes.append(UInt8(ascii: "0") + UInt8(rest % 10))
      rest /= 10
    }
    bytes[first...].reverse()
  }

  func write(_ value: some BinaryFloatingPoint & CustomStringConvertible) throws {
    switch style.numbers {
    case _ where value.isFinite:
      let digits = value.description.utf8
      let isShortened = style.numbers == .forFiles && digits.suffix(2).elementsEqual(".0".utf8)
      bytes.append(contentsOf: isShortened ? digits.dropLast(2) : digits[...])
    case .fleet: write(value.isNaN ? "nan" : value > 0 ? "inf" : "-inf")
    case .canonical: writeNull()
    case .forFiles:
      throw EncodingError.invalidValue(value, .init(codingPath: [], debugDescription: "\(value) is not a JSON number"))
    }
  }

  func write(_ value: Bool) { bytes.append(contentsOf: (value ? "true" : "false").utf8) }
  func writeNull() { bytes.append(contentsOf: "null".utf8) }

  func write<Value: Encodable>(_ value: Value, depth: Int) throws {
    // Asked of the types: a cast of every value would cost more than writing it.
    if Value.self == PlainValue.self {
      try write(value as! PlainValue)
    } else if Value.self is any SortedMembers.Type {
      try (value as! any SortedMembers).write(to: self)
    } else {
      try value.encode(to: JSONEncoding(output: self, depth: depth))
    }
  }

  func write(_ value: PlainValue) throws {
    switch value {
    case .null: writeNull()
    case .bool(let value): write(value)
    case .int(let value): write(value)
    case .double(let value): try write(value)
    case .string(let value): write(value)
    case .object(let members): try members.write(to: self)
    case .array(let values):
      let depth = begin(UInt8(ascii: "["), UInt8(ascii: "]"))
      for value in values {
        separate(depth)
        try write(value)
      }
      close(to: depth - 1)
    }
  }
}

private func snakeCase(_ name: String) -> String {
  name.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
}

/// Dictionaries with text for keys. Their members are sorted, since a dictionary's order varies between runs, and their
/// names stay as they are.
private protocol SortedMembers {
  func write(to output: JSONOutput) throws
}

extension Dictionary: SortedMembers where Key == String, Value: Encodable {
  fileprivate func write(to output: JSONOutput) throws {
    let depth = output.begin(UInt8(ascii: "{"), UInt8(ascii: "}"))
    for (name, value) in sorted(by: { $0.key < $1.key }) {
      output.entry(name, depth)
      try output.write(value, depth: depth)
    }
    output.close(to: depth - 1)
  }
}

/// The encoder that a value is given: it leads the value's containers to the output.
struct JSONEncoding: Encoder {
  let output: JSONOutput
  let depth: Int
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    KeyedEncodingContainer(KeyedOutput<Key>(output))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer { UnkeyedOutput(output) }
  func singleValueContainer() -> any SingleValueEncodingContainer { SingleOutput(output: output, depth: depth) }
}

private struct KeyedOutput<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let output: JSONOutput
  let depth: Int
  var codingPath: [any CodingKey] { [] }

  init(_ output: JSONOutput) {
    self.output = output
    depth = output.begin(UInt8(ascii: "{"), UInt8(ascii: "}"))
  }

  private func at(_ key: Key) -> JSONOutput {
    output.key(key.stringValue, depth)
    return output
  }

  func encodeNil(forKey key: Key) { at(key).writeNull() }
  func encode(_ value: Bool, forKey key: Key) { at(key).write(value) }
  func encode(_ value: String, forKey key: Key) { at(key).write(value) }
  func encode(_ value: Double, forKey key: Key) throws { try at(key).write(value) }
  func encode(_ value: Int, forKey key: Key) { at(key).write(value) }
  func encode(_ value: Int64, forKey key: Key) { at(key).write(value) }
  func encode(_ value: UInt64, forKey key: Key) { at(key).write(value) }
  func encode(_ value: some Encodable, forKey key: Key) throws { try at(key).write(value, depth: depth) }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) -> KeyedEncodingContainer<Nested> { KeyedEncodingContainer(KeyedOutput<Nested>(at(key))) }

  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { UnkeyedOutput(at(key)) }
  func superEncoder() -> any Encoder { preconditionFailure("no class is encoded") }
  func superEncoder(forKey key: Key) -> any Encoder { superEncoder() }
}

private struct UnkeyedOutput: UnkeyedEncodingContainer {
  let output: JSONOutput
  let depth: Int
  var count = 0
  var codingPath: [any CodingKey] { [] }

  init(_ output: JSONOutput) {
    self.output = output
    depth = output.begin(UInt8(ascii: "["), UInt8(ascii: "]"))
  }

  private mutating func next() -> JSONOutput {
    output.separate(depth)
    count += 1
    return output
  }

  mutating func encodeNil() { next().writeNull() }
  mutating func encode(_ value: some Encodable) throws { try next().write(value, depth: depth) }

  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
    KeyedEncodingContainer(KeyedOutput<Nested>(next()))
  }

  mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { UnkeyedOutput(next()) }
  mutating func superEncoder() -> any Encoder { preconditionFailure("no class is encoded") }
}

private struct SingleOutput: SingleValueEncodingContainer {
  let output: JSONOutput
  let depth: Int
  var codingPath: [any CodingKey] { [] }

  func encodeNil() { output.writeNull() }
  func encode(_ value: Bool) { output.write(value) }
  func encode(_ value: String) { output.write(value) }
  func encode(_ value: Double) throws { try output.write(value) }
  func encode(_ value: Float) throws { try output.write(value) }
  func encode(_ value: some BinaryInteger & Encodable) { output.write(value) }
  func encode(_ value: some Encodable) throws { try output.write(value, depth: depth) }
}
