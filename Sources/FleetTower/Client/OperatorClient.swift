import Artifacts
import Bytes
import Fleet
import Sweep
import Transfer
import Transport
import Wire

/// The connection of an operator's commands to a coordinator: one request and one response at a time, and artifacts in
/// both directions.
public actor OperatorClient {
  private nonisolated let loop: EventLoop
  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }
  private let endpoint: Endpoint
  private let token: Token
  private let bulk: BulkClient
  private var stream: FrameStream?
  /// The request that was made last. Each waits for the one before, because the stream has one reader.
  private var latest: Task<OperatorResponse, any Error>?

  /// Does not connect yet.
  public init(_ endpoint: Endpoint, _ token: Token) throws {
    loop = try EventLoop(name: "operator")
    self.endpoint = endpoint
    self.token = token
    bulk = try BulkClient(endpoint, token)
  }

  /// Asks and waits for the answer, connecting first where needed. `.refused` is thrown as `ClientError`. Requests of
  /// several tasks take turns.
  public func request(_ request: OperatorRequest) async throws -> OperatorResponse {
    let former = latest
    let task = Task {
      _ = await former?.result
      return try await carryOut(request)
    }
    latest = task
    return try await task.value
  }

  private func carryOut(_ request: OperatorRequest) async throws -> OperatorResponse {
    if let stream {
      // Every request means the same when it comes twice, so what an old connection lost is said again on a new one.
      do { return try await ask(request, on: stream) } catch is TransportError { self.stream = nil }
    }
    let stream = try await dial(endpoint, token, on: loop)
    self.stream = stream
    return try await ask(request, on: stream)
  }

  private func ask(_ request: OperatorRequest, on stream: FrameStream) async throws -> OperatorResponse {
    try await stream.send(WireMessage.request(request).frame)
    switch try WireMessage(try await stream.next()) {
    case .response(.refused(let reason)): throw ClientError(description: reason)
    case .response(let response): return response
    case let other: throw WireError.unexpected(kind: other.kind)
    }
  }

  /// Submits a sweep, bringing along the artifacts the coordinator does not have yet.
  /// - Parameter files: where each artifact of the submission lies on this machine.
  public func submit(
    _ submission: SweepSubmission, files: [Digest: String],
    onUpload: @Sendable (ArtifactReference) -> Void = { _ in }
  ) async throws -> (sweep: SweepID, isNew: Bool, notice: String?) {
    // Asked again after uploading; more than a few rounds mean that the store loses what it confirms.
    for _ in 0..<4 {
      switch try await request(.submit(submission)) {
      case .submitted(let sweep, let isNew, let notice): return (sweep, isNew, notice)
      case .artifactsMissing(let missing):
        for reference in submission.artifacts where missing.contains(reference.digest) {
          guard let path = files[reference.digest] else {
            throw ClientError(description: "the submission names \(reference.digest), but no file for it was given")
          }
          onUpload(reference)
          try await bulk.upload(path, as: reference)
        }
      case let other: throw ClientError(description: "the coordinator answered a submission with \(other)")
      }
    }
    throw ClientError(description: "the coordinator does not keep the artifacts it is given; look at its disk")
  }

  /// Brings an artifact into the file at `path`, verified; an interrupted one goes on where it stopped.
  public func pull(_ reference: ArtifactReference, to path: String) async throws {
    try await bulk.download(reference, to: ArtifactSink(reference, to: path))
  }

  /// Says goodbye; the next request would connect again.
  public func close() {
    stream?.close()
    stream = nil
  }
}

extension ArtifactReference {
  /// The reference of a local file, by reading it through.
  public init(ofFile path: String) throws {
    self.init(digest: try Digest(ofFile: path), byteCount: try FileDescriptor(path, .read).byteCount)
  }
}

/// The coordinator could not do what was asked; the text says why.
public struct ClientError: Error, CustomStringConvertible {
  public let description: String
}
