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
    /// When the heartbeat was sent that is not answered yet.
    var heartbeatSince: DispatchTime?
  }

  struct Counts: Sendable {
    /// Workers welcomed, and connections that ended.
    var welcome = 0
    var lost = 0
    /// Jobs of the sweep in hand.
    var accepted = 0
    var cancelled = 0
  }

  private let slots: Int
  private let artifact: ArtifactReference
  private var workers: [Worker] = []
  private(set) var counts = Counts()
  private var metronome: Transport.Timer?

  /// All workers' heartbeats are spread over this long, and their answers timed.
  private var heartbeatMilliseconds = 5_000
  private var heartbeats: Transport.Timer?
  private var heartbeatDelays: [Double] = []

  /// Jobs finished a second, or nil for each at once.
  private var pace: Double?
  private var paceStart = DispatchTime.now()
  private var released = 0
  private var waiting: [(worker: Int, assignment: Assignment)] = []
  private var nextWaiting = 0

  private var children: [JobKey: [JobKey]] = [:]
  private var readySince: [JobKey: DispatchTime] = [:]
  private(set) var latenciesMilliseconds: [Double] = []

  private var target: (isReached: @Sendable (Counts) -> Bool, waiter: CheckedContinuation<Void, any Error>)?
  private var watchdog: Transport.Timer?
  static let patienceSeconds = 30

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
      try await until { $0.welcome + $0.lost >= expected }
    }
    if heartbeats == nil { beat() }
  }

  /// Takes part in a sweep until all its jobs are accepted.
  /// - Parameter pace: jobs finished a second; nil finishes each as soon as it arrives.
  func work(on tree: StageTree, pace: Double?) {
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

  /// Returns when so many jobs of the sweep are accepted.
  func finished(_ count: Int) async throws { try await until { $0.accepted >= count } }

  /// Lets each worker's heart beat that often, and forgets how long former answers took.
  func beat(everyMilliseconds period: Int) {
    heartbeatMilliseconds = period
    heartbeatDelays = []
  }

  /// How long the answers to heartbeats took, in milliseconds; those that still wait have taken that long at least.
  var heartbeatDelaysMilliseconds: [Double] {
    heartbeatDelays + workers.compactMap { $0.heartbeatSince.map { milliseconds(since: $0) } }
  }

  // MARK: - Waiting

  /// - Throws: when nothing has changed for `patienceSeconds`, with what there is to say about it.
  private func until(_ isReached: @escaping @Sendable (Counts) -> Bool) async throws {
    if isReached(counts) { return }
    watch(counts.welcome + counts.accepted)
    try await withCheckedThrowingContinuation { target = (isReached, $0) }
    watchdog?.cancel()
    watchdog = nil
  }

  private func lookAtTarget() {
    guard let (isReached, waiter) = target, isReached(counts) else { return }
    target = nil
    waiter.resume()
  }

  private func watch(_ known: Int) {
    watchdog = Transport.Timer(on: loop, after: .seconds(Self.patienceSeconds)) { [self] in
      let progress = counts.welcome + counts.accepted
      guard progress == known, let (_, waiter) = target else { return watch(progress) }
      target = nil
      let held = workers.reduce(0) { $0 + $1.held.count }
      waiter.resume(
        throwing: Failure(
          "nothing has happened for \(Self.patienceSeconds) s: \(counts), \(held) jobs held, \(released) released"))
    }
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
        latenciesMilliseconds.append(milliseconds(since: since))
      }
      if pace == nil { finish(assignment, index) } else { waiting.append((index, assignment)) }
    case .attemptAcknowledged(let attempt, let isAccepted):
      workers[index].held.removeAll { $0 == attempt }
      if isAccepted { counts.accepted += 1 }
    case .cancelAttempt(let attempt, _):
      workers[index].held.removeAll { $0 == attempt }
      counts.cancelled += 1
    case .heartbeatAcknowledged:
      guard let since = workers[index].heartbeatSince else { break }
      workers[index].heartbeatSince = nil
      heartbeatDelays.append(milliseconds(since: since))
    default: break
    }
    lookAtTarget()
  }

  private func finish(_ assignment: Assignment, _ index: Int) {
    // Where one job makes many ready, they come at once and not at the pace that is offered.
    if pace != nil, let next = children[assignment.job], next.count == 1 { readySince[next[0]] = DispatchTime.now() }
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
  private func beat(part: Int = 0) {
    let parts = 50
    for index in stride(from: part, to: workers.count, by: parts) where workers[index].isWelcome {
      if workers[index].heartbeatSince == nil { workers[index].heartbeatSince = DispatchTime.now() }
      say(.heartbeat(attempts: workers[index].held), index)
    }
    heartbeats = Transport.Timer(on: loop, after: .milliseconds(heartbeatMilliseconds / parts)) { [self] in
      beat(part: (part + 1) % parts)
    }
  }

  private func tick() {
    guard let pace else { return }
    let seconds = milliseconds(since: paceStart) / 1e3
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

  private func milliseconds(since start: DispatchTime) -> Double {
    Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e6
  }
}

/// Why there are no figures.
struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
