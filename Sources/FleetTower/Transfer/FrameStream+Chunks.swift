import Transport
import Wire

/// Chunks change threads between a connection and a disk, which costs as much as what is done with them: several go at
/// once.
extension FrameStream {
  /// Sends everything the source has, and lets it read ahead meanwhile.
  nonisolated(nonsending) func send(_ source: ArtifactSource) async throws {
    var chunks = try await source.next()
    var sending: ArtifactSource.Sending?
    while !chunks.isEmpty {
      let latest = sending
      let following = Task { @concurrent in try await source.next(after: latest) }
      let start = ContinuousClock.now
      for chunk in chunks { try await send(chunk.frameHead, chunk.bytes) }
      let byteCount = chunks.reduce(0) { $0 + $1.bytes.count }
      sending = ArtifactSource.Sending(byteCount: byteCount, seconds: (.now - start) / .seconds(1))
      chunks = try await following.value
    }
  }

  /// The chunks that have arrived, at least one.
  nonisolated(nonsending) func nextChunks() async throws -> [Chunk] {
    var chunks = [try chunk(in: try await next())]
    while let frame = nextHere() { chunks.append(try chunk(in: frame)) }
    return chunks
  }

  private func chunk(in frame: [UInt8]) throws -> Chunk {
    switch try WireMessage(frame) {
    case .chunk(let chunk): return chunk
    case .bulkResponse(.failed(let reason)): throw TransferError.refused(reason: reason)
    case let other: throw WireError.unexpected(kind: other.kind)
    }
  }
}
