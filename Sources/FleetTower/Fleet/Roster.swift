import Sweep

/// A worker as the coordinator knows it.
struct WorkerState: Sendable {
  let id: WorkerID
  let incarnation: UInt64
  let name: String
  let box: BoxID
  let slots: Int
  let protocolVersion: Int
  let labels: [String: String]
  fileprivate(set) var connection: ConnectionID?
  /// The worker says that it is on its way out.
  let isLeaving: Bool
  /// Operators want it to take nothing new.
  fileprivate(set) var isDrained: Bool
  /// The metrics that its host can measure; nil if it has not announced any, which counts as all.
  let metrics: Set<Objective.Metric>?
  /// When it last said something.
  fileprivate(set) var heardAt: Instant

  /// Connected and not on its way out.
  var isWilling: Bool { connection != nil && !isLeaving && !isDrained }
  func canMeasure(_ metric: Objective.Metric) -> Bool { metrics?.contains(metric) ?? true }
}

/// The part of a live attempt that a worker has, as far as is known.
struct Holding: Sendable {
  let worker: WorkerID
  let box: BoxID
  /// Its worker's connection is gone. The job may be given to another worker, but until that happens the worker may
  /// come back and go on.
  fileprivate(set) var isOrphaned = false
  /// Its inputs are still on their way to the worker, as of its last heartbeat.
  fileprivate(set) var isFetching = false
}

/// A machine and what runs on it.
struct Box: Sendable {
  /// Sorted.
  fileprivate(set) var workers: [WorkerID] = []
  /// Attempts that may be running there, orphaned ones included.
  fileprivate(set) var attemptCount = 0
  fileprivate(set) var benchmark: AttemptNumber?
  /// The moment since which no worker there is willing.
  fileprivate(set) var absentSince: Instant?
}

/// The workers and their hosts: who is connected, what each holds, and who could take a job.
struct Roster: Sendable {
  private let policy: FleetPolicy
  private(set) var workers: [WorkerID: WorkerState] = [:]
  private(set) var holdings: [AttemptNumber: Holding] = [:]
  private(set) var boxes: [BoxID: Box] = [:]
  /// Hosts where nothing new starts, so that a benchmark can have them alone.
  private(set) var reservedBoxes: Set<BoxID> = []
  /// The attempts in `holdings` of each worker, known or not, oldest first.
  private(set) var attemptsOfWorker: [WorkerID: [AttemptNumber]] = [:]
  private var workerOfConnection: [ConnectionID: WorkerID] = [:]
  /// The workers without a connection, the longest absent first.
  private var absentWorkers = KeyedQueue<WorkerID, Instant>()
  private var freeWorkers = FreeWorkers()
  private(set) var deadlines = KeyedQueue<Deadline, Instant>()

  init(_ policy: FleetPolicy) { self.policy = policy }

  mutating func takeDeadline(upTo now: Instant) -> Deadline? { deadlines.take(upTo: now) }

  func worker(on connection: ConnectionID) -> WorkerID? { workerOfConnection[connection] }
  var connectionCount: Int { workerOfConnection.count }
  func attempts(of worker: WorkerID) -> [AttemptNumber] { attemptsOfWorker[worker] ?? [] }
  func isConnected(_ id: WorkerID) -> Bool { workers[id]?.connection != nil }

  /// Whether a connected worker has been heard of late. A process that a new one replaces has fallen silent.
  func isAlive(_ worker: WorkerState, at now: Instant) -> Bool {
    now < worker.heardAt.advanced(byMilliseconds: 2 * policy.heartbeatMilliseconds)
  }
}

// MARK: - Coming and going

extension Roster {
  /// - Parameter awaited: the hosts that benchmarks wait for, which are kept even without workers.
  mutating func enroll(
    _ hello: Hello, on connection: ConnectionID, isDrained: Bool, keeping awaited: Set<BoxID>, at now: Instant
  ) {
    let id = hello.worker
    if let known = workers[id], known.box != hello.box { leave(known, keeping: awaited, at: now) }
    workers[id] = WorkerState(
      id: id, incarnation: hello.incarnation, name: hello.name, box: hello.box,
      slots: min(max(0, hello.slots), MessageBounds.slots),
      protocolVersion: hello.protocolVersion, labels: hello.labels, connection: connection, isLeaving: hello.isDraining,
      isDrained: isDrained, metrics: hello.metrics.map { Set($0.compactMap(Objective.Metric.init)) }, heardAt: now)
    workerOfConnection[connection] = id
    if boxes[hello.box]?.workers.contains(id) != true {
      boxes[hello.box, default: Box()].workers.append(id)
      boxes[hello.box]!.workers.sort()
    }
    deadlines.remove(.forget(id))
    absentWorkers.remove(id)
    heard(from: id, at: now)
    refresh(id, at: now)
  }

