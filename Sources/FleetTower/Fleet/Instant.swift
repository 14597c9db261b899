/// A moment on a clock that never jumps, in milliseconds since an arbitrary start. Brains are told it; they never ask.
/// It has no meaning in another process: what is journalled carries no instants.
public struct Instant: Hashable, Comparable, Sendable {
  public var milliseconds: Int64
  public init(milliseconds: Int64) { self.milliseconds = milliseconds }
  public static func < (a: Instant, b: Instant) -> Bool { a.milliseconds < b.milliseconds }
  public func advanced(byMilliseconds milliseconds: Int64) -> Instant {
    Instant(milliseconds: self.milliseconds + milliseconds)
  }
}
