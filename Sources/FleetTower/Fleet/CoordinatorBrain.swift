import Bytes
import Sweep

/// The coordinator without its sockets, clock and files: sweeps, jobs, attempts and workers, and what follows when
/// something happens to them.
///
/// The ledger is durable: every decision is first a record, and the ledger is the fold of all records. The roster, the
/// queue and the repair desk are what connections and the clock have made of it, and are made anew after a restart. To
/// rebuild: `replay` all records in order, then `start`.
public struct CoordinatorBrain: Sendable {
  public let policy: FleetPolicy
  private(set) var ledger = Ledger()
  var roster: Roster
  var queue: JobQueue
  var repairs: RepairDesk
  /// The sweeps with an objective that no worker can measure, so that nothing of them starts.
  var unmeasurableSweeps: Set<SweepIndex> = []
  /// Checkpoints that need not be kept any longer, unless something else references them.
  private var superseded: Set<Digest> = []
  private(set) var now = Instant(milliseconds: 0)
  /// Nothing that is decided reaches the disk, so nothing is decided: no attempt starts, and none is given up.
  private var isStalled = false

  /// The results so far of the event being handled.
  private var decided: [Record] = []
  private var outgoing: [CoordinatorEffect] = []

  public init(policy: FleetPolicy = FleetPolicy()) {
    self.policy = policy
    roster = Roster(policy)
    queue = JobQueue(policy)
    repairs = RepairDesk(policy)
  }

  /// Applies one record of the journal.
  public mutating func replay(_ record: Record) { _ = ledger.apply(record) }

  /// Called once, after replay and before the first event: attempts that were running get a fresh lease, in which their
  /// workers can come back, and jobs that paused may start at once.
  public mutating func start(at now: Instant) {
    self.now = now
    for (_, attempt) in ledger.attempts.sorted(by: { $0.key < $1.key }) { roster.begin(attempt, at: now) }
    resumeRepairs()
    for job in jobs.indices { lineUp(job) }
  }

  /// When `deadlinePassed` is due; nil while nothing waits for a time.
  public var nextDeadline: Instant? {
    if isStalled { return nil }
    return [roster.deadlines.first, queue.deadlines.first, repairs.deadlines.first].compactMap { $0?.priority }.min()
  }

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

  var jobs: Table<Job> { ledger.jobs }
  var sweeps: Table<SweepState> { ledger.sweeps }
}

// MARK: - Deciding and telling

extension CoordinatorBrain {
  /// Makes a fact durable and lets its consequences happen.
  mutating func decide(_ record: Record) {
    decided.append(record)
    let changes = ledger.apply(record)
    for number in changes.ended { roster.end(number, at: now) }
    if let attempt = changes.begun { roster.begin(attempt, at: now) }
    if case .workerDrained(let worker, let isDraining) = record { roster.setDrained(worker, isDraining, at: now) }
    for sweep in changes.turned { queue.setClaim(sweep, sweeps[sweep].claim) }
    for job in changes.moved {
      queue.remove(job)
      queue.endPause(of: job)
    }
    if case .attemptEnded(_, let key, let outcome) = record { pause(key, after: outcome) }
    for job in changes.moved { lineUp(job) }
    for sweep in changes.steered { lineUpJobs(of: sweep) }
    if changes.hasLossesChanged { refreshQueue() }
    superseded.formUnion(changes.superseded)
  }

  /// Tells a worker, after all that was decided is on disk. A worker that is not there hears it when it returns.
  mutating func tell(_ worker: WorkerID, _ message: CoordinatorMessage) {
    if let connection = roster.workers[worker]?.connection { outgoing.append(.send(message, to: connection)) }
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

// MARK: - Who stands in line

extension CoordinatorBrain {
  /// Lets the job stand in the lines where it belongs, and in no others.
  mutating func lineUp(_ job: JobIndex) {
    guard let entry = entry(of: job) else { return queue.remove(job) }
    let sweeps = sweeps
    queue.set(job, entry, claim: { sweeps[$0].claim }, at: now)
  }

  mutating func lineUpJobs(of sweep: SweepIndex) { for job in sweeps[sweep].jobs { lineUp(job) } }

  /// Brings the queue in line with the artifacts that can be had.
  mutating func refreshQueue() { for job in jobs.indices where couldStart(job) { lineUp(job) } }

  /// A job stands in line for each active sweep that wants it, if nothing but a slot is missing.
  func entry(of job: JobIndex) -> JobQueue.Entry? {
    guard couldStart(job), unavailableInput(of: job) == nil else { return nil }
    let sweeps = jobs[job].sweeps.filter(isActive)
    guard !sweeps.isEmpty else { return nil }
    return JobQueue.Entry(
      sweeps: sweeps, isBenchmark: jobs[job].stage == .benchmark, remainingCost: jobs[job].remainingCost,
      holder: holder(of: job))
  }

  /// Whether nothing but a slot, its inputs and its sweep's word is missing.
  private func couldStart(_ job: JobIndex) -> Bool {
    switch jobs[job].state {
    case .ready: !queue.isPausing(job)
    case .leased(let number): roster.holdings[number]?.isOrphaned == true
    case .waiting, .succeeded, .failed, .blocked, .cancelled: false
    }
  }

  func isActive(_ sweep: SweepIndex) -> Bool { sweeps[sweep].isOpen && !unmeasurableSweeps.contains(sweep) }

  /// The worker that made the job's input and has it in its cache.
  func holder(of job: JobIndex) -> WorkerID? { jobs[job].parent.flatMap { jobs[$0].success?.worker } }

  /// Slows down a job that fails, or that starts and ends again and again through no fault of its own.
  private mutating func pause(_ key: JobKey, after outcome: AttemptOutcome) {
    guard let job = ledger.jobOfKey[key] else { return }
    let doublings =
      if case .failed = outcome { jobs[job].failures - 1 } else { jobs[job].fruitlessAttempts - policy.failureLimit }
    guard doublings >= 0 else { return }
    let pause = doubling(policy.retryMilliseconds, doublings, policy.retryLimitMilliseconds)
    queue.pause(job, until: now.advanced(byMilliseconds: pause))
  }
}

extension CoordinatorBrain {
  /// Breaks an index, so that it can be shown that `validate` notices.
  package mutating func misplaceJobs() { queue.misplace() }
}

// MARK: - The store

extension CoordinatorBrain {
  /// Returns the artifacts that the journal references and those promised to live attempts. The store may forget
  /// everything else that is not fresh.
  public func referencedArtifacts() -> Set<Digest> {
    var digests: Set<Digest> = []
    ledger.forEachReference { artifact, _ in digests.insert(artifact.digest) }
    for attempt in ledger.attempts.values { digests.formUnion(attempt.inputs.values.map(\.digest)) }
    return digests
  }

  /// Checkpoints that later ones, or results, have superseded since this was last asked, and that nothing references.
  /// They need not grow old before the store forgets them.
  public mutating func takeSuperseded() -> [Digest] {
    guard !superseded.isEmpty else { return [] }
    // An artifact that is still referenced, such as a running attempt's checkpoint, is left to the next cleaning.
    defer { superseded = [] }
    return superseded.subtracting(referencedArtifacts()).sorted()
  }

  /// Returns a description of the artifact for people; nil if nothing references it.
  public func description(of digest: Digest) -> String? { ledger.description(of: digest) }

  /// Whether a worker may yet bring it.
  public func isBeingRepaired(_ digest: Digest) -> Bool {
    repairs.contains(digest) && !ledger.lostArtifacts.contains(digest)
  }
}

/// An event that the coordinator waits for.
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
  case repair(Digest)
}
