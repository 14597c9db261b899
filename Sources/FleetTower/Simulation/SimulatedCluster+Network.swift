import Fleet
import Sweep

/// One control connection: bytes arrive late but in order, until it breaks; each end learns of the break by itself.
struct SimulatedConnection: Sendable {
  let worker: Int
  let incarnation: UInt64
  var isGoneAtCoordinator = false
  var isGoneAtWorker = false
  var lastToCoordinator: Int64 = 0
  var lastToWorker: Int64 = 0
}

extension SimulatedCluster {
  mutating func connect(_ worker: Int) {
    guard coordinator.brain != nil, !isPartitioned(worker), isPeaceful || !random.once(in: 8) else {
      return after(1...300, .refused(worker: worker, incarnation: workers[worker].incarnation))
    }
    lastConnection += 1
    let id = ConnectionID(lastConnection)
    connections[id] = SimulatedConnection(worker: worker, incarnation: workers[worker].incarnation)
    workers[worker].connection = id
    after(1...50, .established(worker: worker, id))
  }

  mutating func established(_ worker: Int, _ id: ConnectionID) throws {
    guard workers[worker].connection == id, let connection = connections[id] else { return }
    deliver(worker, connection.incarnation, .connected)
  }

  mutating func send(_ message: WorkerMessage, over id: ConnectionID) {
    guard let connection = connections[id], !connection.isGoneAtWorker else { return }
    let arrival = max(connection.lastToCoordinator, clear(connection.worker) + random.milliseconds(0...40))
    connections[id]!.lastToCoordinator = arrival
    at(arrival, .toCoordinator(id, message))
  }

  mutating func send(_ message: CoordinatorMessage, over id: ConnectionID) {
    guard let connection = connections[id] else { return }
    let arrival = max(connection.lastToWorker, clear(connection.worker) + random.milliseconds(0...40))
    connections[id]!.lastToWorker = arrival
    at(arrival, .toWorker(id, message))
  }

  /// When the way to a worker is next free.
  private func clear(_ worker: Int) -> Int64 { max(now, workers[worker].partitionedUntil) }
  func isPartitioned(_ worker: Int) -> Bool { workers[worker].partitionedUntil > now }

  mutating func arriveAtCoordinator(_ id: ConnectionID, _ message: WorkerMessage) throws {
    guard let connection = connections[id], !connection.isGoneAtCoordinator else { return }
    if isPartitioned(connection.worker) {
      return at(workers[connection.worker].partitionedUntil, .toCoordinator(id, message))
    }
    var message = message
    var source = id
    if case .hello(var hello) = message {
      hello.protocolVersion = workers[connection.worker].protocolVersion
      if fault == .ignoreVersions { hello.protocolVersion = FleetProtocol.version }
      if fault == .forgetSharedBox { hello.box = BoxID("\(hello.worker)") }
      message = .hello(hello)
    }
    if fault == .forgetFinality, case .attemptFailed(let attempt, var failure) = message {
      failure.isFinal = false
      message = .attemptFailed(attempt: attempt, failure: failure)
    }
    if fault == .noFencing { (message, source) = passOff(message, from: id) }
    let missing = message.artifacts.map(\.digest).filter { !coordinator.store.contains($0) }
    try inform(.received(message, from: source, missing: missing))
  }

  /// The planted fault: a stale attempt's result takes the number and the connection of the job's live attempt.
  private func passOff(_ message: WorkerMessage, from id: ConnectionID) -> (WorkerMessage, ConnectionID) {
    guard case .attemptFinished(let number, let result) = message else { return (message, id) }
    var jobs: [AttemptNumber: JobKey] = [:]
    var live: [JobKey: (AttemptNumber, WorkerID)] = [:]
    for record in coordinator.disk {
      if case .attemptStarted(let attempt, let job, let worker, _) = record {
        jobs[attempt] = job
        live[job] = (attempt, worker)
      }
    }
    guard let job = jobs[number], let (newest, worker) = live[job], newest > number else { return (message, id) }
    let holder = connections.first { !$0.value.isGoneAtCoordinator && workers[$0.value.worker].id == worker }
    guard let holder else { return (message, id) }
    return (.attemptFinished(attempt: newest, result: result), holder.key)
  }

  mutating func arriveAtWorker(_ id: ConnectionID, _ message: CoordinatorMessage) {
    guard let connection = connections[id], !connection.isGoneAtWorker else { return }
    if isPartitioned(connection.worker) {
      return at(workers[connection.worker].partitionedUntil, .toWorker(id, message))
    }
    deliver(connection.worker, connection.incarnation, .received(message), over: id)
  }

  mutating func endAtCoordinator(_ id: ConnectionID) throws {
    guard let connection = connections[id], !connection.isGoneAtCoordinator else { return }
    connections[id]!.isGoneAtCoordinator = true
    try inform(.disconnected(id))
    if connections[id]!.isGoneAtWorker { connections[id] = nil }
  }

  mutating func endAtWorker(_ id: ConnectionID) {
    guard let connection = connections[id], !connection.isGoneAtWorker else { return }
    connections[id]!.isGoneAtWorker = true
    if workers[connection.worker].connection == id {
      workers[connection.worker].connection = nil
      deliver(connection.worker, connection.incarnation, .disconnected)
    }
    if connections[id]!.isGoneAtCoordinator { connections[id] = nil }
  }

  /// The worker's end closes; the other end hears of it, or not.
  mutating func hangUp(_ id: ConnectionID, heard: Bool) {
    guard let connection = connections[id] else { return }
    connections[id]!.isGoneAtWorker = true
    if workers[connection.worker].connection == id { workers[connection.worker].connection = nil }
    if heard { at(max(connection.lastToCoordinator, clear(connection.worker)) + 1, .endAtCoordinator(id)) }
  }
}
