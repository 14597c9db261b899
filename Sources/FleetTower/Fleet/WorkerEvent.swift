import Bytes
import Sweep

/// An event of a worker.
public enum WorkerEvent: Hashable, Sendable {
  /// The daemon has started, with nothing running.
  case started
  case connected
  /// Connecting failed, or the control connection broke.
  case disconnected
  case received(CoordinatorMessage)
  /// The artifact is in the local cache (it may have been there before).
  case fetched(Digest)
  case fetchFailed(Digest, reason: String, cause: FailureCause = .other)
  /// The coordinator's store has confirmed that it holds the artifact durably.
  case uploaded(Digest)
  /// - Parameter isGone: the local cache does not have it any more, so that trying again is of no use.
  case uploadFailed(Digest, reason: String, isGone: Bool = false)
  /// A file of an attempt's folder is now an artifact in the local cache.
  case fileKept(AttemptNumber, file: String, artifact: ArtifactReference)
  case fileNotKept(AttemptNumber, file: String, reason: String, cause: FailureCause = .other)
  case stageReported(AttemptNumber, StageEvent)
  /// The stage's process is gone and all it reported has been delivered.
  /// - Parameters:
  ///   - message: how it ended and its last words, for people.
  ///   - cause: why it ended, if it has not said so itself.
  case stageExited(AttemptNumber, message: String, cause: FailureCause = .other)
  /// The daemon was asked to leave (SIGTERM).
  case leaveRequested
  case deadlinePassed
}

/// An action that the worker's shell must do, in the order given. None of them blocks the brain; the outcome comes back
/// as an event.
public enum WorkerEffect: Hashable, Sendable {
  /// Answered by `connected` or `disconnected`.
  case connect
  /// Drops the control connection, or the try at one. No event of it may follow, not even `disconnected`.
  case disconnect
  case send(WorkerMessage)
  /// Answered once, by `fetched` (at once, if cached) or `fetchFailed`.
  case fetch(ArtifactReference)
  /// Answered once, by `uploaded` (at once, if the store has it) or `uploadFailed`.
  case upload(ArtifactReference)
  /// Makes the attempt's folder, writes the request with the local paths of all inputs, starts the process.
  case startStage(Assignment)
  /// Kills the process; `stageExited` follows.
  case killStage(AttemptNumber)
  /// Hashes a file of the attempt's folder into the cache. The process' output is in `stage.log` there.
  case keepFile(AttemptNumber, file: String)
  /// Removes the attempt's folder.
  case discard(AttemptNumber)
  /// Everything is settled: the daemon may end.
  case exit
}
