import Dispatch
import Fleet
import Sweep
import Transport
import Wire

/// Many workers that are nothing but their control connections: they take jobs and report them finished, at once or at
/// a given pace.
actor LightFleet {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }

  private struct Worker {
    let connection: Connection
    var isWelcome = false
    var held: [AttemptNumber] = []
  }

  struct Counts: Sendable {
    /// Workers welcomed, and connections that ended.
    var welcome = 0
    var lost = 0
    /// Jobs of the sweep in hand.
    var accepted = 0
  }

  private let slots: Int
  private let artifact: ArtifactReference
  private var workers: [Worker] = []
  private var counts = Counts()
  private var heartbeats: Transport.Timer?
  private var metronome: Transport.Timer?

  /// Jobs finished a second, or nil for each at once.
  private var pace: Double?
  private var paceStart = DispatchTime.now()
  private var released = 0
  private var waiting: [(worker: Int, assignment: Assignment)] = []
  private var nextWaiting = 0

  private var children: [JobKey: [JobKey]] = [:]
  private var readySince: [JobKey: DispatchTime] = [:]
  private(set) var latenciesMilliseconds: [Double] = []

  private var target: (isReached: @Sendable (Counts) -> Bool, waiter: CheckedContinuation<Void, Never>)?

  /// - Parameter artifact: stands for every model; the coordinator's store must have it.
  init(slots: Int, artifact: ArtifactReference) throws {
    loop = try EventLoop(name: "light workers")
    self.slots = slots
    self.artifact = artifact
  }

  /// Connects until there are `count` workers, and returns when all have been welcomed.
  func grow(to count: Int, _ address: SocketAddress, _ token: Token) async throws {
    let dialer = try Dialer(on: loop, token: token)
    // A few hundred at a time, so that none waits for its handshake beyond the limit.
    while workers.count < count {
      for _ in 0..<min(200, count - workers.count) {
        let index = workers.count
        workers.append(Worker(connection: try dialer.connect(to: address)))
        workers[index].connection.onEvent = { [self] event in happened(event, index) }
      }
      let expected = workers.count
      await until { $0.welcome + $0.lost >= expected }
    }
    if heartbeats == nil { beat() }
  }

  /// Takes part in a sweep until all its jobs are accepted.
  /// - Parameter pace: jobs finished a second; nil finishes each as soon as it arrives.
  func work(on tree: StageTree, pace: Double?) async {
    self.pace = pace
    counts.accepted = 0
    (released, nextWaiting, waiting) = (0, 0, [])
    (readySince, latenciesMilliseconds) = ([:], [])
    children = [:]
    for node in tree.nodes {
      if let parent = node.parent { children[tree.nodes[parent].key, default: []].append(node.key) }
    }
    latenciesMilliseconds.reserveCapacity(tree.nodes.count)
    paceStart = DispatchTime.now()
    if pace != nil { tick() }
  }

  func finished(_ count: Int) async { await until { $0.accepted >= count } }

  var lost: Int { counts.lost }

  private func until(_ isReached: @escaping @Sendable (Counts) -> Bool) async {
    if isReached(counts) { return }
    await withCheckedContinuation { target = (isReached, $0) }
  }

  private func lookAtTarget() {
    guard let (isReached, waiter) = target, isReached(counts) else { return }
    target = nil
    waiter.resume()
  }
}

// MARK: - What the coordinator says

extension LightFleet {
  private func happened(_ event: Connection.Event, _ index: Int) {
    switch event {
    case .opened:
      say(
        .hello(
          Hello(
            worker: WorkerID("light-\(index)"), incarnation: 1, name: "light-\(index)", box: BoxID("box-\(index)"),
            slots: slots)), index)
    case .frame(let frame):
      guard case .coordinator(let message)? = try? WireMessage(frame) else { break }
      heard(message, index)
    case .drained: break
    case .closed:
      counts.lost += 1
      lookAtTarget()
    }
  }

  private func heard(_ message: CoordinatorMessage, _ index: Int) {
    switch message {
    case .welcome:
      workers[index].isWelcome = true
      counts.welcome += 1
    case .assign(let assignment):
      workers[index].held.append(assignment.attempt)
      if let since = readySince.removeValue(forKey: assignment.job) {
        latenciesMilliseconds.append(Double(DispatchTime.now().uptimeNanoseconds - since.uptimeNanoseconds) / 1e6)
      }
      if pace == nil { finish(assignment, index) } else { waiting.append((index, assignment)) }
    case .attemptAcknowledged(let attempt, let isAccepted):
      workers[index].held.removeAll { $0 == attempt }
      if isAccepted { counts.accepted += 1 }
    default: break
    }
    lookAtTarget()
  }

  private func finish(_ assignment: Assignment, _ index: Int) {
    if pace != nil, let next = children[assignment.job] {
      let now = DispatchTime.now()
      for job in next { readySince[job] = now }
    }
    let result = StageResult(
      metrics: ["map50": 0.5, "size_mb": 1, "parameters": 1, "gflops": 1],
      artifacts: assignment.stage.makesModel ? [.model: artifact] : [:])
    say(.attemptFinished(attempt: assignment.attempt, result: result), index)
  }

  private func say(_ message: WorkerMessage, _ index: Int) {
    workers[index].connection.send(WireMessage.worker(message).frame)
  }
}

// MARK: - Time

extension LightFleet {
  /// All workers' heartbeats, spread over five seconds.
  private func beat(part: Int = 0) {
    let parts = 50
    for index in stride(from: part, to: workers.count, by: parts) where workers[index].isWelcome {
      say(.heartbeat(attempts: workers[index].held), index)
    }
    heartbeats = Transport.Timer(on: loop, after: .milliseconds(100)) { [self] in beat(part: (part + 1) % parts) }
  }

  private func tick() {
    guard let pace else { return }
    let seconds = Double(DispatchTime.now().uptimeNanoseconds - paceStart.uptimeNanoseconds) / 1e9
    while released < Int(seconds * pace), nextWaiting < waiting.count {
      let (worker, assignment) = waiting[nextWaiting]
      nextWaiting += 1
      released += 1
      finish(assignment, worker)
    }
    // While nothing waits, no arrears are run up.
    if nextWaiting == waiting.count {
      paceStart = DispatchTime(
        uptimeNanoseconds: DispatchTime.now().uptimeNanoseconds - UInt64(Double(released) / pace * 1e9))
    }
    metronome = Transport.Timer(on: loop, after: .milliseconds(1)) { [self] in tick() }
  }
}
