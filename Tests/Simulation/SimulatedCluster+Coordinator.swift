import Bytes
import Fleet
import Sweep

/// The coordinator's box: a brain, a disk, a store, and a shell that writes before it speaks.
struct SimulatedCoordinator: Sendable {
  let policy: FleetPolicy
  var brain: CoordinatorBrain?
  /// Counts restarts; what was scheduled for an earlier life is void.
  var generation = 0
  var journal: SimulatedJournal
  var store: Set<Digest> = []
  /// The artifacts of the store whose bytes have become wrong, which shows when they are read.
  var rotten: Set<Digest> = []
  /// Decided, and waiting for the disk.
  var outbox = Outbox<CoordinatorEffect>(limit: SimulatedCoordinator.outboxLimit)
  /// The disk cannot be written, or too much waits for it: nobody is let in.
  var isShut = false
  /// Where within its next commit it is to crash.
  var crashPoint: CrashPoint?
  var ring: Instant?
  /// Processes measure time from their own start.
  var clockOffset: Int64 = 0
  /// When the brain last handled something, by its clock.
  var latest = Instant(milliseconds: 0)
  var finishedSweeps: Set<SweepID> = []

  static let outboxLimit = 20

  enum CrashPoint: Sendable {
    /// Decided, not written: the transaction is torn, and the journal ends before it.
    case torn
    /// Written; only so many of the messages that waited for it are sent.
    case written(sent: Int)
  }

  init(policy: FleetPolicy) {
    self.policy = policy
    journal = SimulatedJournal(policy: policy)
  }
}

extension SimulatedCluster {
  mutating func startCoordinator() throws(BrokenPromise) {
    guard coordinator.brain == nil else { return }
    coordinator.generation += 1
    coordinator.clockOffset = random.milliseconds(0...1_000_000)
    coordinator.latest = coordinatorNow
    try compactJournal()
    var brain = coordinator.journal.replay()
    brain.start(at: coordinatorNow)
    coordinator.brain = brain
    try validate(isLedgerKnown: false)
    coordinator.ring = nil
    tellFate("the coordinator starts with \(coordinator.journal.records.count) records")
    setCoordinatorRing()
  }

  /// The time on the brain's clock, which never goes back.
  var coordinatorTime: Instant { max(coordinator.latest, coordinatorNow) }

  private var coordinatorNow: Instant {
    Instant(milliseconds: (fault == .leaseNeverExpires ? 0 : now) + coordinator.clockOffset)
  }

  /// A crash anywhere between deciding, writing and sending: what was being written is on the disk or is not; whatever
  /// was to be sent is not sent.
  mutating func crashCoordinator(isTorn: Bool = false) throws(BrokenPromise) {
    guard coordinator.brain != nil else { return }
    report.coordinatorCrashes += 1
    if !isTorn, !coordinator.journal.transaction.isEmpty, coordinator.journal.canWrite(at: now), random.once(in: 2) {
      try writeTransaction()
    }
    tellFate("the coordinator crashes")
    if fault == .tornTransactions { try tearTransaction() }
    coordinator.journal.crash()
    spoilDisk()
    coordinator.brain = nil
    coordinator.outbox = Outbox(limit: SimulatedCoordinator.outboxLimit)
    coordinator.isShut = false
    coordinator.crashPoint = nil
    coordinator.generation += 1
    for (id, connection) in connections.sorted(by: { $0.key < $1.key }) where !connection.isGoneAtCoordinator {
      connections[id]!.isGoneAtCoordinator = true
      // A lost box says nothing; a lost process' connections are reset.
      if random.once(in: 4) { continue }
      after(0...100, .endAtWorker(id))
    }
    try observe(.crashed)
    after(100...4_000, .coordinatorRestarts)
  }

