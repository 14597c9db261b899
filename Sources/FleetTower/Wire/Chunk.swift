/// A piece of an artifact: where it begins, and its bytes, plain or as one zstd frame.
public struct Chunk: Hashable, Sendable {
  /// Bytes of the artifact in one chunk, at most.
  public static let maximumByteCount = 256 << 10

  public let offset: Int
  public let isCompressed: Bool
  /// A part of the frame it came in: a quarter of a megabyte is not copied again on its way to the disk.
  public let bytes: ArraySlice<UInt8>

  public init(offset: Int, isCompressed: Bool, bytes: [UInt8]) {
    self.offset = offset
    self.isCompressed = isCompressed
    self.bytes = bytes[...]
  }

  /// One byte that says whether it is compressed, eight for the offset (big-endian), then the bytes.
  init(_ payload: ArraySlice<UInt8>) throws(WireError) {
    guard payload.count > 9, payload.count <= 9 + Self.maximumByteCount, payload.first! <= 1 else {
      throw .malformed(kind: "chunk", reason: "\(payload.count) bytes")
    }
    isCompressed = payload.first! == 1
    let offset = payload.dropFirst().prefix(8).reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    guard let offset = Int(exactly: offset) else { throw .malformed(kind: "chunk", reason: "offset \(offset)") }
    self.offset = offset
    bytes = payload.dropFirst(9)
  }

  /// The bytes before the content.
  var header: [UInt8] {
    [isCompressed ? 1 : 0] + stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: offset >> $0) }
  }
}
