import Bytes
import Fleet
import Randomness
import Settings
import Sweep

/// A cluster of the real brains on one thread, with everything else made up from a seed: the clock, the network, disks,
/// what stages compute and how long it takes, and all that goes wrong.
///
/// First comes unrest: connections break, boxes freeze, daemons and the coordinator crash, artifacts fail to arrive.
/// Then comes peace, in which everything must be finished. Checkers look at what left the coordinator and at what is on
/// its disk, and throw `BrokenPromise`.
public struct SimulatedCluster {
  public struct Report: Hashable, Sendable {
    public var happenings = 0
    public var attempts = 0
    public var coordinatorCrashes = 0
    public var workerCrashes = 0
    /// Times when the coordinator could not write.
    public var stalls = 0
    public var endedAt: Int64 = 0

    public init() {}
  }

  /// - Throws: `BrokenPromise`, which can be `explained`.
  @discardableResult
  public static func run(seed: UInt64, fault: PlantedFault? = nil) throws(BrokenPromise) -> Report {
    var cluster = SimulatedCluster(seed: seed, fault: fault)
    return try cluster.run()
  }

  let seed: UInt64
  let fault: PlantedFault?
  var random: SplitMix64
  var now: Int64 = 0
  var agenda = PriorityQueue<Scheduled>()
  /// The scheduled happenings, by their tickets; apart from the agenda, which moves its elements about.
  var happenings: [UInt64: Happening] = [:]
  var lastTicket: UInt64 = 0
  var isPeaceful = false
  var report = Report()
  /// Nobody reads it as a rule.
  let story: Story?
  /// The misfortunes, by number, that do not happen.
  let leftOut: Set<Int>
  var misfortunes = 0
  var checkers: [any Checker]

  var coordinator: SimulatedCoordinator
  var workers: [SimulatedWorker]
  var connections: [ConnectionID: SimulatedConnection] = [:]
  var lastConnection: UInt64 = 0
  var contents = ContentTable()
  let submissions: [SweepSubmission]
  let trees: [StageTree]

  /// Milliseconds of unrest.
  static let unrest: Int64 = 60_000
  /// Milliseconds of peace within which all must be done.
  static let patience: Int64 = 1_200_000

  struct Scheduled: Comparable, Sendable {
    let at: Int64
    let ticket: UInt64
    static func == (a: Scheduled, b: Scheduled) -> Bool { a.ticket == b.ticket }
    static func < (a: Scheduled, b: Scheduled) -> Bool { a.at != b.at ? a.at < b.at : a.ticket < b.ticket }
  }

  enum Happening: Sendable {
    // Network.
    case established(worker: Int, ConnectionID)
    case refused(worker: Int, connectionTry: Int)
    case toCoordinator(ConnectionID, WorkerMessage)
    case toWorker(ConnectionID, CoordinatorMessage)
    case endAtCoordinator(ConnectionID)
    case endAtWorker(ConnectionID)
    // The coordinator's box.
    case committed(generation: Int)
    case coordinatorRings(generation: Int)
    case coordinatorRestarts
    // A worker's box.
    case worker(Int, incarnation: UInt64, WorkerEvent)
    case workerRings(Int, incarnation: UInt64)
    case workerRestarts(Int)
    case stageStep(Int, incarnation: UInt64, AttemptNumber)
    case uploadArrives(Int, incarnation: UInt64, Digest)
    case fetchArrives(Int, incarnation: UInt64, Digest)
    // People and fate.
    case operatorAsks(OperatorRequest)
    case misfortune
    case peace
    case verification
    case look
    case inspection
  }

