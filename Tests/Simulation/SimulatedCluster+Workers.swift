import Bytes
import Fleet
import Randomness
import Sweep

/// A worker's box: a brain, a cache, and stages that run.
struct SimulatedWorker: Sendable {
  let id: WorkerID
  let box: BoxID
  let slots: Int
  let protocolVersion: Int
  /// The metrics that its host can measure; nil for an older worker, which does not announce them.
  var metrics: [String]?
  var labels: [String: String] = [:]
  var brain: WorkerBrain?
  /// Counts restarts.
  var incarnation: UInt64 = 0
  var connection: ConnectionID?
  /// Counts tries to connect, and giving up.
  var connectionTry = 0
  var cache: Set<Digest> = []
  /// Fetched as they were, damaged.
  var damaged: Set<Digest> = []
  var stages: [AttemptNumber: SimulatedStage] = [:]
  var ring: Instant?
  var frozenUntil: Int64 = 0
  var partitionedUntil: Int64 = 0
  /// There is no room on its disk until then.
  var fullUntil: Int64 = 0
  var clockOffset: Int64
  /// Its box burnt down: it never comes back, and nobody is told.
  var isGone = false
}

/// A stage's process.
struct SimulatedStage: Sendable {
  let assignment: Assignment
  let epochs: Int
  var epoch: Int
  var value: UInt64
  var files: [String: SimulatedArithmetic.Content] = [:]
  var isEnding = false
}

extension SimulatedCluster {
  mutating func startWorker(_ index: Int) {
    guard workers[index].brain == nil, !workers[index].isGone else { return }
    workers[index].incarnation += 1
    workers[index].stages = [:]
    workers[index].ring = nil
    var policy = WorkerPolicy()
    policy.reconnectLimitMilliseconds = 800
    policy.greetingMilliseconds = 1_500
    policy.transferRetryLimitMilliseconds = 2_000
    policy.leaveMilliseconds = 2_000
    policy.fullDiskMilliseconds = 1_000
    limitStay(of: index, &policy)
    policy.metricsLimit = fault == .unboundedBuffer ? .max : QueuesStayBounded.metricsLimit
    workers[index].brain = WorkerBrain(
      identity: WorkerBrain.Identity(
        worker: workers[index].id, name: workers[index].id.name, box: workers[index].box, slots: workers[index].slots,
        labels: workers[index].labels, metrics: workers[index].metrics,
        seed: SplitMix64.mixed(seed &+ UInt64(index) << 32 &+ workers[index].incarnation)), policy: policy)
    tellFate("\(workers[index].id) starts")
    deliver(index, workers[index].incarnation, .started)
  }

  /// Some workers are jobs of a batch system: they leave when they are idle, and have an end.
  private func limitStay(of index: Int, _ policy: inout WorkerPolicy) {
    var draws = SplitMix64(seed: SplitMix64.mixed(seed &+ UInt64(index) << 40 &+ workers[index].incarnation))
    guard SplitMix64.mixed(seed) % 3 == 0, index % 2 == 1 else { return }
    policy.unknownPaceMilliseconds = 800
    policy.idleExitMilliseconds = Int64(500 + draws.next() % 3_000)
    let stay = Int64(4_000 + draws.next() % 12_000)
    policy.until = Instant(milliseconds: now + workers[index].clockOffset + stay)
  }

  /// - Parameter connection: for messages, the one they came over; by the time a frozen worker looks at them it may be
  ///   another.
  mutating func deliver(
    _ index: Int, _ incarnation: UInt64, _ event: WorkerEvent, over connection: ConnectionID? = nil
  ) {
    guard workers[index].incarnation == incarnation, workers[index].brain != nil else { return }
    guard !isFrozen(index) else {
      let happening = connection.map { Happening.toWorker($0, message(of: event)) }
      return at(workers[index].frozenUntil, happening ?? .worker(index, incarnation: incarnation, event))
    }
    let moment = workerNow(index)
    let effects = workers[index].brain!.handle(event, at: moment)
    for effect in effects where workers[index].brain != nil { perform(effect, at: index) }
    setWorkerRing(index)
  }

  private func message(of event: WorkerEvent) -> CoordinatorMessage {
    guard case .received(let message) = event else { preconditionFailure("only messages come over a connection") }
    return message
  }

  private func workerNow(_ index: Int) -> Instant { Instant(milliseconds: now + workers[index].clockOffset) }

