import Bytes
import Randomness
import Sweep

/// The worker without its sockets, clock, files and child processes.
///
/// It holds attempts (`HeldAttempt`), each going its own way through fetching, running, settling and being
/// acknowledged, and a link to the coordinator that may break at any time: what runs goes on, and what is owed is said
/// again after the next welcome.
public struct WorkerBrain: Sendable {
  public struct Identity: Hashable, Sendable {
    public var worker: WorkerID
    public var name: String
    public var box: BoxID
    public var slots: Int
    public var labels: [String: String]
    /// The metrics that this host can measure; nil leaves that open.
    public var metrics: [String]?
    /// Drawn anew by each process: names this incarnation and steers the jitter of reconnecting.
    public var seed: UInt64

    public init(
      worker: WorkerID, name: String, box: BoxID, slots: Int, labels: [String: String] = [:],
      metrics: [String]? = nil, seed: UInt64
    ) {
      self.worker = worker
      self.name = name
      self.box = box
      self.slots = slots
      self.labels = labels
      self.metrics = metrics
      self.seed = seed
    }
  }

  enum Link: Sendable {
    case down
    case connecting
    /// Hello is said, welcome not yet heard.
    case greeting
    case welcomed(Welcome)
  }

  public let identity: Identity
  public let policy: WorkerPolicy

  var now = Instant(milliseconds: 0)
  var link = Link.down
  /// Tries at the link since the last welcome.
  var tries = 0
  /// Refusals since the last welcome.
  var refusals = 0
  var jitter: SplitMix64
  /// Told by the coordinator to finish and leave.
  var isDraining = false
  /// Told by its own box to hand everything back and leave.
  var isLeaving = false
  /// Too little time is left to begin anything: takes nothing new, and leaves once what runs has ended.
  var isClosing = false
  var hasLeft = false
  var attempts: [AttemptNumber: HeldAttempt] = [:]
  var fetches: [Digest: Transfer] = [:]
  var uploads: [Digest: Transfer] = [:]
  /// The artifacts that the coordinator has lost and asked for on this connection.
  var requested: Set<Digest> = []
  /// The longest time that an attempt at the stage has taken from its start to its first checkpoint or its end.
  var paces: [Stage: Int64] = [:]
  var deadlines = KeyedQueue<WorkerDeadline, Instant>()
  private var effects: [WorkerEffect] = []

  public init(identity: Identity, policy: WorkerPolicy = WorkerPolicy()) {
    self.identity = identity
    self.policy = policy
    jitter = SplitMix64(seed: identity.seed)
  }

  /// When `deadlinePassed` is due; nil while nothing waits for a time.
  public var nextDeadline: Instant? { deadlines.first?.priority }

  /// The attempts in hand, for the daemon's own log and status.
  public var heldAttempts: [AttemptNumber] { attempts.keys.sorted() }

  public mutating func handle(_ event: WorkerEvent, at now: Instant) -> [WorkerEffect] {
    self.now = max(self.now, now)
    switch event {
    case .started:
      connect()
      if let until = policy.until { deadlines.set(.until, until.advanced(byMilliseconds: -policy.leaveMilliseconds)) }
    case .connected: greet()
    case .disconnected: loseLink()
    case .received(let message): receive(message)
    case .fetched(let digest): fetched(digest)
    case .fetchFailed(let digest, let reason, let cause): fetchFailed(digest, reason, cause)
    case .uploaded(let digest): uploaded(digest)
    case .uploadFailed(let digest, let reason, let isGone): uploadFailed(digest, reason, isGone)
    case .fileKept(let number, let file, let artifact): fileKept(number, file, artifact)
    case .fileNotKept(let number, let file, let reason, let cause): fileNotKept(number, file, reason, cause)
    case .stageReported(let number, let event): stageReported(number, event)
    case .stageExited(let number, let message, let cause): stageExited(number, message, cause)
    case .leaveRequested: leave()
    case .deadlinePassed: break
    }
    meetDeadlines()
    startQueued()
    noteIdleness()
    exitIfSettled()
    defer { effects = [] }
    return effects
  }

  mutating func emit(_ effect: WorkerEffect) { effects.append(effect) }

  /// Said now if the coordinator listens; whatever is owed is said again after the next welcome.
  mutating func say(_ message: WorkerMessage) {
    if case .welcomed = link { emit(.send(message)) }
  }

  private mutating func meetDeadlines() {
    while let (deadline, moment) = deadlines.first, moment <= now {
      deadlines.remove(deadline)
      switch deadline {
      case .connect: connect()
      case .silence:
        emit(.disconnect)
        loseLink()
      case .heartbeat: beat()
      case .fetch(let digest): fetch(digest)
      case .upload(let digest): upload(digest)
      case .rest(let number): if attempts[number] != nil { handBack(number) }
      case .idle: if isIdle { leave() }
      case .until: leave()
      case .leave: exit()
      }
    }
  }
}

/// An event that a worker waits for.
enum WorkerDeadline: Hashable, Sendable {
  case connect
  /// The coordinator must have said something by then.
  case silence
  case heartbeat
  /// A transfer that failed is tried again.
  case fetch(Digest)
  case upload(Digest)
  /// A job that a full disk has ended is handed back.
  case rest(AttemptNumber)
  /// The worker has had nothing to do for long enough.
  case idle
  /// The worker's time is nearly up: all jobs are handed back now, so that this is settled before.
  case until
  /// Leaving takes no longer than this, whether or not all is settled.
  case leave
}

/// The numbers that steer a worker.
public struct WorkerPolicy: Hashable, Sendable {
  /// Pause before the second try to connect; it doubles up to the limit, and jitter takes up to half of it off.
  public var reconnectMilliseconds: Int64 = 200
  /// Well below the lease, so that a coordinator that comes back finds its workers in time.
  public var reconnectLimitMilliseconds: Int64 = 5_000
  /// A worker that is refused tries again ever more slowly, up to this pause.
  public var refusalLimitMilliseconds: Int64 = 60_000
  /// How long connecting and greeting may take.
  public var greetingMilliseconds: Int64 = 10_000
  public var transferRetryMilliseconds: Int64 = 500
  public var transferRetryLimitMilliseconds: Int64 = 30_000
  /// An input that cannot be had after so many tries fails the attempt, so that another worker may try.
  public var fetchLimit = 8
  /// So often a worker tries to bring back what the coordinator has lost.
  public var bringBackLimit = 8
  /// Unacknowledged epochs kept per attempt; beyond it the oldest are given up.
  public var metricsLimit = 10_000
  /// For so long a job that a full disk has ended is not handed back.
  public var fullDiskMilliseconds: Int64 = 10_000
  public var leaveMilliseconds: Int64 = 20_000
  /// The worker leaves after so long without anything to do; nil lets it wait for ever.
  public var idleExitMilliseconds: Int64?
  /// The worker has left by then; nil lets it stay.
  public var until: Instant?
  /// How long an attempt is taken to need until its first checkpoint or its end before one was seen on this worker.
  public var unknownPaceMilliseconds: Int64 = 60_000
  /// Attempts in hand; what is assigned beyond it is handed back.
  public var attemptLimit = 2_048

  public init() {}
}
