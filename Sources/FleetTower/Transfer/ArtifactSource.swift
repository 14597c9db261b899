import Artifacts
import Sweep
import Wire

/// Cuts a file into chunks, on a thread of its own. Each chunk is compressed by itself, so that a transfer can begin
/// anywhere and nothing is ever unpacked beyond one chunk.
public actor ArtifactSource {
  private nonisolated let thread = BlockingExecutor("artifact source")
  public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.executor }

  public let byteCount: Int
  private let file: FileDescriptor
  private let encoder: ZstdEncoder
  private var offset: Int
  /// Chunks to pass on as they are before trying again whether compressing pays: JPEGs never do.
  private var plainChunks = 0

  /// - Parameter offset: where to begin.
  public init(_ path: String, from offset: Int) throws {
    file = try FileDescriptor(path, .read)
    encoder = try ZstdEncoder(level: 1)
    byteCount = try file.byteCount
    self.offset = offset
  }

  /// The next chunk; `nil` at the end.
  public func next() throws -> Chunk? {
    let piece = try file.read(upToCount: Chunk.maximumByteCount, at: offset)
    if piece.isEmpty { return nil }
    defer { offset += piece.count }
    if plainChunks > 0 {
      plainChunks -= 1
      return Chunk(offset: offset, isCompressed: false, bytes: piece)
    }
    let frame = try encoder.compress(piece.span)
    if frame.count < piece.count - piece.count / 32 { return Chunk(offset: offset, isCompressed: true, bytes: frame) }
    plainChunks = 15
    return Chunk(offset: offset, isCompressed: false, bytes: piece)
  }
}
