import Artifacts
import Sweep
import Transport
import Wire

/// The coordinator's side of one bulk connection.
public struct BulkService: Sendable {
  private let folder: ArtifactFolder
  /// An artifact beyond it is refused.
  static let byteCountLimit = 1 << 40

  public init(_ folder: ArtifactFolder) { self.folder = folder }

  /// Serves requests, the first of which has been read already, until the peer closes or breaks the rules.
  public nonisolated(nonsending) func serve(_ stream: FrameStream, first: BulkRequest) async {
    do {
      var request = first
      while true {
        switch request {
        case .put(let reference): try await receive(reference, from: stream)
        case .get(let digest, let offset): try await send(digest, from: offset, to: stream)
        }
        guard case .bulkRequest(let next) = try WireMessage(try await stream.next()) else {
          throw TransferError.protocolViolation("something else than a request")
        }
        request = next
      }
    } catch is TransportError {
      return  // The peer has gone, which is how it says that it is done.
    } catch {
      try? await stream.send(WireMessage.bulkResponse(.failed(reason: "\(error)")).frame)
      stream.close()
    }
  }

  private nonisolated(nonsending) func receive(_ reference: ArtifactReference, from stream: FrameStream) async throws {
    guard (0...Self.byteCountLimit).contains(reference.byteCount) else {
      throw TransferError.protocolViolation("an artifact of \(reference.byteCount) bytes")
    }
    if folder.byteCount(of: ContentHash(reference.digest)) == nil {
      let sink = try ArtifactSink(reference, into: folder)
      var offset = try await sink.open()
      try await stream.send(WireMessage.bulkResponse(.resume(offset: offset)).frame)
      while offset < reference.byteCount {
        guard case .chunk(let chunk) = try WireMessage(try await stream.next()) else {
          throw TransferError.protocolViolation("something else than a chunk")
        }
        offset = try await sink.append(chunk)
      }
      try await sink.finish()
    }
    try await stream.send(WireMessage.bulkResponse(.stored).frame)
  }

  private nonisolated(nonsending) func send(
    _ digest: ArtifactDigest, from offset: Int, to stream: FrameStream
  ) async throws {
    let hash = ContentHash(digest)
    guard let byteCount = folder.byteCount(of: hash) else {
      throw TransferError.refused(reason: "the coordinator does not have \(digest)")
    }
    guard (0...byteCount).contains(offset) else { throw TransferError.protocolViolation("offset \(offset)") }
    let source = try ArtifactSource(folder.location(of: hash), from: offset)
    try await stream.send(WireMessage.bulkResponse(.artifact(byteCount: byteCount)).frame)
    while let chunk = try await source.next() { try await stream.send(WireMessage.chunk(chunk).frame) }
  }
}
