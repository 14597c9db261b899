import Foundation

/// The safetensors format: eight bytes of header length, a JSON header, then the tensors' bytes back to back.
///
/// Files come from anywhere, so nothing in one is believed: lengths are checked before anything is allocated, every
/// tensor must fill its byte range exactly, and together they must cover the data without gap or overlap, as the format
/// demands. What is written has the same bytes for the same content.
public enum Safetensors {
  /// The longest header read, as in the reference implementation.
  public static let maximumHeaderBytes = 100_000_000

  public static func read(_ path: String) throws(InterchangeError) -> SafetensorsFile {
    try decode(try readFile(path), file: path)
  }

  /// Replaces the file at `path` in one step: a reader sees the old bytes or the new ones.
  public static func write(_ content: SafetensorsFile, to path: String) throws(InterchangeError) {
    try writeFile(encode(content), to: path)
  }

  // MARK: - Reading

  /// - Parameter file: What to call the bytes in an error.
  public static func decode(_ bytes: [UInt8], file: String) throws(InterchangeError) -> SafetensorsFile {
    func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, reason) }
    guard bytes.count >= 8 else {
      throw fail("has \(bytes.count) bytes; a safetensors file starts with 8 bytes of length")
    }
    let headerCount = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[$1]) << UInt64(8 * $1) }
    guard headerCount <= UInt64(min(maximumHeaderBytes, bytes.count - 8)) else {
      throw fail(
        "announces a header of \(headerCount) bytes in a file of \(bytes.count); not a safetensors file, or cut short")
    }
    let dataStart = 8 + Int(headerCount)
    let header: [String: HeaderEntry]
    do {
      header = try JSONDecoder().decode([String: HeaderEntry].self, from: Data(bytes[8..<dataStart]))
    } catch {
      throw fail("the header is not the JSON of a safetensors file (\(describe(error)))")
    }

    var content = SafetensorsFile()
    var ranges: [(name: String, range: Range<Int>)] = []
    for (name, entry) in header {
      switch entry {
      case .metadata(let metadata):
        guard name == "__metadata__" else { throw fail("tensor \(name) has neither type nor offsets") }
        content.metadata = metadata
      case .tensor(let stored):
        guard name != "__metadata__" else { throw fail("__metadata__ may hold text only") }
        let range = try stored.range(name: name, file: file, dataCount: bytes.count - dataStart)
        ranges.append((name, range))
        content.tensors[name] = StoredTensor(
          type: ElementType(rawValue: stored.dtype)!,  // `range` has refused unknown types.
          shape: stored.shape, bytes: Array(bytes[(dataStart + range.lowerBound)..<(dataStart + range.upperBound)]))
      }
    }
    try checkCover(ranges, dataCount: bytes.count - dataStart, file: file)
    return content
  }

  private static func checkCover(
    _ ranges: [(name: String, range: Range<Int>)], dataCount: Int, file: String
  ) throws(InterchangeError) {
    var end = 0
    for (name, range) in ranges.sorted(by: {
      ($0.range.lowerBound, $0.range.upperBound, $0.name) < ($1.range.lowerBound, $1.range.upperBound, $1.name)
    }) {
      guard range.lowerBound == end else {
        throw InterchangeError(
          file: file,
          "tensor \(name) starts at byte \(range.lowerBound) of the data where \(end) is due: a gap or an overlap")
      }
      end = range.upperBound
    }
    guard end == dataCount else {
      throw InterchangeError(file: file, "holds \(dataCount) bytes of data, of which the header accounts for \(end)")
    }
  }

  // MARK: - Writing

  /// Wider elements first, then by name: every tensor is aligned to its element size.
  public static func encode(_ content: SafetensorsFile) -> [UInt8] {
    let order = content.tensors.sorted { ($1.value.type.byteCount, $0.key) < ($0.value.type.byteCount, $1.key) }
    var entries: [String] = []
    if !content.metadata.isEmpty {
      let pairs = content.metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
      entries.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var offset = 0
    for (name, tensor) in order {
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      let end = offset + tensor.bytes.count
      let type = tensor.type.rawValue
      entries.append(
        #"\#(quoted(name)):{"dtype":"\#(type)","shape":[\#(shape)],"data_offsets":[\#(offset),\#(end)]}"#)
      offset = end
    }
    var header = Array("{\(entries.joined(separator: ","))}".utf8)
    header.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - header.count % 8) % 8))

    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 + header.count + offset)
    for byte in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: header.count >> (8 * byte))) }
    bytes += header
    for (_, tensor) in order { bytes += tensor.bytes }
    return bytes
  }
}

/// One value of the header's object.
private enum HeaderEntry: Decodable {
  case metadata([String: String])
  case tensor(StoredRange)

  init(from decoder: any Decoder) throws {
    if let metadata = try? [String: String](from: decoder) {
      self = .metadata(metadata)
    } else {
      self = .tensor(try StoredRange(from: decoder))
    }
  }
}

private struct StoredRange: Decodable {
  var dtype: String
  var shape: [Int]
  var data_offsets: [Int]

  /// The tensor's bytes in the data section, whose length agrees with type and shape.
  func range(name: String, file: String, dataCount: Int) throws(InterchangeError) -> Range<Int> {
    func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, "tensor \(name): \(reason)") }
    guard let type = ElementType(rawValue: dtype) else {
      let known = ElementType.allCases.map(\.rawValue).joined(separator: ", ")
      throw fail("its type \(dtype) is none of \(known)")
    }
    var byteCount = type.byteCount
    for dimension in shape {
      let (product, overflow) = byteCount.multipliedReportingOverflow(by: dimension)
      guard dimension >= 0, !overflow else { throw fail("its shape \(shape) is impossible") }
      byteCount = product
    }
    guard data_offsets.count == 2, data_offsets[0] >= 0, data_offsets[0] <= data_offsets[1],
      data_offsets[1] <= dataCount
    else { throw fail("its offsets \(data_offsets) do not lie within the \(dataCount) bytes of data") }
    guard data_offsets[1] - data_offsets[0] == byteCount else {
      throw fail("\(data_offsets[1] - data_offsets[0]) bytes do not hold \(dtype) × \(shape)")
    }
    return data_offsets[0]..<data_offsets[1]
  }
}

/// A JSON string, escaped as little as JSON allows.
func quoted(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    case "\u{0}"..<"\u{20}":
      let digits = String(scalar.value, radix: 16)
      result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}
