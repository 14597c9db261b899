import Bytes
import Fleet
import Sweep
import Testing

/// Each stage has a model of its own.
private func model(of assignment: Assignment) -> ArtifactReference {
  reference(UInt8(20 + Stage.allCases.firstIndex(of: assignment.stage)!))
}

extension Desk {
  /// Nobody falls silent before the grace has passed.
  fileprivate static var impatient: Desk {
    var policy = FleetPolicy()
    policy.repairGraceMilliseconds = 1_000
    return Desk(policy: policy)
  }

  fileprivate mutating func succeed(_ assignment: Assignment, on connection: UInt64) -> [CoordinatorEffect] {
    let artifacts: [OutputRole: ArtifactReference] = assignment.stage.makesModel ? [.model: model(of: assignment)] : [:]
    let result = StageResult(metrics: ["map50": 0.5, "size_mb": 3], artifacts: artifacts)
    return say(.attemptFinished(attempt: assignment.attempt, result: result), on: connection)
  }
}

extension [CoordinatorEffect] {
  fileprivate var asked: [ConnectionID] {
    compactMap { if case .send(.bringBack, let connection) = $0 { connection } else { nil } }
  }
}

/// A sweep whose training worker `a` has done; worker `b` has begun to prune its model.
private struct Pruning {
  var desk = Desk.impatient
  let training: Assignment
  let pruning: Assignment

  init() throws {
    _ = desk.ask(.submit(submission(ratios: [0.3])))
    training = try #require(desk.hello("a", on: 1).assignments.first).0
    _ = desk.ask(.drain(worker: "a", isDraining: true))
    desk.hello("b", on: 3)
    pruning = try #require(desk.succeed(training, on: 1).assignments.first).0
    try #require(pruning.stage == .prune)
  }

  /// `b` says that it is still fetching, and that it cannot.
  mutating func fail() -> [CoordinatorEffect] {
    let failure = StageFailure(message: "cannot fetch")
    return desk.say(.attemptFailed(attempt: pruning.attempt, failure: failure), on: 3)
  }
}

