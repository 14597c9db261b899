import Artifacts
import Sweep
import Transport
import Wire

/// Moves artifacts between this process and the coordinator, each on a connection of its own, on a loop of its own, so
/// that no heartbeat ever waits behind a checkpoint.
public actor BulkClient {
  private nonisolated let loop: EventLoop
  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }
  private let endpoint: Endpoint
  private let token: Token

  public init(_ endpoint: Endpoint, _ token: Token) throws {
    loop = try EventLoop(name: "bulk")
    self.endpoint = endpoint
    self.token = token
  }

  /// Brings the file at `path` to the coordinator; returns when it is durable there.
  public func upload(_ path: String, as reference: ArtifactReference) async throws {
    let stream = try await dial(endpoint, token, on: loop)
    defer { stream.close() }
    try await stream.send(WireMessage.bulkRequest(.put(reference)).frame)
    guard case .resume(let offset) = try await response(stream) else { return }
    let source = try ArtifactSource(path, from: offset)
    guard source.byteCount == reference.byteCount else {
      throw TransferError.refused(reason: "\(path) has changed since it was hashed")
    }
    try await stream.send(source)
    guard case .stored = try await response(stream) else {
      throw TransferError.protocolViolation("no confirmation")
    }
  }

  /// Brings an artifact here, going on with what an earlier attempt has left.
  public func download(_ reference: ArtifactReference, to sink: ArtifactSink) async throws {
    var offset = try await sink.open()
    if offset < reference.byteCount {
      let stream = try await dial(endpoint, token, on: loop)
      defer { stream.close() }
      try await stream.send(
        WireMessage.bulkRequest(.get(reference.digest, offset: offset, byteCount: reference.byteCount)).frame)
      guard case .artifact(reference.byteCount) = try await response(stream) else {
        throw TransferError.protocolViolation("another size than \(reference.byteCount) for \(reference.digest)")
      }
      while offset < reference.byteCount { offset = try await sink.append(try await stream.nextChunks()) }
    }
    try await sink.finish()
  }

  private func response(_ stream: FrameStream) async throws -> BulkResponse {
    switch try WireMessage(try await stream.next()) {
    case .bulkResponse(.failed(let reason)): throw TransferError.refused(reason: reason)
    case .bulkResponse(let response): return response
    case let other: throw WireError.unexpected(kind: other.kind)
    }
  }
}

/// Connects to the first of the endpoint's addresses that answers and knows the token.
public nonisolated(nonsending) func dial(
  _ endpoint: Endpoint, _ token: Token, on loop: EventLoop, limits: ConnectionLimits = ConnectionLimits()
) async throws -> FrameStream {
  var failure = "it has no address"
  for address in try await endpoint.resolve() {
    let stream = FrameStream(try Dialer(on: loop, token: token, limits: limits).connect(to: address))
    do {
      try await stream.opened()
      return stream
    } catch TransportError.closed(_, let reason) { failure = reason }
  }
  throw TransferError.unreachable(endpoint: endpoint.description, reason: failure)
}
