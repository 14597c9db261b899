import Wording

/// The JSON header of a safetensors file, read as what it has to be and nothing else, in one pass without intermediate
/// values: a hostile header costs no more memory than its own text.
struct SafetensorsHeader {
  struct Entry {
    var name: String
    var type: ElementType
    var shape: [Int]
    /// In the data section; its length is what type and shape ask for.
    var range: Range<Int>
  }

  /// More than any model has; a header of millions of empty tensors is no model.
  static let maximumEntries = 100_000
  static let maximumDimensions = 16

  private(set) var metadata: [String: String] = [:]
  private(set) var entries: [Entry] = []

  private let text: ArraySlice<UInt8>
  private var position: Int
  private let file: String
  private let dataCount: Int

  /// - Parameter dataCount: bytes of the data section.
  init(_ text: ArraySlice<UInt8>, file: String, dataCount: Int) throws(InterchangeError) {
    self.text = text
    self.file = file
    self.dataCount = dataCount
    position = text.startIndex
    var names: Set<String> = []
    try object { (header, name) throws(InterchangeError) in
      guard names.insert(name).inserted else { throw header.fail("\(name.shortened()) stands there twice") }
      guard names.count <= Self.maximumEntries else { throw header.fail("more than \(Self.maximumEntries) tensors") }
      if name == "__metadata__" { try header.readMetadata() } else { try header.readEntry(name) }
    }
    skipBlanks()
    guard position == text.endIndex else { throw malformed("something follows the object") }
  }

  private mutating func readMetadata() throws(InterchangeError) {
    try object { (header, key) throws(InterchangeError) in
      header.skipBlanks()
      guard header.next == UInt8(ascii: "\"") else { throw header.fail("__metadata__ may hold text only") }
      let value = try header.string()
      guard header.metadata.updateValue(value, forKey: key) == nil, header.metadata.count <= Self.maximumEntries else {
        throw header.fail("__metadata__ has \(key.shortened()) twice, or too much besides")
      }
    }
  }

  private mutating func readEntry(_ name: String) throws(InterchangeError) {
    var (dtype, shape, offsets): (String?, [Int]?, [Int]?)
    try object { (header, key) throws(InterchangeError) in
      switch key {
      case "dtype" where dtype == nil: dtype = try header.string()
      case "shape" where shape == nil: shape = try header.integers(name)
      case "data_offsets" where offsets == nil: offsets = try header.integers(name)
      default:
        throw header.fail(
          "tensor \(name.shortened()): ‘\(key.shortened())’ is neither type nor offsets, or stands there twice")
      }
    }
    func fail(_ reason: String) -> InterchangeError {
      InterchangeError(file: file, "tensor \(name.shortened()): \(reason)")
    }
    guard let dtype, let shape, let offsets else { throw fail("has neither type nor offsets, or no shape") }
    guard let type = ElementType(rawValue: dtype) else {
      let known = ElementType.allCases.map(\.rawValue).joined(separator: ", ")
      throw fail("its type \(dtype.shortened()) is none of \(known)")
    }
    var byteCount = type.byteCount
    for dimension in shape {
      let (product, overflow) = byteCount.multipliedReportingOverflow(by: dimension)
      guard dimension >= 0, !overflow else { throw fail("its shape \(shape) is impossible") }
      byteCount = product
    }
    guard offsets.count == 2, offsets[0] >= 0, offsets[0] <= offsets[1], offsets[1] <= dataCount else {
      throw fail("its offsets \(offsets) do not lie within the \(dataCount) bytes of data")
    }
    guard offsets[1] - offsets[0] == byteCount else {
      throw fail("\(offsets[1] - offsets[0]) bytes do not hold \(dtype) × \(shape)")
    }
    entries.append(Entry(name: name, type: type, shape: shape, range: offsets[0]..<offsets[1]))
  }

  // MARK: - JSON

  private var next: UInt8? { position < text.endIndex ? text[position] : nil }

  private mutating func skipBlanks() {
    while let byte = next, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { position += 1 }
  }

  private mutating func take(_ character: Character) -> Bool {
    skipBlanks()
    guard next == character.asciiValue else { return false }
    position += 1
    return true
  }

  /// `{"key": value, …}`; `readValue` is called where a value begins.
  private mutating func object(
    _ readValue: (inout SafetensorsHeader, String) throws(InterchangeError) -> Void
  ) throws(InterchangeError) {
    guard take("{") else { throw malformed("an object is expected") }
    if take("}") { return }
    repeat {
      let key = try string()
      guard take(":") else { throw malformed("a colon is expected") }
      try readValue(&self, key)
    } while take(",")
    guard take("}") else { throw malformed("a comma or the object's end is expected") }
  }

  private mutating func integers(_ name: String) throws(InterchangeError) -> [Int] {
    guard take("[") else { throw malformed("a list of integers is expected") }
    var values: [Int] = []
    if take("]") { return values }
    repeat {
      skipBlanks()
      let digits = text[position...].prefix(20).prefix { $0 == UInt8(ascii: "-") || (0x30...0x39).contains($0) }
      guard let value = Int(String(decoding: digits, as: UTF8.self)) else { throw malformed("an integer is expected") }
      guard values.count < Self.maximumDimensions else {
        throw fail("tensor \(name.shortened()): more than \(Self.maximumDimensions) numbers in a list")
      }
      position += digits.count
      values.append(value)
    } while take(",")
    guard take("]") else { throw malformed("a comma or the list's end is expected") }
    return values
  }

  private mutating func string() throws(InterchangeError) -> String {
    guard take("\"") else { throw malformed("a string is expected") }
    var unescaped: [UInt8] = []
    var start = position
    while let byte = next, byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { throw malformed("a control character stands in a string") }
      position += 1
      guard byte == UInt8(ascii: "\\") else { continue }
      unescaped += text[start..<(position - 1)]
      unescaped += String(try escape()).utf8
      start = position
    }
    guard next != nil else { throw malformed("a string has no end") }
    defer { position += 1 }
    let rest = text[start..<position]
    let result =
      unescaped.isEmpty
      ? String(validating: rest, as: UTF8.self)
      : String(validating: unescaped + rest, as: UTF8.self)
    guard let result else { throw malformed("a string is not UTF-8") }
    return result
  }

  /// What stands for a backslash and what follows it.
  private mutating func escape() throws(InterchangeError) -> Unicode.Scalar {
    defer { position += 1 }
    switch next {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if (0xd800..<0xdc00).contains(code), text[(position + 1)...].starts(with: Array("\\u".utf8)) {
        position += 2
        let low = try hexadecimal()
        guard (0xdc00..<0xe000).contains(low) else { throw malformed("half a surrogate pair") }
        code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw malformed("half a surrogate pair") }
      return scalar
    default: throw malformed("an unknown escape")
    }
  }

  /// The four digits behind a `u`; the position stays on the last.
  private mutating func hexadecimal() throws(InterchangeError) -> UInt32 {
    let digits = text[(position + 1)...].prefix(4)
    guard digits.count == 4, digits.first != UInt8(ascii: "+"), digits.first != UInt8(ascii: "-"),
      let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw malformed("four hexadecimal digits are expected") }
    position += 4
    return code
  }

  private func malformed(_ reason: String) -> InterchangeError {
    fail("the header is not the JSON of a safetensors file (at byte \(position - text.startIndex): \(reason))")
  }

  private func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, reason) }
}
