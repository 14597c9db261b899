import Artifacts
import Bytes
import Sweep
import Transport
import Wire
import Wording

/// The coordinator's side of one bulk connection.
public struct BulkService: Sendable {
  /// Facts about the folder that a transfer brings to light.
  public enum Report: Hashable, Sendable {
    /// The artifact is there, verified and durable.
    case stored(Digest)
    /// It was asked for and is not there, or was damaged and is not there any more.
    case lost(Digest, reason: String)
  }

  private let folder: ArtifactFolder
  private let report: @Sendable (Report) -> Void
  private let reserveByteCount: Int
  /// An artifact beyond it is refused.
  static let byteCountLimit = 1 << 40

  /// - Parameter reserveByteCount: uploads must leave so much of the disk free, for the journal.
  /// - Parameter report: called on the thread that serves.
  public init(
    _ folder: ArtifactFolder, reserveByteCount: Int = 64 << 20,
    report: @escaping @Sendable (Report) -> Void = { _ in }
  ) {
    self.folder = folder
    self.reserveByteCount = reserveByteCount
    self.report = report
  }

  /// Serves requests, the first of which has been read already, until the peer closes or breaks the rules.
  public nonisolated(nonsending) func serve(_ stream: FrameStream, first: BulkRequest) async {
    do {
      var request = first
      while true {
        switch request {
        case .put(let reference): try await receive(reference, from: stream)
        case .get(let digest, let offset, let byteCount):
          try await send(digest, from: offset, of: byteCount, to: stream)
        }
        guard case .bulkRequest(let next) = try WireMessage(try await stream.next()) else {
          throw TransferError.protocolViolation("something else than a request")
        }
        request = next
      }
    } catch is TransportError {
      return  // The peer has gone, which is how it says that it is done.
    } catch {
      try? await stream.send(WireMessage.bulkResponse(.failed(reason: error.words)).frame)
      stream.close()
    }
  }

  private nonisolated(nonsending) func receive(_ reference: ArtifactReference, from stream: FrameStream) async throws {
    guard (0...Self.byteCountLimit).contains(reference.byteCount) else {
      throw TransferError.protocolViolation("an artifact of \(reference.byteCount) bytes")
    }
    if try await !isWhole(reference) {
      let sink = try ArtifactSink(reference, into: folder)
      var offset = try await sink.open()
      try requireRoom(for: reference.byteCount - offset)
      try await stream.send(WireMessage.bulkResponse(.resume(offset: offset)).frame)
      while offset < reference.byteCount { offset = try await sink.append(try await stream.nextChunks()) }
      try await sink.finish()
    }
    report(.stored(reference.digest))
    try await stream.send(WireMessage.bulkResponse(.stored).frame)
  }

  /// Said before anything is sent, so that the words arrive. (What fills up in the meantime ends the transfer, which
  /// goes on from there at its next try.)
  private func requireRoom(for byteCount: Int) throws {
    let free = try folder.freeByteCount
    guard byteCount > free - reserveByteCount else { return }
    throw TransferError.refused(
      reason: "there is no room at the coordinator: \(byteCount >> 20) MB are to come, \(free >> 20) MB are free")
  }

  /// Nothing is confirmed unread: what lies there may have been damaged since it arrived.
  private nonisolated(nonsending) func isWhole(_ reference: ArtifactReference) async throws -> Bool {
    let digest = reference.digest
    guard folder.byteCount(of: digest) != nil else { return false }
    do {
      folder.touch(digest)
      try await ArtifactSource(digest, in: folder, from: 0).check()
      return true
    } catch let error as ArtifactsError where error.isDamage { return false }
  }

  private nonisolated(nonsending) func send(
    _ digest: Digest, from offset: Int, of expectedByteCount: Int?, to stream: FrameStream
  ) async throws {
    guard let byteCount = folder.byteCount(of: digest) else {
      report(.lost(digest, reason: "it is not there"))
      throw TransferError.refused(reason: "the coordinator does not have \(digest)")
    }
    do {
      let source = try ArtifactSource(digest, in: folder, from: offset)
      // It cannot be right; it is read only so that it is set aside.
      if let expectedByteCount, expectedByteCount != byteCount { try await source.check() }
      guard (0...byteCount).contains(offset) else { throw TransferError.protocolViolation("offset \(offset)") }
      try await stream.send(WireMessage.bulkResponse(.artifact(byteCount: byteCount)).frame)
      try await stream.send(source)
    } catch let error as ArtifactsError where error.isDamage {
      report(.lost(digest, reason: error.words))
      throw TransferError.refused(reason: "the coordinator's copy of \(digest) was damaged: try again later")
    }
  }
}
