import Artifacts
import Bytes
import Sweep
import Wire

/// Puts arriving chunks together, on a thread of its own, and checks them.
public actor ArtifactSink {
  private nonisolated let thread = BlockingExecutor("artifact sink")
  public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.executor }

  private let place: Place
  private let reference: ArtifactReference
  private let digest: Digest
  private let decoder: ZstdDecoder
  private var partial: PartialFile?

  private enum Place {
    case folder(ArtifactFolder)
    case file(String)
  }

  /// Receives into a folder of artifacts.
  public init(_ reference: ArtifactReference, into folder: ArtifactFolder) throws {
    try self.init(reference, .folder(folder))
  }

  /// Receives into a file, which is there once it is whole.
  public init(_ reference: ArtifactReference, to file: String) throws { try self.init(reference, .file(file)) }

  private init(_ reference: ArtifactReference, _ place: Place) throws {
    self.place = place
    self.reference = reference
    digest = reference.digest
    decoder = try ZstdDecoder()
  }

  /// Opens what an earlier attempt has left.
  /// - Returns: how many bytes are here already.
  public func open() throws -> Int {
    let partial =
      switch place {
      case .folder(let folder): try folder.receive(digest, byteCount: reference.byteCount)
      case .file(let path): try PartialFile(path + ".part", digest: digest, byteCount: reference.byteCount)
      }
    self.partial = partial
    return partial.offset
  }

  /// - Returns: how many bytes are here now.
  public func append(_ chunks: [Chunk]) throws -> Int {
    guard let partial else { preconditionFailure("append before open") }
    for chunk in chunks { try append(chunk, to: partial) }
    return partial.offset
  }

  private func append(_ chunk: Chunk, to partial: PartialFile) throws {
    guard chunk.offset == partial.offset else {
      throw TransferError.protocolViolation("bytes from \(chunk.offset) on where \(partial.offset) follows")
    }
    guard chunk.isCompressed else { return try partial.append(chunk.bytes.span) }
    let bytes = try decoder.decompress(chunk.bytes.span, maximumByteCount: Chunk.maximumByteCount)
    guard !bytes.isEmpty else { throw TransferError.protocolViolation("an empty chunk") }
    try partial.append(bytes.span)
  }

  /// Verifies the whole and puts it in its place, durably where the place is durable.
  public func finish() throws {
    guard let partial else { preconditionFailure("finish before open") }
    switch place {
    case .folder(let folder): try folder.install(partial)
    case .file(let path):
      try partial.verify(isDurable: true)
      try Files.moveDurably(partial.path, to: path)
    }
    self.partial = nil
  }
}