  init(seed: UInt64, fault: PlantedFault?, leftOut: Set<Int> = [], story: Story? = nil) {
    self.seed = seed
    self.fault = fault
    self.leftOut = leftOut
    self.story = story
    var random = SplitMix64(seed: SplitMix64.mixed(seed &+ 0xC0FFEE))
    var contents = ContentTable()
    let dataset = contents.reference(to: .dataset)
    // Later additions draw from a generator of their own, so that the rest of a seed's run stays as it was.
    var laterRandom = SplitMix64(seed: SplitMix64.mixed(seed &+ 0x7717))
    var latestRandom = SplitMix64(seed: SplitMix64.mixed(seed &+ 0xD157))
    var submissions = (0...random.below(2)).map { index in
      var submission = SimulatedCluster.submission(index, dataset, &random, &laterRandom)
      guard latestRandom.once(in: 4) else { return submission }
      submission.spec.finetune.distill = FinetuneStage.unprunedTeacher
      // Then the teacher is not among the ancestors of its pupil.
      if latestRandom.once(in: 2) { submission.spec.prune.policy = "gradual" }
      return submission
    }
    var placementRandom = SplitMix64(seed: SplitMix64.mixed(seed &+ 0x1ABE1))
    let hasLabels = placementRandom.once(in: 3)
    for index in submissions.indices where hasLabels {
      if placementRandom.once(in: 2) { submissions[index].spec.placement.requires = ["site": "lab"] }
      if placementRandom.once(in: 2) { submissions[index].spec.placement.prefers = ["disk": "fast", "site": "home"] }
    }
    self.submissions = submissions
    trees = submissions.map(StageTree.init)
    var policy = FleetPolicy()
    policy.leaseMilliseconds = 2_000
    policy.heartbeatMilliseconds = 500
    policy.lossLimit = 6
    policy.repairGraceMilliseconds = 1_000
    policy.benchmarkPatienceMilliseconds = 5_000
    policy.boxPatienceMilliseconds = 15_000
    coordinator = SimulatedCoordinator(policy: policy)
    let boxes = 2 + random.below(2)
    workers = (0..<(3 + random.below(3))).map { index in
      SimulatedWorker(
        id: WorkerID("w\(index)"), box: BoxID("box\(index % boxes)"), slots: 1 + random.below(2),
        protocolVersion: random.once(in: 3)
          ? FleetProtocol.accepted.lowerBound + random.below(FleetProtocol.accepted.count - 1) : FleetProtocol.version,
        clockOffset: Int64(index) * 12_345)
    }
    // At most one worker is gone for good, so that one of the first two can always measure everything.
    for index in workers.indices where index >= 2 && laterRandom.once(in: 2) || laterRandom.once(in: 4) {
      workers[index].metrics = Objective.Metric.allCases.map(\.rawValue).filter { index < 2 || $0 != "energy_j" }
    }
    // As with what they measure: one of the first two can take everything.
    for index in workers.indices where hasLabels {
      let site = index < 2 ? "lab" : placementRandom.once(in: 2) ? "home" : nil
      workers[index].labels["site"] = site
      workers[index].labels["disk"] = placementRandom.once(in: 2) ? "fast" : nil
    }
    if laterRandom.once(in: 5) {
      var twin = workers[laterRandom.below(workers.count)]
      twin.clockOffset += 777
      workers.append(twin)
    }
    checkers = [
      NothingAcknowledgedIsLost(),
      OneResultPerJob(trees: trees),
      NoStaleResults(trees: trees, attemptOfLog: { LogNumbers.attempts[$0] }),
      ResumesFromNewestCheckpoint(),
      BenchmarksRunAlone(trees: trees),
      RefusalsAreFinal(trees: trees),
      PausedSweepsStartNothing(trees: trees),
      SlotsGoWhereTheyShould(trees: trees),
      PoisonIsSetAside(trees: trees, limit: policy.lossLimit),
      OldWorkersAreSpared(),
      TwinsDoNotFight(patience: 2 * policy.heartbeatMilliseconds),
      UnmeasurableSweepsStartNothing(trees: trees),
      RequirementsAreMet(trees: trees),
      QueuesStayBounded(trees: trees, lossLimit: policy.lossLimit),
      ReadyJobsRun(trees: trees),
      FrontIsRight(),
    ]
    self.random = random
    self.contents = contents
  }

  private static func submission(
    _ index: Int, _ dataset: ArtifactReference, _ random: inout SplitMix64, _ laterRandom: inout SplitMix64
  ) -> SweepSubmission {
    var spec = SweepSpec(name: "sweep\(index)", dataset: "data.yaml")
    spec.grid.backbone = Array(["yolov5n", "mobilenetv2", "ghostnet"].prefix(1 + random.below(3)))
    spec.grid.sparsityRate = random.once(in: 3) ? [0, 0.0001] : [0.0001]
    spec.grid.pruneRatio = Array([0, 0.3, 0.5].prefix(1 + random.below(3)))
    spec.train.epochs = 2 + random.below(4)
    spec.sparsify.epochs = 1 + random.below(3)
    spec.finetune.epochs = 1 + random.below(3)
    if random.once(in: 2) { spec.objectives.append(Objective(.minimize, .latencyMS)) }
    if random.once(in: 3) { spec.priority = random.below(3) - 1 }
    if laterRandom.once(in: 3) { spec.objectives.append(Objective(.minimize, .energyJ)) }
    return SweepSubmission(spec: spec, dataset: dataset)
  }
}

