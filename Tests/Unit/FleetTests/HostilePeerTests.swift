import Fleet
import JSON
import Settings
import Sweep
import Testing

/// A peer with a token may still send anything; its messages are bounded before anything of them is kept.
struct HostilePeerTests {
  private let long = String(repeating: "x", count: 300)

  private func hello(_ change: (inout Hello) -> Void) -> CoordinatorEvent {
    var hello = Hello(worker: WorkerID("w"), incarnation: 1, name: "w", box: BoxID("b"), slots: 1)
    change(&hello)
    return .received(.hello(hello), from: ConnectionID(1))
  }

  @Test func hellosBeyondAllBoundsAreRefused() {
    let changes: [(inout Hello) -> Void] = [
      { $0.worker = WorkerID("") }, { $0.worker = WorkerID(long) }, { $0.name = long }, { $0.box = BoxID(long) },
      { $0.labels = [long: ""] }, { $0.labels = ["": long] },
      { $0.labels = Dictionary(uniqueKeysWithValues: (0..<300).map { ("\($0)", "") }) },
      { $0.attempts = (0..<5_000).map { AttemptNumber($0) } },
    ]
    for change in changes {
      var desk = Desk()
      let effects = desk.handle(hello(change))
      guard case .send(.refused, _) = effects.first, case .close = effects.last else {
        Issue.record("\(effects.count) effects")
        continue
      }
      #expect(desk.ask(.workers) == .workers([]))
    }
  }

  @Test func noNumberOfSlotsOverflows() {
    var desk = Desk()
    desk.hello("a", on: 1, slots: .max)
    desk.hello("b", on: 2, slots: .max)
    desk.hello("c", on: 3, slots: .min)
    #expect(desk.brain.figures.slots == 2 * 1_024)
    #expect(desk.ask(.status(sweep: nil)) == .sweeps([]))
  }

  @Test func longListsAndTextsCloseTheConnection() {
    let many = (0..<5_000).map { AttemptNumber($0) }
    let number = AttemptNumber(1)
    let messages: [WorkerMessage] = [
      .heartbeat(attempts: many), .heartbeat(attempts: [], fetching: many),
      .epochMetrics(attempt: number, metrics: EpochMetrics(epoch: .max, epochs: 1, seconds: 1, values: [:])),
      .epochMetrics(attempt: number, metrics: EpochMetrics(epoch: 1, epochs: 1, seconds: 1, values: [long: 1])),
      .checkpointStored(attempt: number, checkpoint: Checkpoint(epoch: -1, artifact: reference(1))),
      .attemptFailed(attempt: number, failure: StageFailure(message: String(repeating: "x", count: 20_000))),
      .attemptFinished(attempt: number, result: StageResult(metrics: [long: 1], artifacts: [:])),
    ]
    for message in messages {
      var desk = Desk()
      desk.hello("a", on: 1)
      let effects = desk.say(message, on: 1)
      #expect(effects.last == .close(ConnectionID(1)))
      #expect(effects.count == 2 && desk.journal.isEmpty)
    }
  }

  /// A worker that comes back under a new name each time does not fill the coordinator's memory.
  @Test func vanishedWorkersAreForgottenBeforeTheyAreMany() {
    var policy = FleetPolicy()
    policy.absentWorkerLimit = 8
    var desk = Desk(policy: policy)
    for index in 1...100 {
      desk.hello("w\(index)", on: UInt64(index))
      _ = desk.handle(.disconnected(ConnectionID(UInt64(index))))
    }
    var workers: [WorkerStatus] = []
    if case .workers(let known) = desk.ask(.workers) { workers = known }
    #expect(workers.map(\.name).sorted() == (93...100).map { "w\($0)" }.sorted())
    #expect(desk.brain.figures.absentWorkers == 8)
  }

