import Sweep

/// One stage to be executed once, for all sweeps that want it.
struct Job: Sendable {
  enum State: Hashable, Sendable {
    /// Its parent has not succeeded yet.
    case waiting
    case ready
    case leased(AttemptNumber)
    case succeeded
    /// Given up until an operator retries it.
    case failed(reason: String)
    /// An ancestor has failed.
    case blocked
    /// No sweep wants it any more.
    case cancelled
  }

  struct Success: Hashable, Sendable {
    let attempt: AttemptNumber
    let worker: WorkerID
    var result: StageResult
  }

  let key: JobKey
  let stage: Stage
  let parent: Int?
  /// Where its configuration and files are written down.
  let sweep: Int
  let node: Int
  var children: [Int] = []
  /// The sweeps that want it and are not cancelled.
  var sweeps: [Int] = []
  /// Work on the longest way from here to a leaf; longer ways go first.
  var remainingCost: Int
  var state: State = .waiting
  var failures = 0
  /// Attempts that ended without a result since the last checkpoint, for whatever reason.
  var fruitlessAttempts = 0
  /// Attempts lost with their worker since the last checkpoint.
  var losses: [AttemptNumber] = []
  var attemptCount = 0
  /// The newest acknowledged one.
  var checkpoint: Checkpoint?
  var epochs: EpochMetrics?
  var success: Success?
  /// The latest attempts, for people.
  var history: [JobHistory.Entry] = []

  static let historyLimit = 8
}

/// An attempt that may still bring a result.
struct Attempt: Sendable {
  let number: AttemptNumber
  let job: Int
  let worker: WorkerID
  /// Where it may be running, also while its worker is not to be heard.
  let box: BoxID
  /// What it was promised: the store must have it as long as the attempt lives.
  let inputs: [ArtifactDigest]
  /// Its worker's connection is gone. The job may be given to another worker, but until that happens the worker may
  /// come back and go on.
  var isOrphaned = false
  /// Its inputs are still on their way to the worker, as of its last heartbeat.
  var isFetching = false
  var lastEpoch = 0
}

/// An attempt that vanished with its worker.
struct LostAttempt: Sendable {
  let job: Int
  let worker: WorkerID?
}

struct SweepState: Sendable {
  let id: SweepID
  let tree: StageTree
  /// For each node of the tree, its job.
  var jobs: [Int] = []
  var isCancelled = false
  var mode = SweepMode.active
  /// Higher goes first.
  var priority = 0
  /// What attempts may use, by the stage's name.
  var limits: [String: StageLimits] = [:]
  var benchmarkBox: BoxID?
  /// Attempts at its jobs that may still bring a result.
  var running = 0
  /// No worker can measure one of its objectives, so that nothing of it starts. (Volatile.)
  var isUnmeasurable = false

  var isActive: Bool { !isCancelled && mode == .active && !isUnmeasurable }

  /// The metrics among its objectives that depend on the host which measures them.
  var hostMetrics: [Objective.Metric] {
    tree.submission.spec.objectives.map(\.metric).filter { $0.stage == .benchmark }
  }
}

/// A worker as the coordinator knows it.
struct WorkerState: Sendable {
  let id: WorkerID
  var incarnation: UInt64
  var name: String
  var box: BoxID
  var slots: Int
  var labels: [String: String]
  var protocolVersion: Int
  var connection: ConnectionID?
  /// The worker says that it is on its way out.
  var isLeaving: Bool
  /// The metrics that its host can measure; nil if it has not announced any, which counts as all.
  var metrics: Set<String>?
  /// When it last said something.
  var heardAt: Instant

  func canMeasure(_ metric: Objective.Metric) -> Bool { metrics?.contains(metric.rawValue) ?? true }
}

/// A machine and what runs on it.
struct Box: Sendable {
  /// Sorted.
  var workers: [WorkerID] = []
  /// Attempts that may be running there, orphaned ones included.
  var attemptCount = 0
  var benchmark: AttemptNumber?
  /// Since when no worker there is willing.
  var absentSince: Instant?
}