  mutating func inform(_ event: CoordinatorEvent) throws(BrokenPromise) {
    let moment = coordinatorNow
    if fault == .misplaceJobs { coordinator.brain?.misplaceJobs() }
    guard let effects = coordinator.brain?.handle(event, at: moment) else { return }
    try validate(isLedgerKnown: !effects.contains { if case .journal = $0 { true } else { false } })
    coordinator.latest = max(coordinator.latest, moment)
    for effect in effects {
      if case .journal(let records) = effect {
        coordinator.journal.append(records)
        coordinator.outbox.decide(through: coordinator.outbox.decided + records.count)
      } else if fault == .acknowledgeBeforeFsync || coordinator.outbox.admit(effect) {
        try perform(effect)
      }
    }
    beginTransaction()
    if coordinator.outbox.isOverfull { try shutOut() }
    setCoordinatorRing()
  }

  private func validate(isLedgerKnown: Bool) throws(BrokenPromise) {
    guard let violation = coordinator.brain?.validate(isLedgerKnown: isLedgerKnown).first else { return }
    throw broken("the coordinator's accounts agree with each other", violation)
  }

  /// To everybody else the coordinator is away until it can write again.
  private mutating func shutOut() throws(BrokenPromise) {
    guard !coordinator.isShut, fault != .unboundedOutbox else { return }
    coordinator.isShut = true
    report.stalls += 1
    tellFate("the coordinator lets nobody in: \(coordinator.outbox.count) things wait for its disk")
    coordinator.outbox.removeAll()
    try inform(.journalStalled)
    for id in connections.keys.sorted() where !connections[id]!.isGoneAtCoordinator {
      connections[id]!.isGoneAtCoordinator = true
      after(0...100, .endAtWorker(id))
      try inform(.disconnected(id))
    }
  }

  private mutating func beginTransaction() {
    guard coordinator.journal.beginTransaction() else { return }
    after(0...30, .committed(generation: coordinator.generation))
  }

  /// One fsync for all that was decided until the transaction began. One that fails is tried again.
  mutating func committed(_ generation: Int) throws(BrokenPromise) {
    guard generation == coordinator.generation else { return }
    guard coordinator.journal.canWrite(at: now) || fault == .acknowledgeOnFullDisk else {
      tellFate("the journal cannot be written")
      try shutOut()
      return after(1_000...1_000, .committed(generation: generation))
    }
    let records = coordinator.journal.transaction
    let crashPoint = coordinator.crashPoint
    if case .torn = crashPoint { return try crashCoordinator(isTorn: true) }
    try writeTransaction()
    let ready = coordinator.outbox.reachDisk(through: coordinator.outbox.durable + records.count)
    if fault == .oneFailureStopsAll { try stopFailedSweeps(records) }
    if case .written(let sent) = crashPoint {
      for effect in ready.prefix(sent) { try perform(effect) }
      return try crashCoordinator()
    }
    for effect in ready { try perform(effect) }
    beginTransaction()
    if coordinator.isShut, coordinator.outbox.isWritten {
      coordinator.isShut = false
      try inform(.journalResumed)
    }
  }

  mutating func writeTransaction() throws(BrokenPromise) {
    let fault = fault
    let canWrite = coordinator.journal.canWrite(at: now)
    let kept = coordinator.journal.commit { record in
      switch (fault, record) {
      case (.acknowledgeOnFullDisk, _): canWrite
      case (.reuseFencingNumbers, .attemptStarted), (.forgetCheckpoints, .checkpointStored): false
      case (.forgetResults, .jobSucceeded): false
      default: true
      }
    }
    if let story {
      for record in kept { tell(record, in: story) }
    }
    try observe(.durable(kept))
    if fault == .countTwice {
      try observe(.durable(kept.filter { if case .jobSucceeded = $0 { true } else { false } }))
    }
  }

  private func tell(_ record: Record, in story: Story) {
    tell("written: \(record.words)")
    guard case .attemptStarted(let attempt, let job, let worker, _) = record else { return }
    story.link(attempt: "\(attempt)", job: job.short, worker: "\(worker)")
  }

