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
  /// By the coordinator's clock, when the worker was last heard.
  var heardAt: Instant?
  var isWelcomed = false
  /// See `Observation.welcomed`.
  var otherSilence: Int64?
}

extension SimulatedCluster {
  mutating func connect(_ worker: Int) {
    workers[worker].connectionTry += 1
    guard coordinator.brain != nil, !coordinator.isShut, !isPartitioned(worker), isPeaceful || !random.once(in: 8)
    else {
      return after(1...300, .refused(worker: worker, connectionTry: workers[worker].connectionTry))
    }
    lastConnection += 1
    let id = ConnectionID(lastConnection)
    connections[id] = SimulatedConnection(worker: worker, incarnation: workers[worker].incarnation)
    workers[worker].connection = id
    after(1...50, .established(worker: worker, id))
  }

  mutating func established(_ worker: Int, _ id: ConnectionID) throws(BrokenPromise) {
    guard workers[worker].connection == id, let connection = connections[id] else { return }
    if isFrozen(worker) { return at(workers[worker].frozenUntil, .established(worker: worker, id)) }
    deliver(worker, connection.incarnation, .connected)
  }

  mutating func refused(_ worker: Int, _ connectionTry: Int) {
    // A try that was given up cannot speak any more.
    guard workers[worker].connectionTry == connectionTry else { return }
    if isFrozen(worker) {
      return at(workers[worker].frozenUntil, .refused(worker: worker, connectionTry: connectionTry))
    }
    deliver(worker, workers[worker].incarnation, .disconnected)
  }

  mutating func send(_ message: WorkerMessage, over id: ConnectionID) {
    guard let connection = connections[id], !connection.isGoneAtWorker else { return }
    var message = message
    if case .hello(var hello) = message {
      hello.protocolVersion = workers[connection.worker].protocolVersion
      message = .hello(hello)
    }
    let arrival = max(connection.lastToCoordinator, clear(connection.worker) + random.milliseconds(0...40))
    connections[id]!.lastToCoordinator = arrival
    at(arrival, .toCoordinator(id, message))
    if case .hello = message { return }
    if isRetried { at(arrival + random.milliseconds(0...1_000), .toCoordinator(id, message)) }
  }

  mutating func send(_ message: CoordinatorMessage, over id: ConnectionID) {
    guard let connection = connections[id] else { return }
    let arrival = max(connection.lastToWorker, clear(connection.worker) + random.milliseconds(0...40))
    connections[id]!.lastToWorker = arrival
    at(arrival, .toWorker(id, message))
    if case .welcome = message { return }
    if isRetried { at(arrival + random.milliseconds(0...1_000), .toWorker(id, message)) }
  }

  /// Whether a message comes once more, when others may have overtaken it. (Greetings are said once a connection.)
  private var isRetried: Bool { mutating get { !isPeaceful && random.once(in: 25) } }

  /// When the way to a worker is next free.
  private func clear(_ worker: Int) -> Int64 { max(now, workers[worker].partitionedUntil) }
  func isPartitioned(_ worker: Int) -> Bool { workers[worker].partitionedUntil > now }
  func isFrozen(_ worker: Int) -> Bool { workers[worker].frozenUntil > now }

  mutating func arriveAtCoordinator(_ id: ConnectionID, _ message: WorkerMessage) throws(BrokenPromise) {
    guard let connection = connections[id], !connection.isGoneAtCoordinator else { return }
    if isPartitioned(connection.worker) {
      return at(workers[connection.worker].partitionedUntil, .toCoordinator(id, message))
    }
    // Its process was given up when its lease ran out, even while the coordinator's end of the connection waits for the
    // disk: what it says afterwards on this connection is not heard.
    if let heardAt = connection.heardAt,
      coordinatorTime >= heardAt.advanced(byMilliseconds: coordinator.policy.leaseMilliseconds)
    {
      connections[id]!.isWelcomed = false
    }
    connections[id]!.heardAt = coordinatorTime
    if case .hello(let hello) = message { try greet(hello, id) }
    // Its process has left, even while the coordinator's end of the connection waits for the disk.
    if case .goodbye = message { connections[id]!.isWelcomed = false }
    let (message, source) = spoiled(message, from: id)
    tell("\(workers[connection.worker].id) says: \(message.words)")
    let missing = message.artifacts.map(\.digest).filter { !coordinator.store.contains($0) }
    try inform(.received(message, from: source, missing: missing))
  }

  /// Notes what is true when a worker says hello.
  private mutating func greet(_ hello: Hello, _ id: ConnectionID) throws(BrokenPromise) {
    try observe(.announces(hello.worker, metrics: hello.metrics))
    let index = connections[id]!.worker
    let twins = connections.filter { other, connection in
      other != id && connection.worker != index && workers[connection.worker].id == hello.worker
        && connection.isWelcomed && !connection.isGoneAtCoordinator
    }
    let heardAt = twins.values.compactMap(\.heardAt).max()
    connections[id]!.otherSilence = heardAt.map { coordinatorTime.milliseconds - $0.milliseconds }
    if fault == .admitTwins {
      for twin in twins.keys.sorted() { try inform(.disconnected(twin)) }
    }
  }

  mutating func arriveAtWorker(_ id: ConnectionID, _ message: CoordinatorMessage) {
    guard let connection = connections[id], !connection.isGoneAtWorker else { return }
    if isPartitioned(connection.worker) {
      return at(workers[connection.worker].partitionedUntil, .toWorker(id, message))
    }
    deliver(connection.worker, connection.incarnation, .received(message), over: id)
  }

  mutating func endAtCoordinator(_ id: ConnectionID) throws(BrokenPromise) {
    guard let connection = connections[id], !connection.isGoneAtCoordinator else { return }
    if fault == .noRequeueOnDisconnect { return try believe(id) }
    connections[id]!.isGoneAtCoordinator = true
    try inform(.disconnected(id))
    if connections[id]!.isGoneAtWorker { connections[id] = nil }
  }

  mutating func endAtWorker(_ id: ConnectionID) {
    guard let connection = connections[id], !connection.isGoneAtWorker else { return }
    if isFrozen(connection.worker), workers[connection.worker].connection == id {
      return at(workers[connection.worker].frozenUntil, .endAtWorker(id))
    }
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