  mutating func heard(from id: WorkerID, at now: Instant) {
    workers[id]!.heardAt = now
    deadlines.set(.silence(id), now.advanced(byMilliseconds: policy.leaseMilliseconds))
  }

  mutating func setDrained(_ id: WorkerID, _ isDrained: Bool, at now: Instant) {
    workers[id]?.isDrained = isDrained
    refresh(id, at: now)
  }

  /// The attempts of the worker may go elsewhere at once; should it come back before they have, it goes on with them.
  /// - Returns: nil for operators, connections that never said hello, and those already replaced.
  mutating func disconnect(_ connection: ConnectionID, at now: Instant) -> WorkerID? {
    guard let id = workerOfConnection.removeValue(forKey: connection) else { return nil }
    workers[id]!.connection = nil
    deadlines.remove(.silence(id))
    deadlines.set(.forget(id), now.advanced(byMilliseconds: policy.boxPatienceMilliseconds))
    for number in attempts(of: id) { holdings[number]!.isOrphaned = true }
    refresh(id, at: now)
    absentWorkers.set(id, now)
    return id
  }

  /// The worker that has been away for longest, if more are away than may be listed.
  var superfluousWorker: WorkerID? {
    absentWorkers.count > policy.absentWorkerLimit ? absentWorkers.first?.key : nil
  }

  /// Drops a worker that has not come back. (Its attempts ended with their leases, long before.)
  /// - Returns: false if it is there, or attempts are with it.
  mutating func forget(_ id: WorkerID, keeping awaited: Set<BoxID>, at now: Instant) -> Bool {
    absentWorkers.remove(id)
    guard let worker = workers[id], worker.connection == nil, attemptsOfWorker[id] == nil else { return false }
    workers[id] = nil
    deadlines.remove(.forget(id))
    leave(worker, keeping: awaited, at: now)
    return true
  }

  private mutating func leave(_ worker: WorkerState, keeping awaited: Set<BoxID>, at now: Instant) {
    let box = worker.box
    boxes[box]!.workers.removeAll { $0 == worker.id }
    guard boxes[box]!.workers.isEmpty, boxes[box]!.attemptCount == 0, !awaited.contains(box) else {
      return refreshAbsence(of: box, at: now)
    }
    boxes[box] = nil
    reservedBoxes.remove(box)
    deadlines.remove(.box(box))
  }
}

// MARK: - Attempts

extension Roster {
  mutating func begin(_ attempt: Attempt, at now: Instant) {
    holdings[attempt.number] = Holding(worker: attempt.worker, box: attempt.box)
    attemptsOfWorker[attempt.worker, default: []].append(attempt.number)
    boxes[attempt.box, default: Box()].attemptCount += 1
    if attempt.isBenchmark { setBenchmark(attempt.number, on: attempt.box, at: now) }
    refresh(attempt.worker, at: now)
    renewLease(of: attempt.number, at: now)
  }

  mutating func end(_ number: AttemptNumber, at now: Instant) {
    guard let holding = holdings.removeValue(forKey: number) else { return }
    deadlines.remove(.lease(number))
    attemptsOfWorker[holding.worker]!.removeAll { $0 == number }
    if attemptsOfWorker[holding.worker]!.isEmpty { attemptsOfWorker[holding.worker] = nil }
    boxes[holding.box]!.attemptCount -= 1
    if boxes[holding.box]!.benchmark == number { setBenchmark(nil, on: holding.box, at: now) }
    refresh(holding.worker, at: now)
  }

  mutating func renewLease(of number: AttemptNumber, at now: Instant) {
    deadlines.set(.lease(number), now.advanced(byMilliseconds: policy.leaseMilliseconds))
  }

  /// The worker that holds the attempt is there.
  mutating func resume(_ number: AttemptNumber, at now: Instant) {
    holdings[number]!.isOrphaned = false
    renewLease(of: number, at: now)
  }

  mutating func setFetching(_ number: AttemptNumber, _ isFetching: Bool) { holdings[number]!.isFetching = isFetching }

  private mutating func setBenchmark(_ number: AttemptNumber?, on id: BoxID, at now: Instant) {
    boxes[id]!.benchmark = number
    for worker in boxes[id]!.workers { refresh(worker, at: now) }
  }
}

// MARK: - Who could take a job

