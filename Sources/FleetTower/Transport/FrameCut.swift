/// How a stream of bytes is cut into frames: a big-endian 32-bit length, then that many bytes. Decided from the length
/// alone, before any memory is taken for what it announces.
enum FrameCut: Hashable {
  /// Nothing can be said before so many bytes are there, the header's included.
  case wait(byteCount: Int)
  /// A whole frame of so many bytes follows the header.
  case frame(byteCount: Int)
  /// No frame may have that length.
  case forbidden(byteCount: Int)

  static let headerByteCount = 4

  /// - Parameters:
  ///   - header: the first four bytes; nil if there are fewer.
  ///   - available: bytes that have arrived, the header's included.
  ///   - limit: the longest frame.
  init(header: (UInt8, UInt8, UInt8, UInt8)?, available: Int, limit: Int) {
    guard let header else {
      self = .wait(byteCount: Self.headerByteCount)
      return
    }
    let count = Int(header.0) << 24 | Int(header.1) << 16 | Int(header.2) << 8 | Int(header.3)
    guard count > 0 && count <= limit else {
      self = .forbidden(byteCount: count)
      return
    }
    let whole = Self.headerByteCount + count
    self = available >= whole ? .frame(byteCount: count) : .wait(byteCount: whole)
  }

  static func header(ofFrame byteCount: Int) -> [UInt8] {
    let count = UInt32(byteCount)
    return (0..<headerByteCount).map { UInt8(truncatingIfNeeded: count >> UInt32(24 - 8 * $0)) }
  }
}
