import Sweep

/// What the coordinator waits for.
enum Deadline: Hashable, Sendable {
  case lease(AttemptNumber)
  /// A connected worker must have said something by then.
  case silence(WorkerID)
  /// A vanished worker need not be listed any longer.
  case forget(WorkerID)
  /// A host has been without workers for long enough.
  case box(BoxID)
  /// A failed job may try again.
  case retry(JobIndex)
  /// A benchmark has waited long enough for its host to be kept free.
  case benchmark(SweepIndex)
  /// A lost artifact that nobody has brought so far.
  case repair(ArtifactDigest)
}
