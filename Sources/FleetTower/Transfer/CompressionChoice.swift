/// Whether compressing pays: a byte must take less time to save than to send. Checkpoints shrink by a few hundredths
/// at best, which is worth it on a slow line and not on a fast one.
struct CompressionChoice {
  /// The recent time per byte of the connection, which counts as fast until it has proved slow.
  private(set) var secondsPerByte = 0.0
  /// Chunks to pass on as they are before trying again.
  private var plainChunks = 0

  /// Half a second's worth of chunks at 64 MB/s: so little is tried where nothing is won.
  private static let pause = 127

  /// Called after each chunk, with the time it took to send it.
  mutating func sent(byteCount: Int, seconds: Double) {
    guard byteCount > 0 else { return }
    secondsPerByte += (seconds / Double(byteCount) - secondsPerByte) / 8
  }

  /// Whether to compress the next chunk, if only to see what that brings.
  mutating func isToBeTried() -> Bool {
    if secondsPerByte == 0 { return false }
    if plainChunks == 0 { return true }
    plainChunks -= 1
    return false
  }

  /// Judges an attempt.
  /// - Returns: whether to send what came out of it.
  mutating func pays(from byteCount: Int, to compressedByteCount: Int, seconds: Double) -> Bool {
    let saved = Double(byteCount - compressedByteCount) * secondsPerByte
    if saved <= seconds { plainChunks = Self.pause }
    return saved > seconds
  }
}