extension Roster {
  /// The figures of the workers that the placement admits, and of their slots.
  func figures(for placement: SweepPlacement = SweepPlacement()) -> FleetFigures {
    var figures = FleetFigures()
    for (id, worker) in workers where placement.admits(worker.labels) {
      if worker.connection == nil { figures.absentWorkers += 1 } else { figures.connectedWorkers += 1 }
      if worker.connection != nil, !worker.isWilling { figures.drainingWorkers += 1 }
      if worker.isWilling { figures.slots += worker.slots }
      if isFree(id) { figures.freeSlots += worker.slots - attempts(of: id).count }
    }
    return figures
  }

  func isFree(_ id: WorkerID) -> Bool { freeWorkers.contains(id) }

  /// The free worker that the placement prefers, among equals the one with the fewest attempts.
  func bestFreeWorker(for placement: SweepPlacement) -> WorkerID? { freeWorkers.best(for: placement) }

  /// Whether the placement admits the worker and prefers no other free one to it.
  func isFree(_ id: WorkerID, likeTheBestFor placement: SweepPlacement) -> Bool {
    freeWorkers.contains(id, likeTheBestFor: placement)
  }

  /// Keeps an account of the free workers for each of these placements.
  mutating func openPools(for placements: some Collection<SweepPlacement>) {
    freeWorkers.open(for: placements) { [workers, attemptsOfWorker] id in
      (workers[id]!, attemptsOfWorker[id]?.count ?? 0)
    }
  }

  func willingWorker(on box: BoxID) -> WorkerID? { boxes[box]?.workers.first { workers[$0]!.isWilling } }

  /// A willing worker there that the placement admits and that can measure all the metrics.
  func willingWorker(on box: BoxID, for placement: SweepPlacement, measuring metrics: [Objective.Metric]) -> WorkerID? {
    boxes[box]?.workers.first { canMeasure(metrics, workers[$0]!, placement) }
  }

  /// Whether there is a willing worker that the placement admits and that can measure all the metrics.
  func canMeasure(_ metrics: [Objective.Metric], for placement: SweepPlacement) -> Bool {
    workers.values.contains { canMeasure(metrics, $0, placement) }
  }

  private func canMeasure(_ metrics: [Objective.Metric], _ worker: WorkerState, _ placement: SweepPlacement) -> Bool {
    worker.isWilling && placement.admits(worker.labels) && metrics.allSatisfy(worker.canMeasure)
  }

  /// Whether a willing worker on the box, or on any if it is nil, is admitted by the placement.
  func hasWillingWorker(on box: BoxID?, for placement: SweepPlacement) -> Bool {
    guard !placement.requires.isEmpty else { return true }
    let candidates = box.map { boxes[$0]?.workers ?? [] } ?? Array(workers.keys)
    return candidates.contains { workers[$0]!.isWilling && placement.admits(workers[$0]!.labels) }
  }

  /// Returns the metrics that none of the known workers which the placement admits can measure, connected or not. While
  /// no such worker is known, there are none.
  func unmeasurable(_ metrics: [Objective.Metric], for placement: SweepPlacement) -> [Objective.Metric] {
    guard !metrics.isEmpty, workers.values.contains(where: { placement.admits($0.labels) }) else { return [] }
    return metrics.filter { metric in
      !workers.values.contains { placement.admits($0.labels) && $0.canMeasure(metric) }
    }
  }

  /// How many labels that the placement prefers the host's willing workers have, at best.
  func matches(on box: BoxID, for placement: SweepPlacement) -> Int {
    guard !placement.prefers.isEmpty else { return 0 }
    let candidates = (boxes[box]?.workers ?? []).map { workers[$0]! }
    return candidates.filter { $0.isWilling && placement.admits($0.labels) }.map { placement.matches($0.labels) }.max()
      ?? 0
  }

  mutating func setReserved(_ id: BoxID, _ isReserved: Bool, at now: Instant) {
    guard reservedBoxes.contains(id) != isReserved else { return }
    if isReserved { reservedBoxes.insert(id) } else { reservedBoxes.remove(id) }
    for worker in boxes[id]!.workers { refresh(worker, at: now) }
  }

  /// Whether the host has had no willing worker for too long. One of which nothing is known since the coordinator
  /// started counts from the first time that this is asked.
  mutating func hasBeenAbsentTooLong(_ id: BoxID, at now: Instant) -> Bool {
    guard let since = boxes[id]?.absentSince else {
      setAbsent(id, since: now)
      return false
    }
    return now >= since.advanced(byMilliseconds: policy.boxPatienceMilliseconds)
  }

  private mutating func setAbsent(_ id: BoxID, since now: Instant) {
    boxes[id, default: Box()].absentSince = now
    deadlines.set(.box(id), now.advanced(byMilliseconds: policy.boxPatienceMilliseconds))
  }

