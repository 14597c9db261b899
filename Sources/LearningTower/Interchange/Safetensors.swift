import JSON

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
    func foreign() -> InterchangeError? { foreignKind(bytes).map(fail) }
    guard bytes.count >= 8 else {
      throw foreign() ?? fail("has \(bytes.count) bytes; a safetensors file starts with 8 bytes of length")
    }
    let headerCount = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[$1]) << UInt64(8 * $1) }
    guard headerCount <= UInt64(min(maximumHeaderBytes, bytes.count - 8)) else {
      throw foreign()
        ?? fail(
          "announces a header of \(headerCount) bytes in a file of \(bytes.count); not a safetensors file, or cut short"
        )
    }
    let dataStart = 8 + Int(headerCount)
    let header = try SafetensorsHeader(bytes[8..<dataStart], file: file, dataCount: bytes.count - dataStart)
    try checkCover(header.entries.map { ($0.name, $0.range) }, dataCount: bytes.count - dataStart, file: file)
    var content = SafetensorsFile(metadata: header.metadata)
    for entry in header.entries {
      content.tensors[entry.name] = StoredTensor(
        type: entry.type, shape: entry.shape,
        bytes: Array(bytes[(dataStart + entry.range.lowerBound)..<(dataStart + entry.range.upperBound)]))
    }
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
    var header = JSON.encode(HeaderText(metadata: content.metadata, tensors: order))
    header.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - header.count % 8) % 8))

    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 + header.count + order.reduce(0) { $0 + $1.value.bytes.count })
    for byte in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: header.count >> (8 * byte))) }
    bytes += header
    for (_, tensor) in order { bytes += tensor.bytes }
    return bytes
  }

  private struct HeaderText: Encodable {
    let metadata: [String: String]
    let tensors: [(key: String, value: StoredTensor)]

    private struct Entry: Encodable {
      let dtype: String
      let shape: [Int]
      let data_offsets: [Int]
    }

    func encode(to encoder: any Encoder) throws {
      var entries = encoder.container(keyedBy: HeaderName.self)
      if !metadata.isEmpty { try entries.encode(metadata, forKey: HeaderName("__metadata__")) }
      var offset = 0
      for (name, tensor) in tensors {
        let end = offset + tensor.bytes.count
        let entry = Entry(dtype: tensor.type.rawValue, shape: tensor.shape, data_offsets: [offset, end])
        try entries.encode(entry, forKey: HeaderName(name))
        offset = end
      }
    }
  }
}
