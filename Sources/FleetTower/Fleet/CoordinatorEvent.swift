import Bytes
import Sweep

/// An event of the coordinator.
public enum CoordinatorEvent: Hashable, Sendable {
  /// - Parameter missing: those of the message's `artifacts` that are not durably in the store.
  case received(WorkerMessage, from: ConnectionID, missing: [Digest] = [])
  case requested(OperatorRequest, from: ConnectionID, missing: [Digest] = [])
  case disconnected(ConnectionID)
  /// The store does not have these, although it once confirmed that it had: they vanished, or were found damaged.
  case artifactsLost([Digest])
  /// The store has this one now, verified and durable.
  case artifactStored(Digest)
  /// The brain's `nextDeadline` has come. Too early or too late does no harm.
  case deadlinePassed
  /// The journal cannot be written, and no connection is left: until it is written again the coordinator is away.
  case journalStalled
  case journalResumed
}

/// An action that the shell must do, in the order given. Whatever follows a `journal` waits until its records are on
/// disk; the records of several events may share one fsync.
public enum CoordinatorEffect: Hashable, Sendable {
  case journal([Record])
  case send(CoordinatorMessage, to: ConnectionID)
  case respond(OperatorResponse, to: ConnectionID)
  case close(ConnectionID)
}
