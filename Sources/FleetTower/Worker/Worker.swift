import Artifacts
import Bytes
import Fleet
import Foundation
import Glibc
import Sweep
import Transfer
import Transport
import Wire
import Wording

/// The worker's shell: connection, clock, files and child processes around `WorkerBrain`.
///
/// Runs on its event loop's thread, which does nothing slow, so that heartbeats never wait: stages are processes of
/// their own, transfers have a loop of their own, and hashing has a thread of its own.
public actor Worker {
  private nonisolated let loop: EventLoop
  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }

  private let options: WorkerOptions
  private let folder: WorkerFolder
  private let cache: WorkerCache
  private let bulk: BulkClient
  private let clock = MonotonicClock()
  private var now: Instant { Instant(milliseconds: clock.milliseconds) }

  private var brain: WorkerBrain
  private var waiting: [WorkerEvent] = []
  private var isHandling = false
  private var timer: Transport.Timer?
  private var timerDeadline: Instant?

  private var connection: Connection?
  /// Counts tries to connect, so that a try that was given up cannot speak any more.
  private var connectionTry = 0

  private var stages: [AttemptNumber: StageProcess] = [:]
  /// The artifacts that the cache must keep, because an attempt in hand needs them.
  private var pinned: [AttemptNumber: Pinned] = [:]

  private struct Pinned {
    var inputs: Set<Digest> = []
    /// As they were kept last: a checkpoint takes the place of the one before.
    var files: [String: Digest] = [:]
  }

  /// The present troubles, by the artifact they concern, or nil for the coordinator. Each is logged once, however often
  /// the action is tried again.
  private var troubles: [Digest?: Set<String>] = [:]
  /// The coordinator has welcomed this worker on the present connection.
  private var isWelcome = false
  private var hasEnded = false
  private var endWaiters: [CheckedContinuation<Void, Never>] = []

  /// Locks the worker's folder.
  public init(_ options: WorkerOptions, policy: WorkerPolicy = WorkerPolicy()) throws {
    self.options = options
    loop = try EventLoop(name: "worker")
    let folder = try WorkerFolder(options.folder)
    cache = try WorkerCache(
      artifacts: folder.path + "/artifacts", unpacked: folder.path + "/unpacked",
      byteCountLimit: options.cacheByteCount)
    bulk = try BulkClient(options.coordinator, options.token)
    var policy = policy
    if let seconds = options.idleExitSeconds { policy.idleExitMilliseconds = Int64(seconds * 1000) }
    if let until = options.until {
      let milliseconds = Int64(until.timeIntervalSinceNow * 1000)
      policy.until = Instant(milliseconds: clock.milliseconds).advanced(byMilliseconds: milliseconds)
    }
    brain = WorkerBrain(
      identity: WorkerBrain.Identity(
        worker: folder.worker, name: options.name, box: folder.box, slots: options.slots, labels: options.labels,
        metrics: options.metrics.map(\.rawValue),
        seed: UInt64.random(in: 0 ... .max)),
      policy: policy)
    self.folder = folder
  }

  /// Begins to look for the coordinator.
  public func begin() { feed(.started) }

  /// Hands everything back and ends; what runs is killed, its newest checkpoint delivered.
  public func leave() { feed(.leaveRequested) }

  /// Returns when the worker has left: asked to, drained, or told by a signal.
  public func ended() async {
    if !hasEnded { await withCheckedContinuation { endWaiters.append($0) } }
  }

  /// Runs a worker until it is drained or gets SIGTERM or SIGINT.
  public static func run(_ options: WorkerOptions) async throws {
    raiseDescriptorLimit()
    let worker = try Worker(options)
    try await worker.leaveOnSignals()
    await worker.begin()
    await worker.ended()
  }

  private func leaveOnSignals() throws {
    for signal in [SIGTERM, SIGINT] { _ = try SignalWatch(on: loop, signal) { [self] in feed(.leaveRequested) } }
  }
}

// MARK: - The brain's decisions

extension Worker {
  /// Hands one event to the brain and does what it decides. What that leads to at once waits its turn.
  private func feed(_ event: WorkerEvent) {
    if hasEnded { return }
    waiting.append(event)
    if isHandling { return }
    isHandling = true
    defer { isHandling = false }
    while !waiting.isEmpty {
      for effect in brain.handle(waiting.removeFirst(), at: now) { carryOut(effect) }
    }
    armTimer()
  }

