import Artifacts
import Bytes
import Sweep
import Wire

/// Cuts a file into chunks, on a thread of its own. Each chunk is compressed by itself, so that a transfer can begin
/// anywhere and nothing is ever unpacked beyond one chunk.
public actor ArtifactSource {
  private nonisolated let thread = BlockingExecutor("artifact source")
  public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.executor }

  public let byteCount: Int
  private let file: FileDescriptor
  /// Reads in the file's stead where the bytes are to be checked as well.
  private let checked: ArtifactReader?
  private let encoder: ZstdEncoder
  private var offset: Int
  private var choice = CompressionChoice()

  /// Given at once: a change of threads costs as much as reading one.
  private static let chunkCount = 4

  /// Any file; the receiver checks what it gets.
  /// - Parameter offset: where to begin.
  public init(_ path: String, from offset: Int) throws { try self.init(path, offset, nil) }

  /// An artifact, checked here too, so that damage is noticed where it can be repaired: the last chunk is given only if
  /// all bytes are the right ones.
  /// - Parameter offset: where to begin.
  public init(_ digest: Digest, in folder: ArtifactFolder, from offset: Int) throws {
    try self.init(folder.location(of: digest), offset, try ArtifactReader(digest, in: folder, from: offset))
  }

  private init(_ path: String, _ offset: Int, _ checked: ArtifactReader?) throws {
    let file = try FileDescriptor(path, .read)
    byteCount = try checked?.byteCount ?? file.byteCount
    self.file = file
    encoder = try ZstdEncoder(level: 1)
    self.offset = offset
    self.checked = checked
  }

  /// The next chunks; none at the end.
  /// - Parameter sending: what it took to send chunks given before, which tells how fast the line is.
  public func next(after sending: Sending? = nil) throws -> [Chunk] {
    if let sending { choice.sent(byteCount: sending.byteCount, seconds: sending.seconds) }
    var chunks: [Chunk] = []
    while chunks.count < Self.chunkCount {
      let count = Chunk.maximumByteCount
      let piece = try checked?.next(upToCount: count) ?? file.read(upToCount: count, at: offset)
      if piece.isEmpty { break }
      chunks.append(try chunk(of: piece))
      offset += piece.count
    }
    return chunks
  }

  /// Reads an artifact to its end, only to check it.
  func check() throws { try checked?.finish() }

  private func chunk(of piece: [UInt8]) throws -> Chunk {
    guard choice.isToBeTried() else { return Chunk(offset: offset, isCompressed: false, bytes: piece) }
    let start = ContinuousClock.now
    let frame = try encoder.compress(piece.span)
    let pays = choice.pays(from: piece.count, to: frame.count, seconds: seconds(since: start))
    return Chunk(offset: offset, isCompressed: pays, bytes: pays ? frame : piece)
  }

  /// Chunks on the line.
  public struct Sending: Sendable {
    public let byteCount: Int
    public let seconds: Double

    public init(byteCount: Int, seconds: Double) {
      self.byteCount = byteCount
      self.seconds = seconds
    }
  }

  private func seconds(since start: ContinuousClock.Instant) -> Double { (.now - start) / .seconds(1) }
}