  private mutating func setWorkerRing(_ index: Int) {
    guard let deadline = workers[index].brain?.nextDeadline else { return }
    if let ring = workers[index].ring, ring <= deadline { return }
    workers[index].ring = deadline
    at(
      deadline.milliseconds - workers[index].clockOffset,
      .workerRings(index, incarnation: workers[index].incarnation))
  }

  mutating func workerRings(_ index: Int, _ incarnation: UInt64) {
    guard workers[index].incarnation == incarnation else { return }
    guard !isFrozen(index) else {
      return at(workers[index].frozenUntil, .workerRings(index, incarnation: incarnation))
    }
    workers[index].ring = nil
    deliver(index, incarnation, .deadlinePassed)
  }

  private mutating func perform(_ effect: WorkerEffect, at index: Int) {
    let incarnation = workers[index].incarnation
    switch effect {
    case .connect: connect(index)
    case .disconnect:
      workers[index].connectionTry += 1
      if let connection = workers[index].connection { hangUp(connection, heard: true) }
    case .send(let message): if let connection = workers[index].connection { send(message, over: connection) }
    case .fetch(let artifact): after(1...60, .fetchArrives(index, incarnation: incarnation, artifact.digest))
    case .upload(let artifact): after(1...120, .uploadArrives(index, incarnation: incarnation, artifact.digest))
    case .startStage(let assignment): startStage(assignment, at: index)
    case .killStage(let number):
      // A process ends once: if it has ended by itself, the news is on its way.
      guard workers[index].stages[number]?.isEnding == false else { return }
      workers[index].stages[number]!.isEnding = true
      after(1...80, .worker(index, incarnation: incarnation, .stageExited(number, message: "killed")))
    case .keepFile(let number, let file): keep(file, of: number, at: index)
    case .discard(let number): workers[index].stages[number] = nil
    case .exit:
      tellFate("\(workers[index].id) leaves")
      if let connection = workers[index].connection { hangUp(connection, heard: true) }
      endWorker(index)
      after(500...5_000, .workerRestarts(index))
    }
  }

  mutating func endWorker(_ index: Int) {
    workers[index].brain = nil
    workers[index].stages = [:]
    workers[index].frozenUntil = 0
    workers[index].connectionTry += 1
    workers[index].incarnation += 1
  }

  mutating func crashWorker(_ index: Int) {
    guard workers[index].brain != nil else { return }
    report.workerCrashes += 1
    tellFate("\(workers[index].id) crashes")
    if let connection = workers[index].connection { hangUp(connection, heard: !random.once(in: 3)) }
    endWorker(index)
    after(100...6_000, .workerRestarts(index))
  }

  // MARK: - Artifacts

  mutating func fetchArrives(_ index: Int, _ incarnation: UInt64, _ digest: Digest) throws(BrokenPromise) {
    guard workers[index].incarnation == incarnation else { return }
    if workers[index].cache.contains(digest) { return deliver(index, incarnation, .fetched(digest)) }
    guard now >= workers[index].fullUntil else {
      return deliver(index, incarnation, .fetchFailed(digest, reason: "a full disk", cause: .diskFull))
    }
    guard canTransfer(index) else {
      return deliver(index, incarnation, .fetchFailed(digest, reason: "no connection"))
    }
    guard try serve(digest) else {
      return deliver(index, incarnation, .fetchFailed(digest, reason: "no artifact"))
    }
    if coordinator.rotten.contains(digest) { workers[index].damaged.insert(digest) }
    workers[index].cache.insert(digest)
    deliver(index, incarnation, .fetched(digest))
  }

  mutating func uploadArrives(_ index: Int, _ incarnation: UInt64, _ digest: Digest) throws(BrokenPromise) {
    guard workers[index].incarnation == incarnation else { return }
    guard workers[index].cache.contains(digest) else {
      return deliver(index, incarnation, .uploadFailed(digest, reason: "not in the cache", isGone: true))
    }
    guard canTransfer(index), !coordinator.journal.isFull(at: now) else {
      return deliver(index, incarnation, .uploadFailed(digest, reason: "no connection, or a full disk"))
    }
    if fault != .storeLosesArtifacts { try store(digest) }
    deliver(index, incarnation, .uploaded(digest))
  }

