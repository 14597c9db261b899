import Glibc

/// `count` floats, zero at first, on a 64-byte boundary: a cache line and the widest vector register.
///
/// The one owner of numeric memory. Parameters, gradients, optimizer buffers and plans' arenas are each one of these.
@safe public final class AlignedBuffer {
  public let count: Int
  let pointer: UnsafeMutablePointer<Float>

  public init(count: Int) {
    precondition(count >= 0, "a buffer cannot hold \(count) values")
    self.count = count
    let bytes = max(64, (count * MemoryLayout<Float>.stride + 63) / 64 * 64)
    guard let raw = unsafe aligned_alloc(64, bytes) else {
      fatalError("out of memory: \(bytes) bytes for a buffer of \(count) values")
    }
    unsafe memset(raw, 0, bytes)
    unsafe pointer = raw.bindMemory(to: Float.self, capacity: bytes / MemoryLayout<Float>.stride)
  }

  /// Memory for so many bytes of whatever type.
  convenience init(bytes: Int) { self.init(count: (bytes + 3) / 4) }

  deinit { unsafe free(pointer) }

  /// Lends the values of `range` (all by default) for writing.
  @inline(__always)
  public func withMutableSpan<R>(
    _ range: Range<Int>? = nil, _ body: (inout MutableSpan<Float>) throws -> R
  ) rethrows -> R {
    var span = unsafe MutableSpan(_unsafeElements: slice(range))
    return try body(&span)
  }

  /// The values of `range` (all by default) as an array.
  public func values(_ range: Range<Int>? = nil) -> [Float] { unsafe Array(slice(range)) }

  public func copy(from other: AlignedBuffer) {
    precondition(count == other.count, "\(other.count) values do not fit a buffer of \(count)")
    unsafe pointer.update(from: other.pointer, count: count)
  }

  public func fill(_ value: Float) { unsafe pointer.update(repeating: value, count: count) }

  private func slice(_ range: Range<Int>?) -> UnsafeMutableBufferPointer<Float> {
    let range = range ?? 0..<count
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) lies outside a buffer of \(count)")
    return unsafe UnsafeMutableBufferPointer(start: pointer + range.lowerBound, count: range.count)
  }
}
