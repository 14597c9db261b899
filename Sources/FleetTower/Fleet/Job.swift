import Bytes
import Sweep

/// One stage to be executed once, for all sweeps that want it.
struct Job: Sendable {
  enum State: Hashable, Sendable {
    /// One of its sources has not succeeded yet.
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

    /// Something is still to be done, and nothing but work is missing.
    var isUnderWay: Bool {
      switch self {
      case .waiting, .ready, .leased: true
      case .succeeded, .failed, .blocked, .cancelled: false
      }
    }

    /// It has failed, or something before it has.
    var isHopeless: Bool {
      switch self {
      case .failed, .blocked: true
      case .waiting, .ready, .leased, .succeeded, .cancelled: false
      }
    }
  }

  struct Success: Hashable, Sendable {
    let attempt: AttemptNumber
    let worker: WorkerID
    var result: StageResult
  }

  let key: JobKey
  let stage: Stage
  /// The job from whose model it starts.
  let parent: JobIndex?
  /// The job whose model is its teacher.
  let teacher: JobIndex?
  /// The sweep and the node of its tree that have its configuration and files.
  let sweep: SweepIndex
  let node: Int
  /// The jobs that have it among their sources.
  var children: [JobIndex] = []
  /// The sweeps that want it and are not cancelled.
  var sweeps: [SweepIndex] = []
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

  /// The jobs that must have succeeded before it starts.
  var sources: [JobIndex] { [parent, teacher].compactMap { $0 } }
}

/// An attempt that may still bring a result.
struct Attempt: Sendable {
  let number: AttemptNumber
  let job: JobIndex
  let worker: WorkerID
  /// Where it may be running, even while nothing is heard of its worker.
  let box: BoxID
  let isBenchmark: Bool
  /// The artifacts that it was promised: the store must have them as long as the attempt lives.
  let inputs: [InputRole: ArtifactReference]
  var lastEpoch = 0
}

/// An attempt that vanished with its worker.
struct LostAttempt: Sendable {
  let job: JobIndex
  let worker: WorkerID?
}

struct SweepState: Sendable {
  let id: SweepID
  let tree: StageTree
  /// For each node of the tree, its job.
  let jobs: [JobIndex]
  /// The metrics among its objectives that depend on the host which measures them.
  let hostMetrics: [Objective.Metric]
  var isCancelled = false
  var mode = SweepMode.active
  /// Higher goes first.
  var priority = 0
  /// The limits of attempts, by the stage's name.
  var limits: [String: StageLimits] = [:]
  /// The workers that its jobs are given to.
  var placement = SweepPlacement()
  var benchmarkBox: BoxID?
  /// Attempts at its jobs that may still bring a result.
  var running = 0

  /// Whether its operators want its jobs to start.
  var isOpen: Bool { !isCancelled && mode == .active }
  /// Its claim to the next free slot.
  var turn: JobQueue.Turn { JobQueue.Turn(priority: priority, running: running) }
  var claim: JobQueue.Claim { JobQueue.Claim(placement: placement, turn: turn) }
}