  private mutating func perform(_ effect: CoordinatorEffect) throws(BrokenPromise) {
    switch effect {
    case .journal: break
    case .send(var message, let id):
      guard let connection = connections[id], !connection.isGoneAtCoordinator else { return }
      if case .assign = message { report.attempts += 1 }
      guard !spoil(&message) else { return }
      tell("\(workers[connection.worker].id) is told: \(message.words)")
      try observe(.said(message, to: workers[connection.worker].id))
      if case .welcome = message {
        connections[id]!.isWelcomed = true
        try observe(.welcomed(workers[connection.worker].id, otherSilence: connection.otherSilence))
      }
      send(message, over: id)
    case .respond(let response, _):
      try observe(.answered(response))
      heard(response)
    case .close(let id):
      guard connections[id]?.isGoneAtCoordinator == false else { return }
      connections[id]!.isGoneAtCoordinator = true
      at(max(now + 1, connections[id]!.lastToWorker), .endAtWorker(id))
    }
  }

  private mutating func setCoordinatorRing() {
    guard fault != .leaseNeverExpires, let deadline = coordinator.brain?.nextDeadline else { return }
    if let ring = coordinator.ring, ring <= deadline { return }
    coordinator.ring = deadline
    at(deadline.milliseconds - coordinator.clockOffset, .coordinatorRings(generation: coordinator.generation))
  }

  mutating func coordinatorRings(_ generation: Int) throws(BrokenPromise) {
    guard generation == coordinator.generation else { return }
    coordinator.ring = nil
    try inform(.deadlinePassed)
  }

  // MARK: - Operators

  /// Operators whose coordinator is away try again. Some submit twice, and all of them once more in peace, because an
  /// answer may have died with the coordinator.
  mutating func operatorAsks(_ request: OperatorRequest) throws(BrokenPromise) {
    // A request to stop that waited for the coordinator into peace is dropped: that its sweep does not finish, or its
    // worker takes nothing, would be no fault.
    switch request {
    case .cancel where isPeaceful, .drain(_, isDraining: true) where isPeaceful: return
    case .steer(_, let mode) where isPeaceful && mode != .active: return
    case .submit(let submission) where isPeaceful && !submissions.contains(submission): return
    case .prioritize where fault == .ignorePriorities: return
    default: break
    }
    guard coordinator.brain != nil, !coordinator.isShut else { return after(500...1_500, .operatorAsks(request)) }
    for artifact in request.artifacts where !coordinator.store.contains(artifact.digest) {
      try store(artifact.digest)
    }
    try inform(.requested(spoiled(request), from: ConnectionID(0)))
  }

  private mutating func heard(_ response: OperatorResponse) {
    guard isPeaceful else { return }
    switch response {
    case .sweeps(let summaries):
      for summary in summaries {
        if summary.state == .finished, isStoreWhole { coordinator.finishedSweeps.insert(summary.sweep) }
        if summary.state == .failed { after(0...100, .operatorAsks(.status(sweep: summary.sweep.name))) }
      }
    case .sweep(let status) where status.summary.state == .failed: judge(status)
    default: break
    }
  }

  /// In peace, what failed by bad luck is tried again.
  private mutating func judge(_ status: SweepStatus) {
    let tree = trees.first { $0.sweep == status.summary.sweep }!
    let isDone = zip(status.jobs, futileNodes(of: tree)).allSatisfy { $0.state == .succeeded || $1 }
    guard !isDone else {
      if isStoreWhole { coordinator.finishedSweeps.insert(tree.sweep) }
      return
    }
    after(0...1_000, .operatorAsks(.retry(target: tree.sweep.name)))
  }

  /// In peace, people look at the sweeps now and then.
  mutating func look() throws(BrokenPromise) {
    after(2_000...2_000, .look)
    try observe(.looked(at: now, canRun: workers.contains { $0.connection != nil }))
    guard coordinator.brain != nil else { return }
    coordinator.finishedSweeps = []
    try inform(.requested(.status(sweep: nil), from: ConnectionID(0)))
    // Where the data set is lost, the sweep's status asks for it.
    for submission in submissions where random.once(in: 5) { try operatorAsks(.submit(submission)) }
  }
}
