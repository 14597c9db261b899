import Bytes
import Fleet
import Sweep
import Testing

/// One coordinator, driven by hand. `said` and `journal` collect what it does.
struct Desk {
  var brain: CoordinatorBrain
  var journal: [Record] = []
  var now = Instant(milliseconds: 0)

  init(policy: FleetPolicy = FleetPolicy()) { brain = CoordinatorBrain(policy: policy) }

  mutating func handle(_ event: CoordinatorEvent) -> [CoordinatorEffect] {
    let effects = brain.handle(event, at: now)
    #expect(brain.validate() == [])
    for case .journal(let records) in effects { journal += records }
    return effects
  }

  mutating func wait(_ milliseconds: Int64) -> [CoordinatorEffect] {
    now = now.advanced(byMilliseconds: milliseconds)
    return handle(.deadlinePassed)
  }

  @discardableResult
  mutating func hello(
    _ name: String, on connection: UInt64, box: String? = nil, slots: Int = 1, incarnation: UInt64 = 1,
    attempts: [AttemptNumber] = [], labels: [String: String] = [:], metrics: [String]? = nil
  ) -> [CoordinatorEffect] {
    let hello = Hello(
      worker: WorkerID(name), incarnation: incarnation, name: name, box: BoxID(box ?? name), slots: slots,
      labels: labels, attempts: attempts, metrics: metrics)
    return handle(.received(.hello(hello), from: ConnectionID(connection)))
  }

  mutating func say(_ message: WorkerMessage, on connection: UInt64) -> [CoordinatorEffect] {
    handle(.received(message, from: ConnectionID(connection)))
  }

  mutating func ask(_ request: OperatorRequest) -> OperatorResponse? {
    handle(.requested(request, from: ConnectionID(99))).compactMap { effect in
      if case .respond(let response, _) = effect { response } else { nil }
    }.last
  }

  /// A restart from what is on the disk.
  mutating func restart() {
    brain = CoordinatorBrain(policy: brain.policy)
    for record in journal { brain.replay(record) }
    brain.start(at: now)
  }

  mutating func finish(_ assignment: Assignment, on connection: UInt64) -> [CoordinatorEffect] {
    var result = StageResult(metrics: ["map50": 0.5, "size_mb": 3], artifacts: [:])
    if assignment.stage.makesModel { result.artifacts["model"] = reference(UInt8(assignment.stage.rawValue.count)) }
    return say(.attemptFinished(attempt: assignment.attempt, result: result), on: connection)
  }
}

func reference(_ byte: UInt8) -> ArtifactReference {
  ArtifactReference(digest: Digest(bytes: [UInt8](repeating: 0, count: 31) + [byte]), byteCount: 1)
}

func submission(
  ratios: [Double] = [0], backbones: [String] = ["yolov5n"], objectives: [Objective]? = nil
) -> SweepSubmission {
  var spec = SweepSpec(name: "test", dataset: "data.yaml")
  spec.grid.backbone = backbones
  spec.grid.sparsityRate = [0]
  spec.grid.pruneRatio = ratios
  if let objectives { spec.objectives = objectives }
  return SweepSubmission(spec: spec, dataset: reference(1))
}

extension [CoordinatorEffect] {
  var assignments: [(Assignment, ConnectionID)] {
    compactMap { if case .send(.assign(let assignment), let connection) = $0 { (assignment, connection) } else { nil } }
  }
  func says(_ message: CoordinatorMessage) -> Bool {
    contains { if case .send(message, _) = $0 { true } else { false } }
  }
}

struct CoordinatorBrainTests {
  @Test func aJobGoesToAFreeWorkerAfterItsRecord() throws {
    var desk = Desk()
    desk.hello("a", on: 1)
    let effects = desk.handle(.requested(.submit(submission()), from: ConnectionID(99)))
    guard case .journal(let records) = effects.first else {
      Issue.record("the journal must come first: \(effects)")
      return
    }
    #expect(records.count == 2)
    let (assignment, connection) = try #require(effects.assignments.first)
    #expect(assignment.stage == .train)
    #expect(assignment.input(.dataset) == reference(1))
    #expect(connection == ConnectionID(1))
  }

