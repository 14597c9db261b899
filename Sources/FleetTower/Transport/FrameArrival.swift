/// How a stream of bytes is cut into frames: a big-endian 32-bit length, then that many bytes.
///
/// Arriving bytes are appended to `buffer`, at most `room` of them; then `advance` tells what they make. Memory for a
/// frame is taken as its bytes arrive, whatever its length announces.
struct FrameArrival {
  enum Step: Equatable {
    /// There is room for more bytes.
    case wait
    /// A whole frame.
    case frame([UInt8])
    /// No frame may have that length.
    case forbidden(byteCount: Int)
  }

  /// The header or, after it, what has arrived of the frame.
  var buffer: [UInt8] = []
  /// How much of the header or the frame there is memory for.
  private var capacity = headerByteCount
  /// The byte count of the frame; nil while its header arrives.
  private var expected: Int?
  private let limit: Int

  static let headerByteCount = 4
  /// Room for a frame of which nothing is here yet; and for one that fills it, which is most often a chunk of a quarter
  /// of a megabyte. From there on it is doubled.
  static let (firstByteCount, secondByteCount) = (16 << 10, 257 << 10)

  /// - Parameter limit: the longest frame.
  init(limit: Int) { self.limit = limit }

  /// How many bytes may be appended now: at least one.
  var room: Int { capacity - buffer.count }

  /// Called whenever bytes have been appended.
  mutating func advance() -> Step {
    precondition(room >= 0, "more bytes than there was room for")
    guard room == 0 else { return .wait }
    guard let expected else { return beginFrame() }
    guard buffer.count == expected else {
      makeRoom(for: min(expected, max(Self.secondByteCount, 2 * buffer.count)))
      return .wait
    }
    let frame = buffer
    self.expected = nil
    buffer = []
    makeRoom(for: Self.headerByteCount)
    return .frame(frame)
  }

  private mutating func beginFrame() -> Step {
    let count = buffer.reduce(0) { $0 << 8 | Int($1) }
    guard count > 0 && count <= limit else { return .forbidden(byteCount: count) }
    expected = count
    buffer = []
    makeRoom(for: min(count, Self.firstByteCount))
    return .wait
  }

  /// Without filling it with zeros first.
  private mutating func makeRoom(for count: Int) {
    buffer.reserveCapacity(count)
    capacity = count
  }

  static func header(ofFrame byteCount: Int) -> [UInt8] {
    let count = UInt32(byteCount)
    return (0..<headerByteCount).map { UInt8(truncatingIfNeeded: count >> UInt32(24 - 8 * $0)) }
  }
}
