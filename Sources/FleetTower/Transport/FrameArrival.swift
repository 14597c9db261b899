/// How a stream of bytes is cut into frames: a big-endian 32-bit length, then that many bytes.
///
/// What arrives is written into `buffer` from `arrived` on, up to the end it has; then `advance` says what that makes.
/// Memory for a frame is taken as its bytes arrive, whatever its length announces.
struct FrameArrival {
  enum Step: Equatable {
    /// There is room for more bytes.
    case wait
    /// A whole frame.
    case frame([UInt8])
    /// No frame may have that length.
    case forbidden(byteCount: Int)
  }

  /// The header or, after it, what has arrived of the frame, and room for more of it.
  var buffer = [UInt8](repeating: 0, count: headerByteCount)
  private(set) var arrived = 0
  /// Of the frame; nil while its header arrives.
  private var expected: Int?
  private let limit: Int

  static let headerByteCount = 4
  /// Room for a frame of which nothing is here yet; and for one that fills it, which is most often a chunk of a quarter
  /// of a megabyte. From there on it is doubled.
  static let (firstByteCount, secondByteCount) = (16 << 10, 257 << 10)

  /// - Parameter limit: the longest frame.
  init(limit: Int) { self.limit = limit }

  /// To be told of every piece written into `buffer`: at most what there was room for.
  mutating func advance(by byteCount: Int) -> Step {
    arrived += byteCount
    precondition(arrived <= buffer.count, "more bytes than there was room for")
    guard arrived == buffer.count else { return .wait }
    guard let expected else { return beginFrame() }
    guard arrived == expected else {
      makeRoom(for: min(expected, max(Self.secondByteCount, 2 * arrived)))
      return .wait
    }
    let frame = buffer
    self.expected = nil
    (buffer, arrived) = ([UInt8](repeating: 0, count: Self.headerByteCount), 0)
    return .frame(frame)
  }

  private mutating func beginFrame() -> Step {
    let count = buffer.reduce(0) { $0 << 8 | Int($1) }
    guard count > 0 && count <= limit else { return .forbidden(byteCount: count) }
    (expected, arrived) = (count, 0)
    buffer = [UInt8](repeating: 0, count: min(count, Self.firstByteCount))
    return .wait
  }

  private mutating func makeRoom(for count: Int) {
    var larger = [UInt8](repeating: 0, count: count)
    larger.replaceSubrange(..<arrived, with: buffer)
    buffer = larger
  }

  static func header(ofFrame byteCount: Int) -> [UInt8] {
    let count = UInt32(byteCount)
    return (0..<headerByteCount).map { UInt8(truncatingIfNeeded: count >> UInt32(24 - 8 * $0)) }
  }
}