/// Logs are numbered by their attempt, so that a checker can tell whose result it sees.
private enum LogNumbers {
  static let attempts: [Digest: UInt64] = {
    var contents = ContentTable()
    return Dictionary(
      uniqueKeysWithValues: (1...4_000).map { (contents.reference(to: .log(attempt: $0)).digest, $0) })
  }()
}

// MARK: - The run

extension SimulatedCluster {
  mutating func run() throws(BrokenPromise) -> Report {
    for index in workers.indices { observeBox(of: index) }
    try startCoordinator()
    // Some join late.
    for index in workers.indices { after(random.once(in: 4) ? 0...50_000 : 0...2_000, .workerRestarts(index)) }
    for submission in submissions { after(0...3_000, .operatorAsks(.submit(submission))) }
    after(500...3_000, .misfortune)
    at(SimulatedCluster.unrest, .peace)
    at(0, .inspection)
    while let scheduled = agenda.first {
      agenda.removeFirst()
      now = scheduled.at
      report.happenings += 1
      try handle(happenings.removeValue(forKey: scheduled.ticket)!)
      if isFinished { break }
      if now > SimulatedCluster.unrest + SimulatedCluster.patience {
        try observe(.outOfPatience(unfinished: unfinishedJobs.first ?? "nobody answers"))
      }
    }
    try observe(.ended)
    try compareWithReference()
    report.endedAt = now
    return report
  }

  mutating func at(_ time: Int64, _ happening: Happening) {
    lastTicket += 1
    agenda.insert(Scheduled(at: max(time, now), ticket: lastTicket))
    happenings[lastTicket] = happening
  }

  mutating func after(_ delay: ClosedRange<Int64>, _ happening: Happening) {
    after(random.milliseconds(delay), happening)
  }

  mutating func after(_ delay: Int64, _ happening: Happening) { at(now + delay, happening) }

  func tell(_ line: @autoclosure () -> String) { story?.append(line(), at: now, isFate: false) }

  /// Adds a line to the story that concerns all that happens to those it names, or to everybody.
  func tellFate(_ line: @autoclosure () -> String) { story?.append(line(), at: now, isFate: true) }

  mutating func observe(_ observation: Observation) throws(BrokenPromise) {
    for index in checkers.indices {
      if let problem = checkers[index].observe(observation) { throw broken(checkers[index].promise, problem) }
    }
  }

  private mutating func observeBox(of index: Int) {
    for checker in checkers.indices {
      _ = checkers[checker].observe(
        .enrolled(
          workers[index].id, box: workers[index].box, slots: workers[index].slots, labels: workers[index].labels))
      _ = checkers[checker].observe(.speaks(workers[index].id, version: workers[index].protocolVersion))
    }
  }

  /// How much is kept, now and then.
  private mutating func inspect() throws(BrokenPromise) {
    after(500...500, .inspection)
    if let brain = coordinator.brain { try observe(.keeps(brain.backlog, waiting: coordinator.outbox.count)) }
    for worker in workers {
      if let brain = worker.brain { try observe(.holds(worker.id, brain.backlog)) }
    }
  }

  func broken(_ promise: String, _ detail: String) -> BrokenPromise {
    BrokenPromise(seed: seed, fault: fault, promise: promise, detail: detail)
  }

