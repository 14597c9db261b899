import Bytes
import Sweep

/// An attempt in a worker's hands, from its assignment until the coordinator has acknowledged its end.
struct HeldAttempt: Sendable {
  enum Phase: Sendable {
    /// These inputs are not in the cache yet.
    case fetching(Set<Digest>)
    /// Everything is there but a slot.
    case queued
    /// The stage's process runs; `end` is what it has said of its own end so far.
    case running(end: StageEnd?)
    /// The process is gone and its files are becoming artifacts in the coordinator's store.
    case settling(Settling)
    /// It failed because this box's disk is full, and is handed back in a while.
    case resting
    /// The last message is owed: finished, failed or returned.
    case owed(WorkerMessage)
    /// The process has been killed and is not gone yet.
    case dying(isHandedBack: Bool)
    /// The process is gone; the attempt is handed back once its newest checkpoint is through.
    case returning
  }

  enum StageEnd: Sendable {
    case finished(StageOutput)
    case failed(message: String, cause: FailureCause)
  }

  struct Settling: Sendable {
    let end: StageEnd
    /// Files by their role's name that have no artifact yet.
    var unkept: [String: String]
    var artifacts: [String: ArtifactReference] = [:]
    var unstored: Set<Digest> = []
  }

  /// One checkpoint on its way to the coordinator. Only the newest matters: while one is on its way, of those that
  /// follow only the last is remembered.
  struct Delivery: Sendable {
    enum Step: Sendable {
      case keeping
      case uploading(ArtifactReference)
      case reported(ArtifactReference)
    }
    let epoch: Int
    let file: String
    var step: Step = .keeping
  }

  let assignment: Assignment
  var phase: Phase
  /// When its process was started; nil once that has led to a checkpoint or an end.
  var startedAt: Instant?
  /// Not yet acknowledged, oldest first.
  var metrics: [EpochMetrics] = []
  var delivery: Delivery?
  var nextCheckpoint: Delivery?

  var number: AttemptNumber { assignment.attempt }

  /// The process exists, so the slot is taken.
  var hasProcess: Bool {
    switch phase {
    case .running, .dying: true
    case .fetching, .queued, .settling, .resting, .owed, .returning: false
    }
  }

  /// Cancelled: the coordinator knows nothing of it any more.
  var isForgotten: Bool { if case .dying(isHandedBack: false) = phase { true } else { false } }
}