  private func carryOut(_ effect: WorkerEffect) {
    switch effect {
    case .connect: connect()
    case .disconnect: disconnect()
    case .send(let message): connection?.send(WireMessage.worker(message).frame)
    case .fetch(let reference): Task { await fetch(reference) }
    case .upload(let reference): Task { await upload(reference) }
    case .startStage(let assignment): startStage(assignment)
    case .killStage(let number): stages[number]?.kill()
    case .keepFile(let number, let file): Task { await keep(file, of: number) }
    case .discard(let number): discard(number)
    case .exit: end()
    }
  }

  private func armTimer() {
    guard brain.nextDeadline != timerDeadline else { return }
    timer?.cancel()
    timer = nil
    timerDeadline = brain.nextDeadline
    guard let deadline = timerDeadline, !hasEnded else { return }
    let pause = max(0, deadline.milliseconds - clock.milliseconds)
    timer = Transport.Timer(on: loop, after: .milliseconds(pause)) { [self] in
      timer = nil
      timerDeadline = nil
      feed(.deadlinePassed)
    }
  }

  /// The goodbye has been sent; it is given a moment to leave.
  private func end() {
    hasEnded = true
    options.log("leaving")
    timer?.cancel()
    timer = nil
    for stage in stages.values { stage.kill() }
    connection?.onEvent = { [self] event in if case .closed = event { wakeWaiters() } }
    if let connection { connection.closeAfterFlush() } else { wakeWaiters() }
    connection = nil
  }

  private func wakeWaiters() {
    for waiter in endWaiters { waiter.resume() }
    endWaiters = []
  }
}

// MARK: - The control connection

extension Worker {
  private func connect() {
    connectionTry += 1
    let thisTry = connectionTry
    Task {
      do {
        let addresses = try await options.coordinator.resolve()
        guard thisTry == connectionTry, !hasEnded else { return }
        // One address per try: a name with several gets through all of them in a few tries.
        guard let address = addresses.isEmpty ? nil : addresses[thisTry % addresses.count] else {
          return feed(.disconnected)
        }
        let dialer = try Dialer(on: loop, token: options.token, limits: options.limits)
        let connection = try dialer.connect(to: address)
        self.connection = connection
        connection.onEvent = { [self] event in happened(event) }
      } catch {
        complain(nil, "cannot connect to \(options.coordinator): \(error.words); trying again until it answers")
        if thisTry == connectionTry { feed(.disconnected) }
      }
    }
  }

  /// Logs what goes wrong, unless it was logged since it last went well.
  private func complain(_ subject: Digest?, _ text: String) {
    if troubles.count > 1_000 { troubles = [:] }
    if troubles[subject, default: []].insert(text).inserted { options.log(text) }
  }

  private func disconnect() {
    connectionTry += 1
    isWelcome = false
    connection?.onEvent = nil
    connection?.close()
    connection = nil
  }

  private func happened(_ event: Connection.Event) {
    switch event {
    case .opened: feed(.connected)
    case .drained: break
    case .closed(let reason):
      complain(nil, "connection with \(options.coordinator) closed: \(reason); trying again until it answers")
      connection = nil
      isWelcome = false
      feed(.disconnected)
    case .frame(let frame):
      do {
        guard case .coordinator(let message) = try WireMessage(frame) else {
          throw WireError.unexpected(kind: "frame of another kind")
        }
        hear(message)
      } catch {
        connection?.close(error.words)
      }
    }
  }

  private func hear(_ message: CoordinatorMessage) {
    switch message {
    case .welcome:
      if !isWelcome { options.log("connected to \(options.coordinator)") }
      isWelcome = true
      troubles[nil] = nil
    case .refused(let reason):
      complain(nil, "the coordinator refuses this worker: \(reason); trying again, more and more slowly")
    case .assign(let assignment):
      options.log("attempt \(assignment.attempt): \(assignment.stage.rawValue) of job \(assignment.job.short)")
      // Said twice, it changes nothing; refused, it is discarded.
      if pinned[assignment.attempt] == nil {
        pinned[assignment.attempt] = Pinned(inputs: Set(assignment.inputs.values.map { $0.digest }))
      }
    case .bringBack(let artifact): options.log("the coordinator has lost artifact \(artifact.digest) and asks for it")
    default: break
    }
    feed(.received(message))
  }
}

