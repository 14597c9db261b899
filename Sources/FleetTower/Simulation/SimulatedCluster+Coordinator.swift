import Fleet
import Sweep

/// The coordinator's box: a brain, a disk, a store, and a shell that writes before it speaks.
struct SimulatedCoordinator: Sendable {
  let policy: FleetPolicy
  var brain: CoordinatorBrain?
  /// Counts restarts; what was scheduled for an earlier life is void.
  var generation = 0
  /// The journal, as far as it is durable.
  var disk: [Record] = []
  var store: Set<ArtifactDigest> = []
  /// Those of the store whose bytes are not the right ones any more, which shows when they are read.
  var rotten: Set<ArtifactDigest> = []
  /// Decided but not yet on the disk, or waiting behind something that is not.
  var pending: [CoordinatorEffect] = []
  var isCommitting = false
  var ring: Instant?
  /// Processes measure time from their own start.
  var clockOffset: Int64 = 0
  var finishedSweeps: Set<SweepID> = []
}

extension SimulatedCluster {
  mutating func startCoordinator() throws {
    guard coordinator.brain == nil else { return }
    coordinator.generation += 1
    coordinator.clockOffset = random.milliseconds(0...1_000_000)
    var brain = CoordinatorBrain(policy: coordinator.policy)
    try compactJournal()
    for record in coordinator.disk { brain.replay(record) }
    brain.start(at: coordinatorNow)
    coordinator.brain = brain
    coordinator.ring = nil
    tell("coordinator starts with \(coordinator.disk.count) records")
    setCoordinatorRing()
  }

  private var coordinatorNow: Instant {
    Instant(milliseconds: (fault == .leaseNeverExpires ? 0 : now) + coordinator.clockOffset)
  }