  private func hasFreeSlot(_ worker: WorkerState) -> Bool {
    worker.isWilling && attempts(of: worker.id).count < worker.slots && !reservedBoxes.contains(worker.box)
      && boxes[worker.box]!.benchmark == nil
  }

  /// Called after anything that concerns the worker: the account of free workers and absent hosts follows.
  private mutating func refresh(_ id: WorkerID, at now: Instant) {
    guard let worker = workers[id] else { return }
    let attemptCount = hasFreeSlot(worker) ? attempts(of: id).count : nil
    freeWorkers.place(worker, attemptCount)
    refreshAbsence(of: worker.box, at: now)
  }

  private mutating func refreshAbsence(of id: BoxID, at now: Instant) {
    let isAbsent = willingWorker(on: id) == nil
    guard isAbsent != (boxes[id]!.absentSince != nil) else { return }
    if isAbsent {
      setAbsent(id, since: now)
      setReserved(id, false, at: now)
    } else {
      boxes[id]!.absentSince = nil
      deadlines.remove(.box(id))
    }
  }
}

// MARK: - Whether it is right

extension Roster {
  /// Returns what contradicts itself, in words.
  func validate() -> Violations {
    var found = Violations()
    var (connected, counts) = (0, [BoxID: Int]())
    found.check(freeWorkers.areAll { workers[$0] != nil }, "an unknown worker is free")
    for (id, worker) in workers {
      let box = boxes[worker.box]
      found.check(box?.workers.contains(id) == true, "\(id) is not listed on its box \(worker.box)")
      found.check(
        freeWorkers.isInPlace(worker, hasFreeSlot(worker) ? attempts(of: id).count : nil),
        "\(id) with \(attempts(of: id).count) of \(worker.slots) slots taken is wrongly free, or not")
      if let connection = worker.connection {
        connected += 1
        found.check(workerOfConnection[connection] == id, "\(connection) of \(id) is unknown")
        found.check(!absentWorkers.contains(id), "\(id) is connected and absent")
        found.check(!deadlines.contains(.forget(id)), "\(id) is connected and to be forgotten")
      } else {
        found.check(!deadlines.contains(.silence(id)), "\(id) must say something without a connection")
      }
    }
    found.check(connected == workerOfConnection.count, "\(workerOfConnection.count) connections, \(connected) workers")
    found.check(connected + absentWorkers.count <= workers.count, "\(absentWorkers.count) workers are absent")
    for (number, holding) in holdings {
      counts[holding.box, default: 0] += 1
      found.check(attempts(of: holding.worker).contains(number), "\(number) is not listed with \(holding.worker)")
      found.check(deadlines.contains(.lease(number)), "\(number) has no lease")
      found.check(
        !(holding.isOrphaned && isConnected(holding.worker)), "\(number) is orphaned beside \(holding.worker)")
    }
    found.check(
      attemptsOfWorker.values.reduce(0) { $0 + $1.count } == holdings.count, "attempts are listed that nobody holds")
    found.check(attemptsOfWorker.values.allSatisfy { !$0.isEmpty }, "an empty list of attempts is kept")
    for (id, box) in boxes {
      found.check(box.attemptCount == counts[id] ?? 0, "box \(id) counts \(box.attemptCount) of \(counts[id] ?? 0)")
      found.check(box.benchmark.map { holdings[$0]?.box == id } ?? true, "the benchmark on box \(id) has ended")
      found.check(box.workers.allSatisfy { workers[$0]?.box == id }, "box \(id) lists workers that are not there")
      found.check(zip(box.workers, box.workers.dropFirst()).allSatisfy(<), "the workers of box \(id) are not sorted")
      let isAbsent = willingWorker(on: id) == nil
      // A box that runs what was begun before a restart has not been looked at yet.
      found.check((box.absentSince != nil) == isAbsent || box.workers.isEmpty, "box \(id) is wrongly absent or not")
    }
    found.check(counts.keys.allSatisfy { boxes[$0] != nil }, "an attempt runs on an unknown box")
    found.check(reservedBoxes.allSatisfy { boxes[$0] != nil }, "a box is reserved and unknown")
    for deadline in deadlines.keys {
      switch deadline {
      case .lease(let number): found.check(holdings[number] != nil, "\(number) has ended and has a lease")
      case .silence(let id), .forget(let id): found.check(workers[id] != nil, "\(id) is unknown and awaited")
      case .box(let id): found.check(boxes[id]?.absentSince != nil, "box \(id) is there and awaited")
      case .retry, .benchmark, .repair: found.add("\(deadline) is not the roster's")
      }
    }
    return found
  }
}