  private mutating func handle(_ happening: Happening) throws(BrokenPromise) {
    switch happening {
    case .established(let worker, let connection): try established(worker, connection)
    case .refused(let worker, let connectionTry): refused(worker, connectionTry)
    case .toCoordinator(let connection, let message): try arriveAtCoordinator(connection, message)
    case .toWorker(let connection, let message): arriveAtWorker(connection, message)
    case .endAtCoordinator(let connection): try endAtCoordinator(connection)
    case .endAtWorker(let connection): endAtWorker(connection)
    case .committed(let generation): try committed(generation)
    case .coordinatorRings(let generation): try coordinatorRings(generation)
    case .coordinatorRestarts: try startCoordinator()
    case .worker(let worker, let incarnation, let event): deliver(worker, incarnation, event)
    case .workerRings(let worker, let incarnation): workerRings(worker, incarnation)
    case .workerRestarts(let worker): startWorker(worker)
    case .stageStep(let worker, let incarnation, let attempt): stageStep(worker, incarnation, attempt)
    case .uploadArrives(let worker, let incarnation, let digest): try uploadArrives(worker, incarnation, digest)
    case .fetchArrives(let worker, let incarnation, let digest): try fetchArrives(worker, incarnation, digest)
    case .operatorAsks(let request): try operatorAsks(request)
    case .misfortune: try misfortune()
    case .peace: try makePeace()
    case .verification: try verifyStore()
    case .look: try look()
    case .inspection: try inspect()
    }
  }
}

extension ResultTable {
  /// Without what only some hosts measure and nobody asked for, and without the reasons for what is missing.
  fileprivate var withoutExtras: ResultTable {
    let isMeasured = objectives.contains { $0.metric == .energyJ }
    let rows = rows.map { row in
      var row = row
      if !isMeasured { row.metrics["energy_j"] = nil }
      row.missing = nil
      return row
    }
    return ResultTable(sweep: sweep, objectives: objectives, rows: rows, remarks: remarks)
  }
}

// MARK: - The end

extension SimulatedCluster {
  /// In peace: every sweep has been looked at, and nothing is left to do.
  private var isFinished: Bool {
    isPeaceful && coordinator.finishedSweeps.count == submissions.count
  }

  /// The coordinator's words about the jobs that should have succeeded.
  private var unfinishedJobs: [String] {
    var brain = coordinator.brain
    return trees.flatMap { tree in
      let request = OperatorRequest.status(sweep: tree.sweep.name)
      let effects = brain?.handle(.requested(request, from: ConnectionID(0)), at: Instant(milliseconds: 0))
      guard case .respond(.sweep(let status), _) = effects?.last else { return [String]() }
      let futile = futileNodes(of: tree)
      return zip(status.jobs, futile).filter { $0.state != .succeeded && !$1 }.map { job, _ in
        "\(job.job.short) of \(tree.sweep) (\(job.stage)) is \(job.state), \(job.reason ?? "for no reason")"
      }
    }
  }

  /// A job that fails wherever it runs.
  func isDoomed(_ job: JobKey) -> Bool { SplitMix64.mixed(UInt64(truncatingIfNeeded: job.bits) ^ seed) % 40 == 0 }

  /// A job that takes every worker down that begins it.
  func isPoison(_ job: JobKey) -> Bool { SplitMix64.mixed(UInt64(truncatingIfNeeded: job.bits) ^ ~seed) % 150 == 0 }

  /// A job that never succeeds.
  func isHopeless(_ job: JobKey) -> Bool { isDoomed(job) || isPoison(job) }

  /// Whether a node never succeeds, for its own sake or for that of one before it.
  func futileNodes(of tree: StageTree) -> [Bool] {
    var futile: [Bool] = []
    for node in tree.nodes { futile.append(isHopeless(node.key) || node.sources.contains { futile[$0] }) }
    return futile
  }

  /// Half of the doomed jobs say so themselves: that no other attempt need be made.
  func refuses(_ job: JobKey) -> Bool { SplitMix64.mixed(UInt64(truncatingIfNeeded: job.bits) ^ seed) % 80 == 0 }

  private mutating func compareWithReference() throws(BrokenPromise) {
    var fresh = CoordinatorBrain(policy: coordinator.policy)
    for record in coordinator.journal.records { fresh.replay(record) }
    fresh.start(at: Instant(milliseconds: 0))
    for tree in trees {
      let effects = fresh.handle(
        .requested(.results(sweep: tree.sweep.name, objectives: nil), from: ConnectionID(0)),
        at: Instant(milliseconds: 0))
      let expected = SimulatedArithmetic.reference(tree, failing: isHopeless)
      guard case .respond(.results(let table), _) = effects.last else { preconditionFailure("no answer to a question") }
      try observe(.results(table.withoutExtras, expected: expected.withoutExtras))
    }
  }
}