// MARK: - Artifacts

extension Worker {
  private func fetch(_ reference: ArtifactReference) async {
    do {
      if await cache.holds(reference) == false {
        try await cache.trim(keeping: allPinned)
        try await bulk.download(reference, to: ArtifactSink(reference, into: cache.artifacts))
      }
      troubles[reference.digest] = nil
      feed(.fetched(reference.digest))
    } catch {
      complain(reference.digest, "cannot fetch artifact \(reference.digest): \(error.words)")
      feed(.fetchFailed(reference.digest, reason: error.words, cause: FailureCause(of: error)))
    }
  }

  private func upload(_ reference: ArtifactReference) async {
    guard await cache.holds(reference) else {
      return feed(.uploadFailed(reference.digest, reason: "it is not in the worker's cache any more", isGone: true))
    }
    do {
      try await bulk.upload(cache.artifacts.location(of: reference.digest), as: reference)
      troubles[reference.digest] = nil
      feed(.uploaded(reference.digest))
    } catch {
      complain(reference.digest, "cannot upload artifact \(reference.digest): \(error.words); trying again")
      feed(.uploadFailed(reference.digest, reason: error.words))
    }
  }

  private func keep(_ file: String, of number: AttemptNumber) async {
    do {
      // A stage names files of its own folder and no others.
      guard !file.isEmpty, !file.split(separator: "/").contains(".."), !file.hasPrefix("/") else {
        return feed(.fileNotKept(number, file: file, reason: "the name leads out of the stage's folder"))
      }
      let reference = try await cache.keep("\(folder.attempt(number))/\(file)")
      pinned[number]?.files[file] = reference.digest
      // A stage of many epochs leaves a checkpoint each.
      try? await cache.trim(keeping: allPinned)
      feed(.fileKept(number, file: file, artifact: reference))
    } catch {
      feed(.fileNotKept(number, file: file, reason: error.words, cause: FailureCause(of: error)))
    }
  }

  private var allPinned: Set<Digest> {
    pinned.values.reduce(into: []) { $0.formUnion($1.inputs.union($1.files.values)) }
  }

  private func discard(_ number: AttemptNumber) {
    pinned[number] = nil
    let path = folder.attempt(number)
    Task { await cache.removeFolder(path) }
  }
}

// MARK: - Stages

extension Worker {
  private func startStage(_ assignment: Assignment) {
    let number = assignment.attempt
    do {
      let directory = folder.attempt(number)
      try Files.createFolder(directory)
      var inputs: [InputRole: String] = [:]
      for role in InputRole.allCases {
        inputs[role] = assignment.input(role).map { cache.artifacts.location(of: $0.digest) }
      }
      let request = StageRequest(
        job: assignment.job, configuration: assignment.configuration, inputs: inputs, directory: directory,
        unpackedDataset: assignment.input(.dataset).map { folder.unpacked($0.digest) },
        threads: options.threads, backend: options.backend)
      stages[number] = try StageProcess(
        request, limits: options.stageLimits.stricter(assignment.limits ?? StageLimits()),
        program: options.stageProgram, arguments: options.stageArguments, environment: stageEnvironment,
        on: loop,
        onReport: { [self] event in feed(.stageReported(number, event)) },
        onExit: { [self] message, cause in
          stages[number] = nil
          feed(.stageExited(number, message: message, cause: cause))
        })
    } catch {
      feed(.stageExited(number, message: "cannot start the stage: \(error.words)", cause: FailureCause(of: error)))
    }
  }

  /// The part of our environment that a stage needs: no tokens and the like.
  private var stageEnvironment: [String] {
    ProcessInfo.processInfo.environment.filter { name, _ in
      !name.hasPrefix("GREENSWEEP_TOKEN") && !name.hasPrefix("GREENSWEEP_COORDINATOR")
    }.map { "\($0.key)=\($0.value)" }.sorted()
  }
}