  /// Naming other workers' attempts neither takes them over nor clears them of suspicion.
  @Test func anotherWorkersAttemptsStayItsOwn() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission))
    let assigned = desk.hello("honest", on: 1).compactMap { effect -> AttemptNumber? in
      if case .send(.assign(let assignment), _) = effect { assignment.attempt } else { nil }
    }
    let number = try #require(assigned.first)
    for message: WorkerMessage in [
      .attemptReturned(attempt: number), .attemptFailed(attempt: number, failure: StageFailure(message: "no")),
      .attemptFinished(attempt: number, result: StageResult(metrics: [:], artifacts: [.model: reference(1)])),
    ] {
      desk.hello("thief", on: 2, slots: 0, attempts: [number])
      #expect(
        desk.say(message, on: 2) == [.send(.attemptAcknowledged(attempt: number, accepted: false), to: ConnectionID(2))]
      )
    }
    _ = desk.handle(.disconnected(ConnectionID(1)))
    _ = desk.wait(desk.brain.policy.leaseMilliseconds)
    #expect(fates(in: desk.journal) == ["lost"])
    desk.hello("thief", on: 2, slots: 0, attempts: [number])
    #expect(fates(in: desk.journal) == ["lost"])
    desk.hello("honest", on: 3, slots: 0, attempts: [number])
    #expect(fates(in: desk.journal) == ["lost", "survived"])
  }

  private func fates(in journal: [Record]) -> [String] {
    journal.compactMap { record in
      switch record {
      case .attemptEnded(_, _, .lost): "lost"
      case .attemptSurvived: "survived"
      default: nil
      }
    }
  }

  private var submission: SweepSubmission {
    SweepSubmission(spec: SweepSpec(name: "campus", dataset: "d.yaml"), dataset: reference(1))
  }

  @Test func submissionsBeyondAllBoundsAreRefused() {
    let changes: [(inout SweepSpec) -> Void] = [
      { $0.grid.backbone = [String(repeating: "x", count: 2_000)] },
      { $0.train.hyp = String(repeating: "x", count: 2_000) },
      {
        $0.grid.seed = Array(0..<100_000); $0.prune.rounds = 100
      }, { $0.prune.rounds = 0 },
      { $0.objectives = Array(repeating: Objective(.maximize, .map50), count: 20) }, { $0.benchmark.threads = 0 },
      { $0.common.nominalBatchSize = 0 },
    ]
    for change in changes {
      var desk = Desk()
      var submission = submission
      change(&submission.spec)
      guard case .refused = desk.ask(.submit(submission)) else {
        Issue.record("accepted")
        continue
      }
      #expect(desk.journal.isEmpty)
    }
  }

  // MARK: - Coordinators

  @Test(arguments: [(0, 0), (-5, -5), (.max, .max), (.min, .max), (1, .min)] as [(Int64, Int64)])
  func noWelcomeMakesAWorkerSpinOrOverflow(lease: Int64, heartbeat: Int64) throws {
    var bench = Bench()
    bench.now = Instant(milliseconds: 1_000_000)
    _ = bench.handle(.started)
    _ = bench.handle(.connected)
    let welcome = Welcome(leaseMilliseconds: lease, heartbeatMilliseconds: heartbeat, abandon: [])
    _ = bench.handle(.received(.welcome(welcome)))
    #expect(try #require(bench.brain.nextDeadline) > bench.now)
  }

  @Test func assignmentsBeyondAllBoundsAreNotTakenInHand() {
    var bench = Bench()
    _ = bench.handle(.started)
    _ = bench.join()
    let large = Assignment(
      attempt: AttemptNumber(1), job: JobKey(hashing: "x"),
      configuration: StageConfiguration(.train, ["x": .string(String(repeating: "x", count: 100_000))]), inputs: [:])
    let effects = bench.handle(.received(.assign(large)))
    #expect(bench.brain.heldAttempts.isEmpty && effects.contains(.discard(AttemptNumber(1))))
    for number in 1...3_000 {
      _ = bench.handle(
        .received(
          .assign(
            Assignment(
              attempt: AttemptNumber(UInt64(number)), job: JobKey(hashing: "x"),
              configuration: StageConfiguration(.train, [:]),
              inputs: [.dataset: reference(1)]))))
    }
    #expect(bench.brain.heldAttempts.count == bench.brain.policy.attemptLimit)
  }
}