  private mutating func canTransfer(_ index: Int) -> Bool {
    coordinator.brain != nil && !coordinator.isShut && !isPartitioned(index) && (isPeaceful || !random.once(in: 10))
  }

  private mutating func keep(_ file: String, of number: AttemptNumber, at index: Int) {
    let incarnation = workers[index].incarnation
    let content = workers[index].stages[number]?.files[file]
    guard let content, now >= workers[index].fullUntil else {
      let event =
        content == nil
        ? WorkerEvent.fileNotKept(number, file: file, reason: "no such file")
        : .fileNotKept(number, file: file, reason: "a full disk", cause: .diskFull)
      return after(0...5, .worker(index, incarnation: incarnation, event))
    }
    let artifact = contents.reference(to: content)
    workers[index].cache.insert(artifact.digest)
    after(0...20, .worker(index, incarnation: incarnation, .fileKept(number, file: file, artifact: artifact)))
  }

  // MARK: - Stages

  private mutating func startStage(_ assignment: Assignment, at index: Int) {
    func model(_ role: InputRole) -> UInt64? {
      guard let input = assignment.input(role), case .model(let value) = contents[input.digest] else { return nil }
      return workers[index].damaged.contains(input.digest) ? ~value : value
    }
    let start =
      assignment.stage.makesModel
      ? SimulatedArithmetic.start(of: assignment.job, from: model(.model), teacher: model(.teacher))
      : model(.model) ?? 0
    var stage = SimulatedStage(
      assignment: assignment, epochs: assignment.configuration.epochs, epoch: 0, value: start)
    if let resume = assignment.input(.resume), case .checkpoint(let epoch, let value) = contents[resume.digest] {
      stage.epoch = epoch
      stage.value = value
    }
    stage.files["stage.log"] = .log(attempt: assignment.attempt.value)
    workers[index].stages[assignment.attempt] = stage
    after(10...400, .stageStep(index, incarnation: workers[index].incarnation, assignment.attempt))
  }

  /// One epoch, or the end.
  mutating func stageStep(_ index: Int, _ incarnation: UInt64, _ number: AttemptNumber) {
    guard workers[index].incarnation == incarnation, var stage = workers[index].stages[number], !stage.isEnding else {
      return
    }
    if isPoison(stage.assignment.job) { return crashWorker(index) }
    let fails = isDoomed(stage.assignment.job) || (!isPeaceful && random.once(in: 60))
    if fails {
      stage.isEnding = true
      workers[index].stages[number] = stage
      if refuses(stage.assignment.job) {
        deliver(index, incarnation, .stageReported(number, .failed(message: RefusalsAreFinal.words, cause: .refused)))
      }
      return deliver(index, incarnation, .stageExited(number, message: "exit status 1"))
    }
    guard stage.epoch < stage.epochs else { return finish(stage, index, incarnation) }
    stage.epoch += 1
    stage.value = SimulatedArithmetic.epoch(stage.epoch, from: stage.value)
    let file = "checkpoint-\(stage.epoch)"
    let isCorrupt = fault == .corruptCheckpoint && random.once(in: 4)
    stage.files[file] = .checkpoint(epoch: stage.epoch, value: isCorrupt ? ~stage.value : stage.value)
    workers[index].stages[number] = stage
    let metrics = EpochMetrics(epoch: stage.epoch, epochs: stage.epochs, seconds: 1, values: [:])
    deliver(index, incarnation, .stageReported(number, .epoch(metrics)))
    deliver(index, incarnation, .stageReported(number, .checkpoint(epoch: stage.epoch, file: file)))
    after(100...1_500, .stageStep(index, incarnation: incarnation, number))
  }

  private mutating func finish(_ stage: SimulatedStage, _ index: Int, _ incarnation: UInt64) {
    let number = stage.assignment.attempt
    workers[index].stages[number]!.isEnding = true
    let isModel = stage.assignment.stage.makesModel
    if isModel { workers[index].stages[number]!.files["model"] = .model(stage.value) }
    let measurable = workers[index].metrics
    let output = StageOutput(
      metrics: SimulatedArithmetic.metrics(of: stage.assignment.stage, model: stage.value).filter {
        measurable?.contains($0.key) ?? true
      },
      files: isModel ? [.model: "model"] : [:])
    deliver(index, incarnation, .stageReported(number, .finished(output)))
    deliver(index, incarnation, .stageExited(number, message: "exit status 0"))
  }
}