/// Lost and damaged artifacts, as the coordinator's brain sees them.
struct RepairTests {
  @Test func itsMakerIsAskedAndTheJobGoesOn() throws {
    var run = try Pruning()
    let lost = run.desk.handle(.artifactsLost([model(of: run.training).digest]))
    #expect(lost.asked == [ConnectionID(1)])
    // That the model could not be fetched meanwhile is not held against the job, which starts again once it is back.
    #expect(run.fail().assignments.isEmpty)
    #expect(
      run.desk.journal.last == .attemptEnded(attempt: run.pruning.attempt, job: run.pruning.job, outcome: .returned))
    let back = run.desk.say(.broughtBack(artifact: model(of: run.training)), on: 1)
    let (again, _) = try #require(back.assignments.first)
    #expect(again.job == run.pruning.job && again.input(.model) == model(of: run.training))
    #expect(!run.desk.journal.contains { if case .artifactsLost = $0 { true } else { false } })
  }

  @Test func whoeverIsThereOrComesIsAskedBeforeItIsMadeAgain() throws {
    var run = try Pruning()
    let digest = model(of: run.training).digest
    _ = run.desk.handle(.artifactsLost([digest]))
    #expect(run.desk.say(.cannotBringBack(artifact: digest), on: 1).asked == [ConnectionID(3)])
    #expect(run.desk.say(.cannotBringBack(artifact: digest), on: 3).asked == [])
    #expect(run.desk.hello("c", on: 4).asked == [ConnectionID(4)])
    _ = run.fail()
    let gone = run.desk.handle(.disconnected(ConnectionID(4)))
    #expect(gone.assignments.isEmpty)
    let (again, _) = try #require(run.desk.wait(run.desk.brain.policy.repairGraceMilliseconds).assignments.first)
    #expect(again.job == run.training.job)
    #expect(run.desk.journal.contains(.artifactsLost(artifacts: [digest])))

    // Restarted, it still knows; and the result of the second run serves as the first one's.
    run.desk.restart()
    run.desk.hello("b", on: 5, attempts: [again.attempt])
    let (next, _) = try #require(run.desk.succeed(again, on: 5).assignments.first)
    #expect(next.job == run.pruning.job)
  }

  @Test func aLostModelThatNobodyNeedsIsNotMadeAgain() throws {
    var desk = Desk.impatient
    _ = desk.ask(.submit(submission(ratios: [0.3])))
    var next = desk.hello("a", on: 1).assignments.first?.0
    var finished: [Stage: Assignment] = [:]
    while let assignment = next {
      finished[assignment.stage] = assignment
      next = desk.succeed(assignment, on: 1).assignments.first?.0
    }
    let training = try #require(finished[.train])
    let fine = try #require(finished[.finetune])
    func lose(_ digest: Digest) -> [CoordinatorEffect] {
      _ = desk.handle(.artifactsLost([digest]))
      _ = desk.say(.cannotBringBack(artifact: digest), on: 1)
      return desk.wait(desk.brain.policy.repairGraceMilliseconds)
    }
    #expect(lose(model(of: training).digest).assignments.isEmpty)
    // The outcome of a trial is needed.
    let again = lose(model(of: fine).digest).assignments.map(\.0.job)
    #expect(again == [fine.job])
  }

  @Test func aLostCheckpointIsForgotten() throws {
    var desk = Desk.impatient
    _ = desk.ask(.submit(submission()))
    let (assignment, _) = try #require(desk.hello("a", on: 1).assignments.first)
    let checkpoint = Checkpoint(epoch: 3, artifact: reference(9))
    _ = desk.say(.checkpointStored(attempt: assignment.attempt, checkpoint: checkpoint), on: 1)
    _ = desk.handle(.artifactsLost([reference(9).digest]))
    _ = desk.say(.cannotBringBack(artifact: reference(9).digest), on: 1)
    _ = desk.wait(desk.brain.policy.repairGraceMilliseconds)
    _ = desk.handle(.disconnected(ConnectionID(1)))
    let returned = desk.hello("a", on: 2, incarnation: 2)
    let (next, _) = try #require(returned.assignments.first)
    #expect(next.job == assignment.job)
    #expect(next.input(.resume) == nil)
  }

  @Test func aLostDataSetMustBeSubmittedAgain() throws {
    var desk = Desk.impatient
    let dataset = reference(1)
    _ = desk.ask(.submit(submission()))
    _ = desk.handle(.artifactsLost([dataset.digest]))
    #expect(desk.hello("a", on: 1).asked == [ConnectionID(1)])
    #expect(desk.say(.cannotBringBack(artifact: dataset.digest), on: 1).assignments.isEmpty)
    #expect(desk.wait(desk.brain.policy.repairGraceMilliseconds).assignments.isEmpty)
    desk.restart()
    desk.hello("a", on: 2)
    guard case .sweep(let status) = desk.ask(.status(sweep: "test")) else {
      Issue.record("no status")
      return
    }
    let training = try #require(status.jobs.first { $0.stage == .train })
    #expect(training.reason?.contains("submit the sweep again") == true, "\(training)")
    #expect(training.waitsFor == .data)
    let again = desk.handle(.requested(.submit(submission()), from: ConnectionID(99)))
    #expect(again.assignments.map(\.0.job) == [training.job])
    #expect(desk.journal.contains(.artifactRestored(artifact: dataset.digest)))
  }

  @Test func aWorkerThatJoinsLaterMayBringTheDataSet() throws {
    var desk = Desk.impatient
    let dataset = reference(1)
    _ = desk.ask(.submit(submission()))
    _ = desk.handle(.artifactsLost([dataset.digest]))
    _ = desk.wait(desk.brain.policy.repairGraceMilliseconds)
    desk.restart()
    #expect(desk.hello("a", on: 1).asked == [ConnectionID(1)])
    #expect(desk.say(.broughtBack(artifact: dataset), on: 1).assignments.count == 1)
  }

  @Test func aWorkerOfAnOlderProtocolIsNotAsked() {
    var desk = Desk.impatient
    _ = desk.ask(.submit(submission()))
    let hello = Hello(
      protocolVersion: 2, worker: WorkerID("a"), incarnation: 1, name: "a", box: BoxID("a"), slots: 0)
    _ = desk.handle(.received(.hello(hello), from: ConnectionID(1)))
    #expect(desk.handle(.artifactsLost([reference(1).digest])).asked == [])
  }

  @Test func whatNothingSpeaksOfIsNoLoss() {
    var desk = Desk.impatient
    _ = desk.ask(.submit(submission()))
    desk.hello("a", on: 1, slots: 0)
    #expect(desk.handle(.artifactsLost([reference(77).digest])).isEmpty)
  }
}

/// The worker's side of it.
struct BringBackTests {
  private func welcomed() -> Bench {
    var bench = Bench()
    _ = bench.handle(.started)
    _ = bench.join()
    return bench
  }

  @Test func whatIsInTheCacheIsUploaded() {
    var bench = welcomed()
    #expect(bench.handle(.received(.bringBack(artifact: reference(5)))) == [.upload(reference(5))])
    #expect(bench.handle(.uploaded(reference(5).digest)) == [.send(.broughtBack(artifact: reference(5)))])
  }

  @Test func whatIsNotIsSaid() {
    var bench = welcomed()
    _ = bench.handle(.received(.bringBack(artifact: reference(5))))
    let gone = bench.handle(.uploadFailed(reference(5).digest, reason: "not in the cache", isGone: true))
    #expect(gone == [.send(.cannotBringBack(artifact: reference(5).digest))])
  }

  @Test func itIsTriedSoOftenAndNoMore() {
    var bench = welcomed()
    _ = bench.handle(.received(.bringBack(artifact: reference(5))))
    let limit = bench.brain.policy.bringBackLimit
    for _ in 1..<limit {
      #expect(
        !bench.handle(.uploadFailed(reference(5).digest, reason: "full")).contains {
          if case .send = $0 { true } else { false }
        })
      for _ in 0..<8 {
        _ = bench.handle(.received(.heartbeatAcknowledged))
        if bench.wait(4_000).contains(.upload(reference(5))) { break }
      }
    }
    _ = bench.handle(.received(.heartbeatAcknowledged))
    let last = bench.handle(.uploadFailed(reference(5).digest, reason: "full"))
    #expect(last == [.send(.cannotBringBack(artifact: reference(5).digest))])
  }
}