  /// The accounts of any journal can be checked; here two attempts at one job are live.
  @Test func aJournalThatContradictsItselfIsNoticed() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let (assignment, _) = try #require(desk.hello("a", on: 1).assignments.first)
    var brain = CoordinatorBrain()
    for record in desk.journal { brain.replay(record) }
    let another = AttemptNumber(assignment.attempt.value + 1)
    brain.replay(.attemptStarted(attempt: another, job: assignment.job, worker: WorkerID("b"), box: BoxID("b")))
    brain.start(at: Instant(milliseconds: 0))
    #expect(brain.validate().contains("\(assignment.attempt) is live, and its job is not leased to it"))
  }

  @Test func submittingTwiceIsOnce() {
    var desk = Desk()
    guard case .submitted(let first, isNew: true, _) = desk.ask(.submit(submission())) else {
      Issue.record("not submitted")
      return
    }
    #expect(desk.ask(.submit(submission())) == .submitted(sweep: first, isNew: false))
    #expect(desk.journal.count == 1)
  }

  /// Remarks on the data set are shown with every result, also after a restart; they are not part of what the sweep is.
  @Test func remarksStayWithTheSweep() throws {
    var desk = Desk()
    let plain = submission()
    var remarked = plain
    remarked.remarks = ["train: 1 of 4 images are left out: odd.jpg"]
    #expect(remarked.sweepID == plain.sweepID)
    _ = desk.ask(.submit(remarked))
    desk.restart()
    guard case .sweep(let status) = desk.ask(.status(sweep: "test")),
      case .results(let table) = desk.ask(.results(sweep: "test", objectives: [Objective(.maximize, .map50)]))
    else {
      Issue.record("no answer")
      return
    }
    #expect(status.remarks == remarked.remarks)
    #expect(table.measured.remarks == remarked.remarks)
    #expect(table.terminalText.hasSuffix("\ntrain: 1 of 4 images are left out: odd.jpg\n"))
    #expect(table.markdown.hasSuffix("\n\ntrain: 1 of 4 images are left out: odd.jpg\n"))

    remarked.remarks = [String](repeating: "x", count: 17)
    #expect(remarked.problem == "at most 16 remarks of 2048 bytes")
    remarked.remarks = [String(repeating: "x", count: 2049)]
    #expect(remarked.problem == "at most 16 remarks of 2048 bytes")
  }

  @Test func aClosedConnectionSendsTheJobElsewhereFromItsCheckpoint() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let (assignment, _) = try #require(desk.hello("a", on: 1).assignments.first)
    let checkpoint = Checkpoint(epoch: 3, artifact: reference(9))
    let stored = desk.say(.checkpointStored(attempt: assignment.attempt, checkpoint: checkpoint), on: 1)
    #expect(stored.says(.checkpointAcknowledged(attempt: assignment.attempt, epoch: 3)))
    desk.hello("b", on: 2)
    let (next, connection) = try #require(desk.handle(.disconnected(ConnectionID(1))).assignments.first)
    #expect(next.job == assignment.job)
    #expect(next.attempt > assignment.attempt)
    #expect(next.input(.resume) == reference(9))
    #expect(connection == ConnectionID(2))

    // The first worker comes back: too late, its attempt is to be abandoned and its result refused.
    let welcome = desk.hello("a", on: 3, attempts: [assignment.attempt])
    let abandons = welcome.contains {
      if case .send(.welcome(let welcome), _) = $0 { welcome.abandon == [assignment.attempt] } else { false }
    }
    #expect(abandons)
    let late = desk.finish(assignment, on: 3)
    #expect(late.says(.attemptAcknowledged(attempt: assignment.attempt, accepted: false)))
  }

  @Test func aWorkerThatComesBackInTimeGoesOn() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let (assignment, _) = try #require(desk.hello("a", on: 1).assignments.first)
    #expect(desk.handle(.disconnected(ConnectionID(1))).assignments.isEmpty)
    #expect(desk.hello("a", on: 2, attempts: [assignment.attempt]).assignments.isEmpty)
    desk.hello("b", on: 3)
    let done = desk.finish(assignment, on: 2)
    #expect(done.says(.attemptAcknowledged(attempt: assignment.attempt, accepted: true)))
    #expect(done.assignments.first?.0.stage == .evaluate)
  }

  @Test func aSilentWorkerLosesItsLease() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let (assignment, _) = try #require(desk.hello("a", on: 1).assignments.first)
    _ = desk.wait(19_000)
    desk.hello("b", on: 2)
    #expect(desk.wait(500).assignments.isEmpty)
    let (next, _) = try #require(desk.wait(600).assignments.first)
    #expect(next.job == assignment.job)
  }

  @Test func aHeartbeatRenewsTheLease() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let (assignment, _) = try #require(desk.hello("a", on: 1).assignments.first)
    for _ in 0..<10 {
      _ = desk.wait(5_000)
      _ = desk.say(.heartbeat(attempts: [assignment.attempt]), on: 1)
    }
    #expect(desk.finish(assignment, on: 1).says(.attemptAcknowledged(attempt: assignment.attempt, accepted: true)))
  }

  @Test func aRestartedCoordinatorTakesUpWhatRan() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission(ratios: [0, 0.5])))
    let (assignment, _) = try #require(desk.hello("a", on: 1).assignments.first)
    desk.restart()
    desk.hello("b", on: 2)
    #expect(desk.hello("a", on: 3, attempts: [assignment.attempt]).assignments.isEmpty)
    let effects = desk.finish(assignment, on: 3)
    #expect(effects.says(.attemptAcknowledged(attempt: assignment.attempt, accepted: true)))
    // Both children start: the longer way (prune) and the short one (evaluate).
    #expect(Set(effects.assignments.map(\.0.stage)) == [.prune, .evaluate])
    #expect(effects.assignments.allSatisfy { $0.0.attempt > assignment.attempt })
  }

  @Test func failuresAreRetriedWithPausesAndThenGivenUp() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission(backbones: ["yolov5n", "mobilenetv2"])))
    let both = desk.hello("a", on: 1, slots: 2).assignments.map(\.0)
    let (first, other) = (both[0], both[1])
    var attempt = first.attempt
    let failure = StageFailure(message: "no memory")
    for pause in [1_000, 2_000] as [Int64] {
      #expect(desk.say(.attemptFailed(attempt: attempt, failure: failure), on: 1).assignments.isEmpty)
      #expect(desk.wait(pause - 1).assignments.isEmpty)
      let again = try #require(desk.wait(1).assignments.first).0
      #expect(again.job == first.job)
      attempt = again.attempt
    }
    _ = desk.say(.attemptFailed(attempt: attempt, failure: failure), on: 1)
    // The other trial has gone on meanwhile.
    #expect(desk.finish(other, on: 1).assignments.map(\.0.stage) == [.evaluate])
    guard case .sweep(let status) = desk.ask(.status(sweep: "test")) else { return }
    let failed = try #require(status.jobs.first { $0.job == first.job })
    #expect(failed.state == .failed)
    #expect(failed.reason == "failed 3 times, at last: no memory")
    #expect(status.summary.jobs.blocked == 1)

    _ = desk.ask(.retry(target: "test"))
    guard case .sweep(let again) = desk.ask(.status(sweep: "test")) else { return }
    #expect(again.summary.jobs.blocked == 0)
    #expect(again.summary.jobs.failed == 0)
  }

  @Test func aFinalFailureIsNotRetried() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission(ratios: [0, 0.9])))
    let train = try #require(desk.hello("a", on: 1).assignments.first).0
    let prune = try #require(desk.finish(train, on: 1).assignments.first { $0.0.stage == .prune }).0
    let failure = StageFailure(message: "0.9 leaves no channel in model.2.cv1.bn", cause: .refused)
    let effects = desk.say(.attemptFailed(attempt: prune.attempt, failure: failure), on: 1)
    #expect(effects.says(.attemptAcknowledged(attempt: prune.attempt, accepted: true)))
    // The other trial goes on; what waits for the failed job never starts, nor after a restart.
    let evaluate = try #require(effects.assignments.first).0
    #expect(evaluate.stage == .evaluate)
    _ = desk.finish(evaluate, on: 1)
    desk.restart()
    #expect(desk.hello("a", on: 2).assignments.isEmpty)
    #expect(desk.wait(600_000).assignments.isEmpty)
    guard case .sweep(let status) = desk.ask(.status(sweep: "test")) else { return }
    let failed = try #require(status.jobs.first { $0.job == prune.job })
    #expect(failed.state == .failed)
    #expect(failed.reason == failure.message)
    #expect(failed.attempts == 1)
    #expect(status.summary.state == .failed)
  }

  @Test func aJobThatTakesThreeWorkersAlongIsSetAside() {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    for incarnation in 1...3 as ClosedRange<UInt64> {
      #expect(desk.hello("a", on: incarnation, incarnation: incarnation).assignments.count == 1)
      _ = desk.handle(.disconnected(ConnectionID(incarnation)))
    }
    #expect(desk.hello("a", on: 4, incarnation: 4).assignments.isEmpty)
    guard case .sweep(let status) = desk.ask(.status(sweep: "test")) else { return }
    #expect(status.jobs[0].reason == "set aside: 3 workers vanished while running it")
  }

  @Test func missingArtifactsAreAskedForAgain() throws {
    var desk = Desk()
    #expect(
      desk.handle(.requested(.submit(submission()), from: ConnectionID(99), missing: [reference(1).digest]))
        == [.respond(.artifactsMissing([reference(1).digest]), to: ConnectionID(99))])
    _ = desk.ask(.submit(submission()))
    let (assignment, _) = try #require(desk.hello("a", on: 1).assignments.first)
    let checkpoint = Checkpoint(epoch: 1, artifact: reference(7))
    let effects = desk.handle(
      .received(
        .checkpointStored(attempt: assignment.attempt, checkpoint: checkpoint), from: ConnectionID(1),
        missing: [reference(7).digest]))
    #expect(effects.says(.artifactsMissing(attempt: assignment.attempt, digests: [reference(7).digest])))
  }

  @Test func benchmarksHaveTheirBoxAlone() throws {
    var desk = Desk()
    let objectives = [Objective(.maximize, .map50), Objective(.minimize, .latencyMS)]
    _ = desk.ask(.submit(submission(backbones: ["yolov5n", "mobilenetv2"], objectives: objectives)))
    // Two workers on one box, as `greensweep run` starts them.
    var running = desk.hello("a", on: 1, box: "box").assignments + desk.hello("b", on: 2, box: "box").assignments
    var order: [Stage] = []
    while let (assignment, connection) = running.first {
      running.removeFirst()
      order.append(assignment.stage)
      if assignment.stage == .benchmark { #expect(running.isEmpty, "something runs beside a benchmark") }
      running += desk.finish(assignment, on: connection.value).assignments
    }
    #expect(order.filter { $0 == .benchmark }.count == 2)
    guard case .results(let table) = desk.ask(.results(sweep: "test", objectives: nil)) else { return }
    #expect(table.rows.allSatisfy { $0.state == .done })
  }

  @Test func childrenPreferTheHolderOfTheirInput() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission(backbones: ["yolov5n", "mobilenetv2"])))
    let a = try #require(desk.hello("a", on: 1).assignments.first).0
    let b = try #require(desk.hello("b", on: 2).assignments.first).0
    let afterB = desk.finish(b, on: 2).assignments
    let afterA = desk.finish(a, on: 1).assignments
    #expect(afterB.map(\.1) == [ConnectionID(2)])
    #expect(afterA.map(\.1) == [ConnectionID(1)])
  }

  @Test func cancellingStopsWhatNobodyElseWants() throws {
    var desk = Desk()
    guard case .submitted(let sweep, _, _) = desk.ask(.submit(submission())) else { return }
    let (assignment, _) = try #require(desk.hello("a", on: 1).assignments.first)
    let effects = desk.handle(.requested(.cancel(sweep: sweep.name), from: ConnectionID(99)))
    #expect(effects.says(.cancelAttempt(attempt: assignment.attempt, reason: .cancelled)))
    // Submitting it again takes it up.
    #expect(desk.ask(.submit(submission())) == .submitted(sweep: sweep, isNew: true))
    guard case .sweep(let status) = desk.ask(.status(sweep: sweep.name)) else { return }
    #expect(status.summary.jobs.leased == 1)
  }

  @Test func aDrainedWorkerTakesNothingNew() {
    var desk = Desk()
    desk.hello("a", on: 1)
    _ = desk.ask(.drain(worker: "a", isDraining: true))
    #expect(desk.handle(.requested(.submit(submission()), from: ConnectionID(99))).assignments.isEmpty)
    desk.restart()
    #expect(desk.hello("a", on: 2).says(.drain(isDraining: true)))
  }

  /// It says so before it hands anything back, on the connection it has.
  @Test func aLeavingWorkerTakesNothingNew() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let (assignment, connection) = try #require(desk.hello("a", on: 1).assignments.first)
    let goodbye = Hello(
      worker: WorkerID("a"), incarnation: 1, name: "a", box: BoxID("a"), slots: 1, attempts: [assignment.attempt],
      isDraining: true)
    #expect(desk.say(.hello(goodbye), on: connection.value).assignments.isEmpty)
    let effects = desk.say(.attemptReturned(attempt: assignment.attempt), on: connection.value)
    #expect(effects.says(.attemptAcknowledged(attempt: assignment.attempt, accepted: true)))
    #expect(effects.assignments.isEmpty)
    #expect(desk.hello("b", on: 2).assignments.count == 1)
  }

  @Test func replayGivesTheSameAnswers() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission(ratios: [0, 0.3], backbones: ["yolov5n", "mobilenetv2"])))
    var running = desk.hello("a", on: 1).assignments + desk.hello("b", on: 2).assignments
    for _ in 0..<6 {
      let (assignment, connection) = running.removeFirst()
      running += desk.finish(assignment, on: connection.value).assignments
    }
    let before = desk.ask(.results(sweep: "test", objectives: nil))
    desk.restart()
    #expect(desk.ask(.results(sweep: "test", objectives: nil)) == before)
  }

  @Test func anotherProtocolVersionIsRefusedWithWords() {
    var desk = Desk()
    let hello = Hello(
      protocolVersion: 99, worker: WorkerID("a"), incarnation: 1, name: "a", box: BoxID("a"), slots: 1)
    let effects = desk.say(.hello(hello), on: 1)
    #expect(effects.last == .close(ConnectionID(1)))
    #expect(effects.count == 2)
  }
}
