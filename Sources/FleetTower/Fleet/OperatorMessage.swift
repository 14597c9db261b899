import Bytes
import Sweep

/// A request of an operator, one request and one response at a time. Names may be shortened as long as one thing fits.
public enum OperatorRequest: Hashable, Sendable, Codable {
  case submit(SweepSubmission)
  /// All sweeps, or one with its jobs.
  case status(sweep: String?)
  /// The result table; the front is marked over the sweep's own objectives unless others are given.
  case results(sweep: String, objectives: [Objective]?)
  /// All that is known of a sweep.
  case report(sweep: String)
  case workers
  case drain(worker: String, isDraining: Bool)
  case cancel(sweep: String)
  /// Pauses, stops or resumes it.
  case steer(sweep: String, mode: SweepMode)
  case prioritize(sweep: String, priority: Int)
  /// Everything of a sweep that failed or was set aside or cancelled, or one job by its key.
  case retry(target: String)
  case logs(job: String)
  /// The artifacts of a trial's final model.
  case pull(trial: String)
  /// About the coordinator's folder of artifacts.
  case store(StoreRequest)

  /// The artifacts that must be in the store before the request may be granted.
  public var artifacts: [ArtifactReference] {
    if case .submit(let submission) = self { submission.artifacts } else { [] }
  }
}

public enum OperatorResponse: Hashable, Sendable, Codable {
  /// `isNew` is false when the same submission was made before; `notice` says why nothing of it starts for now.
  case submitted(sweep: SweepID, isNew: Bool, notice: String? = nil)
  case artifactsMissing([Digest])
  case sweeps([SweepSummary])
  case sweep(SweepStatus)
  case results(ResultTable)
  case report(SweepReport)
  case workers([WorkerStatus])
  case done(message: String)
  case logs(JobHistory)
  case artifacts(trial: TrialID, model: JobKey, artifacts: [String: ArtifactReference])
  case verification(VerificationReport)
  case cleaning(CleaningReport)
  case refused(reason: String)
}

public struct SweepSummary: Hashable, Sendable, Codable {
  public enum State: String, CaseIterable, Hashable, Sendable, Codable {
    case running, finished, failed, cancelled
    /// Nothing starts, and what ran was handed back.
    case paused
    /// Nothing starts; some of it still runs.
    case stopping
    case stopped

    /// Something of it runs, or will without anybody's doing. (One that is paused is expected to be resumed.)
    public var isUnderWay: Bool {
      switch self {
      case .running, .paused, .stopping: true
      case .finished, .failed, .cancelled, .stopped: false
      }
    }
  }
  public var sweep: SweepID
  public var state: State
  /// nil where the coordinator is too old to tell.
  public var priority: Int?
  public var trials: Int
  public var jobs: JobCounts
  /// Why nothing of it starts although its operators want it to, and what can be done; nil if nothing holds it, or the
  /// coordinator is too old to tell.
  public var held: String?
}

public struct JobCounts: Hashable, Sendable, Codable {
  public var waiting = 0, ready = 0, leased = 0, succeeded = 0, failed = 0, blocked = 0, cancelled = 0
  public init() {}
  public var total: Int { waiting + ready + leased + succeeded + failed + blocked + cancelled }
}

public struct SweepStatus: Hashable, Sendable, Codable {
  public var summary: SweepSummary
  public var jobs: [JobStatus]
  /// Remarks on the data set for whoever reads the results, one a line; nil if there are none, or if the coordinator
  /// is too old to tell.
  public var remarks: [String]?
  /// nil while no stage has told its time, in a part of a status, or if the coordinator is too old to tell.
  public var work: SweepWork?
}

public struct JobStatus: Hashable, Sendable, Codable {
  public var job: JobKey
  public var stage: Stage
  /// The words that set the job apart, for people: `yolov5n SGD sr 0.0001 prune 0.3`.
  public var title: String
  public var state: JobPhase
  /// Why it waits, or why it failed.
  public var reason: String?
  /// The cause of its waiting; nil if it does not wait, or the coordinator is too old to tell.
  public var waitsFor: WaitCause?
  /// Until it tries again, where it waits for that.
  public var retryInSeconds: Double?
  public var worker: String?
  public var attempts: Int
  public var epochs: EpochMetrics?
  public var trials: [TrialID]
}

/// Where a job stands, for people.
public enum JobPhase: String, Hashable, Sendable, Codable {
  case waiting, ready, running, succeeded, failed, blocked, cancelled

  public var hasEnded: Bool { self == .succeeded || self == .failed || self == .cancelled }
}

/// Why a job is not running, or not getting on.
public enum WaitCause: String, Hashable, Sendable, Codable {
  /// Another job's model.
  case parent
  /// An ancestor that failed: it runs when that was retried.
  case failedParent = "failed_parent"
  /// The pause after a failure.
  case retry
  /// Its sweep is paused or stopped.
  case sweep
  /// There is no worker that takes jobs.
  case worker
  /// All slots are taken, or go to more important jobs.
  case slot
  /// A benchmark, for its box to come back or to be idle.
  case box
  /// Its inputs: they are on their way to its worker, or the store has lost them.
  case data
}

public struct WorkerStatus: Hashable, Sendable, Codable {
  public var worker: WorkerID
  public var name: String
  public var box: BoxID
  public var slots: Int
  public var isConnected: Bool
  public var isDraining: Bool
  public var jobs: [JobKey]
}

public struct JobHistory: Hashable, Sendable, Codable {
  public struct Entry: Hashable, Sendable, Codable {
    public var attempt: AttemptNumber
    public var worker: String
    public var outcome: String
    public var log: ArtifactReference?
  }
  public var job: JobKey
  public var stage: Stage
  public var entries: [Entry]
}