  /// A crash anywhere between deciding, writing and sending: of what was being written, some of the first may be on the
  /// disk; whatever was to be sent is not sent.
  mutating func crashCoordinator() throws {
    guard coordinator.brain != nil else { return }
    report.coordinatorCrashes += 1
    var batches: [[Record]] = coordinator.pending.compactMap { effect in
      if case .journal(let records) = effect { records } else { nil }
    }
    if !batches.isEmpty { batches.removeLast(random.below(batches.count + 1)) }
    tell("coordinator crashes; \(batches.count) batches still reach the disk")
    for batch in batches { try write(batch) }
    if fault == .forgetPauses { coordinator.disk.removeAll { if case .sweepSteered = $0 { true } else { false } } }
    if fault == .forgiveLosses { coordinator.disk = coordinator.disk.map(forgiven) }
    if fault == .loseTail { coordinator.disk.removeLast(min(1, coordinator.disk.count)) }
    coordinator.brain = nil
    coordinator.pending = []
    coordinator.isCommitting = false
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

  private func forgiven(_ record: Record) -> Record {
    guard case .attemptEnded(let attempt, let job, .lost) = record else { return record }
    return .attemptEnded(attempt: attempt, job: job, outcome: .returned)
  }

  mutating func inform(_ event: CoordinatorEvent) throws {
    let moment = coordinatorNow
    guard let effects = coordinator.brain?.handle(event, at: moment) else { return }
    coordinator.pending += effects
    if fault == .acknowledgeBeforeFsync {
      for effect in effects { if case .journal = effect { continue } else { try perform(effect) } }
      coordinator.pending.removeAll { if case .journal = $0 { false } else { true } }
    }
    try flush()
    setCoordinatorRing()
  }

  /// Performs what need not wait, and lets the disk begin where something must.
  private mutating func flush() throws {
    guard !coordinator.isCommitting else { return }
    while let effect = coordinator.pending.first {
      if case .journal = effect {
        coordinator.isCommitting = true
        return after(0...30, .committed(generation: coordinator.generation))
      }
      coordinator.pending.removeFirst()
      try perform(effect)
    }
  }

  /// One fsync for all that was decided until now.
  mutating func committed(_ generation: Int) throws {
    guard generation == coordinator.generation else { return }
    coordinator.isCommitting = false
    let ready = coordinator.pending
    coordinator.pending = []
    for effect in ready { if case .journal(let records) = effect { try write(records) } }
    if fault == .oneFailureStopsAll { try stopFailedSweeps(ready) }
    for effect in ready { try perform(effect) }
    try flush()
  }

  private mutating func stopFailedSweeps(_ effects: [CoordinatorEffect]) throws {
    for case .journal(let records) in effects {
      for case .jobFailed(let job, _) in records {
        for tree in trees where tree.nodes.contains(where: { $0.key == job }) {
          try inform(.requested(.steer(sweep: tree.sweep.name, mode: .stopped), from: ConnectionID(0)))
        }
      }
    }
  }

  private mutating func write(_ records: [Record]) throws {
    let kept = records.filter { record in
      switch (fault, record) {
      case (.reuseFencingNumbers, .attemptStarted), (.forgetCheckpoints, .checkpointStored): false
      case (.forgetResults, .jobSucceeded): false
      default: true
      }
    }
    coordinator.disk += kept
    try observe(.durable(kept))
  }

  private mutating func perform(_ effect: CoordinatorEffect) throws {
    switch effect {
    case .journal: break
    case .send(var message, let id):
      guard let connection = connections[id], !connection.isGoneAtCoordinator else { return }
      if case .assign = message { report.attempts += 1 }
      guard !spoil(&message) else { return }
      try observe(.said(message, to: workers[connection.worker].id))
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

  /// What planted faults do to a message.
  /// - Returns: whether it is swallowed.
  private func spoil(_ message: inout CoordinatorMessage) -> Bool {
    switch (fault, message) {
    case (.ignoreCheckpoint, .assign(var assignment)):
      assignment.inputs["resume"] = nil
      message = .assign(assignment)
    case (.noFencing, .welcome(var welcome)):
      welcome.abandon = []
      message = .welcome(welcome)
    case (.noFencing, .cancelAttempt(_, reason: .superseded)): return true
    default: break
    }
    return false
  }

  private mutating func setCoordinatorRing() {
    guard fault != .leaseNeverExpires, let deadline = coordinator.brain?.nextDeadline else { return }
    if let ring = coordinator.ring, ring <= deadline { return }
    coordinator.ring = deadline
    at(deadline.milliseconds - coordinator.clockOffset, .coordinatorRings(generation: coordinator.generation))
  }

  mutating func coordinatorRings(_ generation: Int) throws {
    guard generation == coordinator.generation else { return }
    coordinator.ring = nil
    try inform(.deadlinePassed)
  }

  // MARK: - Operators

  /// Operators whose coordinator is away try again. Some submit twice, and all of them once more in peace, because an
  /// answer may have died with the coordinator.
  mutating func operatorAsks(_ request: OperatorRequest) throws {
    // A request to stop that waited for the coordinator into peace is dropped: that its sweep does not finish, or its
    // worker takes nothing, would be no fault.
    switch request {
    case .cancel where isPeaceful, .drain(_, isDraining: true) where isPeaceful: return
    case .steer(_, let mode) where isPeaceful && mode != .active: return
    case .prioritize where fault == .ignorePriorities: return
    default: break
    }
    guard coordinator.brain != nil else { return after(500...1_500, .operatorAsks(request)) }
    for artifact in request.artifacts where !coordinator.store.contains(artifact.digest) {
      try store(artifact.digest)
    }
    try inform(.requested(spoiled(request), from: ConnectionID(0)))
  }

  /// What planted faults make of a request.
  private func spoiled(_ request: OperatorRequest) -> OperatorRequest {
    guard case .submit(var submission) = request else { return request }
    if fault == .ignorePriorities { submission.spec.priority = nil }
    if fault == .favourOneSweep, submission.sweepID == trees.last!.sweep {
      submission.spec.priority = (submission.spec.priority ?? 0) + 1
    }
    return .submit(submission)
  }

  private mutating func heard(_ response: OperatorResponse) {
    guard isPeaceful, case .sweeps(let summaries) = response, isStoreWhole else { return }
    for summary in summaries where summary.state == .finished || summary.state == .failed {
      guard let tree = trees.first(where: { $0.sweep == summary.sweep }) else { continue }
      let doomed = tree.nodes.filter { isHopeless($0.key) }.count
      if summary.state == .failed, summary.jobs.failed > doomed || doomed == 0 { continue }
      coordinator.finishedSweeps.insert(summary.sweep)
    }
  }

  /// In peace, people look at the sweeps now and then, and retry what failed by bad luck.
  mutating func look() throws {
    after(2_000...2_000, .look)
    guard coordinator.brain != nil else { return }
    coordinator.finishedSweeps = []
    try inform(.requested(.status(sweep: nil), from: ConnectionID(0)))
    // Where the data set is lost, the sweep's status asks for it.
    for submission in submissions where random.once(in: 5) { try operatorAsks(.submit(submission)) }
    for tree in trees where random.once(in: 5) {
      try inform(.requested(.retry(target: tree.sweep.name), from: ConnectionID(0)))
    }
  }
}
