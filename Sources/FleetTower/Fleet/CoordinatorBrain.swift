import Sweep

/// The coordinator without its sockets, clock and files: sweeps, jobs, attempts and workers, and what follows when
/// something happens to them.
///
/// Durable state is the fold of the journal's records (`CoordinatorBrain+Records`): every decision is first a record,
/// and `apply` alone changes what records speak of, live and in replay alike. The rest (connections, leases, queues) is
/// made anew after a restart. To rebuild: `replay` all records in order, then `start`.
public struct CoordinatorBrain: Sendable {
  public let policy: FleetPolicy

  // Durable: what replaying the journal gives.
  var sweeps: [SweepState] = []
  var sweepIndex: [SweepID: Int] = [:]
  var jobs: [Job] = []
  var jobIndex: [JobKey: Int] = [:]
  /// Those that may still bring a result.
  var attempts: [AttemptNumber: Attempt] = [:]
  /// The same, by worker, oldest first.
  var attemptsOfWorker: [WorkerID: [AttemptNumber]] = [:]
  var lastAttempt: UInt64 = 0
  /// Attempts held against a job, by which a worker that returns can lift the suspicion.
  var lostAttempts: [AttemptNumber: LostAttempt] = [:]
  var drainedWorkers: Set<WorkerID> = []
  /// Nobody has them: what must be submitted again, and models that nobody needs for now.
  var lostArtifacts: Set<ArtifactDigest> = []
  var failedAttemptCount = 0
  var lostAttemptCount = 0

  // Volatile: what the connections and the clock give.
  var now = Instant(milliseconds: 0)
  var workers: [WorkerID: WorkerState] = [:]
  var workerOfConnection: [ConnectionID: WorkerID] = [:]
  /// Those without a connection, the longest absent first.
  var absentWorkers = KeyedQueue<WorkerID, Instant>()
  var boxes: [BoxID: Box] = [:]
  /// Boxes where nothing new starts, so that a benchmark can have them alone.
  var reservedBoxes: Set<BoxID> = []
  var queue = JobQueue()
  /// Workers with a free slot, least loaded first.
  var freeWorkers = KeyedQueue<WorkerID, Int>()
  var deadlines = KeyedQueue<Deadline, Instant>()
  /// What the store lacks, and those of it that somebody must be asked for next.
  var repairs: [ArtifactDigest: Repair] = [:]
  var repairQueue = KeyedQueue<ArtifactDigest, Int>()
  /// How many of them some worker has been asked for.
  var repairsAsked = 0
  /// Checkpoints that need not be kept any longer, unless something else speaks of them.
  var superseded: Set<ArtifactDigest> = []
  /// Nothing that is decided reaches the disk, so nothing is decided: no attempt starts, and none is given up.
  var isStalled = false

  /// What the event being handled has led to so far.
  private var decided: [Record] = []
  private var outgoing: [CoordinatorEffect] = []

  public init(policy: FleetPolicy = FleetPolicy()) { self.policy = policy }

  /// Applies one record of the journal.
  public mutating func replay(_ record: Record) { apply(record) }

  /// Called once, after replay and before the first event: attempts that were running get a fresh lease, in which their
  /// workers can come back.
  public mutating func start(at now: Instant) {
    self.now = now
    renewAllLeases()
    superseded = []
    resumeRepairs()
  }

  /// When `deadlinePassed` is due; nil while nothing waits for a time.
  public var nextDeadline: Instant? { isStalled ? nil : deadlines.first?.priority }

  public mutating func handle(_ event: CoordinatorEvent, at now: Instant) -> [CoordinatorEffect] {
    self.now = max(self.now, now)
    switch event {
    case .received(let message, let connection, let missing): receive(message, from: connection, missing: missing)
    case .requested(let request, let connection, let missing): answer(request, from: connection, missing: missing)
    case .disconnected(let connection): disconnected(connection)
    case .artifactsLost(let artifacts): artifactsLost(artifacts)
    case .artifactStored(let artifact): artifactStored(artifact)
    case .deadlinePassed: break
    case .journalStalled: isStalled = true
    case .journalResumed:
      isStalled = false
      renewAllLeases()
    }
    if !isStalled {
      meetDeadlines()
      askForRepairs()
      schedule()
    }
    return takeEffects()
  }
}

// MARK: - Deciding and telling

extension CoordinatorBrain {
  /// Makes a fact durable and lets its consequences happen.
  mutating func decide(_ record: Record) {
    decided.append(record)
    apply(record)
  }

  /// Tells a worker, after all that was decided is on disk. A worker that is not there hears it when it returns.
  mutating func tell(_ worker: WorkerID, _ message: CoordinatorMessage) {
    if let connection = workers[worker]?.connection { outgoing.append(.send(message, to: connection)) }
  }

  mutating func emit(_ effect: CoordinatorEffect) { outgoing.append(effect) }

  private mutating func takeEffects() -> [CoordinatorEffect] {
    defer {
      decided = []
      outgoing = []
    }
    return decided.isEmpty ? outgoing : [.journal(decided)] + outgoing
  }
}

/// What the coordinator waits for.
enum Deadline: Hashable, Sendable {
  case lease(AttemptNumber)
  /// A connected worker must have said something by then.
  case silence(WorkerID)
  /// A failed job may try again.
  case retry(job: Int)
  /// A benchmark has waited long enough for its box to be kept free.
  case benchmark(sweep: Int)
  /// A box has been without workers for long enough.
  case box(BoxID)
  /// A lost artifact that nobody has brought so far.
  case repair(ArtifactDigest)
  /// A vanished worker need not be listed any longer.
  case forget(WorkerID)
}
