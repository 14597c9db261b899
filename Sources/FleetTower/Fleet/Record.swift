import Bytes
import Sweep

/// One fact of the journal. The coordinator's durable state is what replaying all records in order gives, so a record
/// states what happened and never what should follow from it. Cases are only ever added, and never change meaning.
public enum Record: Hashable, Sendable, Codable {
  case sweepSubmitted(sweep: SweepID, submission: SweepSubmission)
  case sweepCancelled(sweep: SweepID)
  case sweepSteered(sweep: SweepID, mode: SweepMode)
  case sweepPrioritized(sweep: SweepID, priority: Int)
  /// Submitted again with other limits, by the stage's name.
  case sweepLimited(sweep: SweepID, limits: [String: StageLimits])
  /// Submitted again for other workers.
  case sweepPlaced(sweep: SweepID, placement: SweepPlacement)
  case attemptStarted(attempt: AttemptNumber, job: JobKey, worker: WorkerID, box: BoxID)
  case epochFinished(attempt: AttemptNumber, job: JobKey, metrics: EpochMetrics)
  case checkpointStored(attempt: AttemptNumber, job: JobKey, checkpoint: Checkpoint)
  case attemptEnded(attempt: AttemptNumber, job: JobKey, outcome: AttemptOutcome)
  /// A lost attempt's worker came back alive: the job did not kill it.
  case attemptSurvived(attempt: AttemptNumber, job: JobKey)
  case jobSucceeded(attempt: AttemptNumber, job: JobKey, worker: WorkerID, result: StageResult)
  case jobFailed(job: JobKey, reason: String)
  /// Failed, set aside or cancelled jobs start anew, with a clean record.
  case jobsRetried(jobs: [JobKey])
  case workerDrained(worker: WorkerID, isDraining: Bool)
  /// All benchmarks of the sweep run on this box; those measured on another one are measured again.
  case benchmarkBoxChosen(sweep: SweepID, box: BoxID)
  /// The store has lost these bytes and nobody could bring them back: what they were made by runs again where it is
  /// needed; what was submitted must be submitted again.
  case artifactsLost(artifacts: [Digest])
  /// The store has it again.
  case artifactRestored(artifact: Digest)

  /// The form of the records this build writes; the store keeps it with each. (2: with lost artifacts.)
  public static let version = 2
}

/// How an attempt ended without a result.
public enum AttemptOutcome: Hashable, Sendable, Codable {
  case failed(StageFailure)
  /// The worker vanished with it, or let its lease expire.
  case lost
  /// Handed back by a worker that leaves, or stopped by an operator.
  case returned
}
