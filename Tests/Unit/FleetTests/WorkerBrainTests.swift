import Fleet
import Sweep
import Testing

/// One worker, driven by hand.
struct Bench {
  var brain: WorkerBrain
  var now = Instant(milliseconds: 0)

  init(slots: Int = 1, policy: WorkerPolicy = WorkerPolicy()) {
    brain = WorkerBrain(
      identity: WorkerBrain.Identity(
        worker: WorkerID("w"), name: "w", box: BoxID("b"), slots: slots, seed: 7), policy: policy)
  }

  mutating func handle(_ event: WorkerEvent) -> [WorkerEffect] { brain.handle(event, at: now) }

  mutating func wait(_ milliseconds: Int64) -> [WorkerEffect] {
    now = now.advanced(byMilliseconds: milliseconds)
    return handle(.deadlinePassed)
  }

  mutating func join(abandon: [AttemptNumber] = []) -> [WorkerEffect] {
    _ = handle(.connected)
    return handle(
      .received(.welcome(Welcome(leaseMilliseconds: 20_000, heartbeatMilliseconds: 5_000, abandon: abandon))))
  }

  /// Started, welcomed, and running one stage.
  mutating func run(_ assignment: Assignment) {
    _ = handle(.started)
    _ = join()
    _ = handle(.received(.assign(assignment)))
    _ = handle(.fetched(reference(1).digest))
  }
}

private let first = AttemptNumber(1)

private func assignment(_ number: UInt64) -> Assignment {
  Assignment(
    attempt: AttemptNumber(number), job: JobKey(hashing: "\(number)"), configuration: StageConfiguration(.train, [:]),
    inputs: [.dataset: reference(1)])
}

private func epoch(_ number: Int) -> StageEvent {
  .epoch(EpochMetrics(epoch: number, epochs: 9, seconds: 1, values: [:]))
}

struct WorkerBrainTests {
  @Test func anAttemptFetchesRunsAndReports() {
    var bench = Bench()
    #expect(bench.handle(.started) == [.connect])
    _ = bench.join()
    #expect(bench.handle(.received(.assign(assignment(1)))) == [.fetch(reference(1))])
    #expect(bench.handle(.fetched(reference(1).digest)) == [.startStage(assignment(1))])
    let output = StageOutput(metrics: ["map50": 0.5], files: [.model: "model.safetensors"])
    #expect(bench.handle(.stageReported(first, .finished(output))) == [])
    let kept = bench.handle(.stageExited(first, message: "exit status 0"))
    #expect(kept == [.keepFile(first, file: "stage.log"), .keepFile(first, file: "model.safetensors")])
    #expect(bench.handle(.fileKept(first, file: "stage.log", artifact: reference(2))) == [.upload(reference(2))])
    #expect(
      bench.handle(.fileKept(first, file: "model.safetensors", artifact: reference(3))) == [.upload(reference(3))])
    #expect(bench.handle(.uploaded(reference(2).digest)) == [])
    let result = StageResult(metrics: ["map50": 0.5], artifacts: [.log: reference(2), .model: reference(3)])
    #expect(
      bench.handle(.uploaded(reference(3).digest)) == [.send(.attemptFinished(attempt: first, result: result))])
    let acknowledged = bench.handle(.received(.attemptAcknowledged(attempt: first, accepted: true)))
    #expect(acknowledged == [.discard(first)])
    #expect(bench.brain.heldAttempts.isEmpty)
  }

  @Test func aRefusalIsReportedAsFinal() {
    var bench = Bench()
    bench.run(assignment(1))
    _ = bench.handle(.stageReported(first, .failed(message: "no", cause: .refused)))
    _ = bench.handle(.stageExited(first, message: "exit status 1"))
    let effects = bench.handle(.fileNotKept(first, file: "stage.log", reason: "none"))
    let failure = StageFailure(message: "no", cause: .refused)
    #expect(effects == [.send(.attemptFailed(attempt: first, failure: failure))])
  }

  @Test func whatIsOwedIsSaidAgainAfterABreak() {
    var bench = Bench()
    bench.run(assignment(1))
    _ = bench.handle(.stageReported(first, epoch(1)))
    _ = bench.handle(.received(.metricsAcknowledged(attempt: first, epoch: 1)))
    _ = bench.handle(.disconnected)
    // Training goes on, unheard.
    #expect(bench.handle(.stageReported(first, epoch(2))) == [])
    #expect(bench.wait(200) == [.connect])
    let hello = bench.handle(.connected)
    guard case .send(.hello(let said)) = hello.first else {
      Issue.record("no hello: \(hello)")
      return
    }
    #expect(said.attempts == [first])
    let welcome = Welcome(leaseMilliseconds: 20_000, heartbeatMilliseconds: 5_000, abandon: [])
    guard case .send(.epochMetrics(first, let metrics)) = bench.handle(.received(.welcome(welcome))).first else {
      Issue.record("the second epoch is still owed")
      return
    }
    #expect(metrics.epoch == 2)
  }

  @Test func anAbandonedAttemptIsKilled() {
    var bench = Bench()
    bench.run(assignment(1))
    _ = bench.handle(.disconnected)
    _ = bench.wait(200)
    #expect(bench.join(abandon: [first]) == [.killStage(first)])
    #expect(bench.handle(.stageExited(first, message: "killed")) == [.discard(first)])
  }

  @Test func onlyTheNewestCheckpointMatters() {
    var bench = Bench()
    bench.run(assignment(1))
    func report(_ epoch: Int) -> [WorkerEffect] {
      bench.handle(.stageReported(first, .checkpoint(epoch: epoch, file: "checkpoint-\(epoch)")))
    }
    #expect(report(1) == [.keepFile(first, file: "checkpoint-1")])
    #expect(bench.handle(.fileKept(first, file: "checkpoint-1", artifact: reference(5))) == [.upload(reference(5))])
    #expect(report(2) == [])
    #expect(report(3) == [])
    let stored = bench.handle(.uploaded(reference(5).digest))
    let checkpoint = Checkpoint(epoch: 1, artifact: reference(5))
    #expect(stored == [.send(.checkpointStored(attempt: first, checkpoint: checkpoint))])
    let next = bench.handle(.received(.checkpointAcknowledged(attempt: first, epoch: 1)))
    #expect(next == [.keepFile(first, file: "checkpoint-3")])
  }

  @Test func slotsBoundWhatRunsAtOnce() {
    var bench = Bench(slots: 1)
    bench.run(assignment(1))
    let second = bench.handle(.received(.assign(assignment(2))))
    #expect(second == [.fetch(reference(1))])
    #expect(bench.handle(.fetched(reference(1).digest)) == [])
    // A cancelled stage keeps its slot until its process is gone.
    #expect(bench.handle(.received(.cancelAttempt(attempt: first, reason: .cancelled))) == [.killStage(first)])
    let freed = bench.handle(.stageExited(first, message: "killed"))
    #expect(freed == [.discard(first), .startStage(assignment(2))])
  }

  @Test func leavingHandsBackAfterTheCheckpointIsThrough() {
    var bench = Bench()
    bench.run(assignment(1))
    _ = bench.handle(.stageReported(first, .checkpoint(epoch: 1, file: "c")))
    let leaving = bench.handle(.leaveRequested)
    guard case .send(.hello(let hello)) = leaving.first else {
      Issue.record("nobody is told: \(leaving)")
      return
    }
    #expect(hello.isDraining && hello.attempts == [first])
    #expect(leaving.dropFirst() == [.killStage(first)])
    #expect(bench.handle(.stageExited(first, message: "killed")) == [])
    _ = bench.handle(.fileKept(first, file: "c", artifact: reference(5)))
    _ = bench.handle(.uploaded(reference(5).digest))
    let acknowledged = bench.handle(.received(.checkpointAcknowledged(attempt: first, epoch: 1)))
    #expect(acknowledged == [.send(.attemptReturned(attempt: first))])
    let end = bench.handle(.received(.attemptAcknowledged(attempt: first, accepted: true)))
    #expect(end == [.discard(first), .send(.goodbye), .exit])
  }

  @Test func aDrainedWorkerFinishesAndGoes() {
    var bench = Bench()
    _ = bench.handle(.started)
    _ = bench.join()
    #expect(bench.handle(.received(.drain(isDraining: true))) == [.send(.goodbye), .exit])
  }

  @Test func anIdleWorkerLeavesAfterItsTimeAndNotBefore() {
    var policy = WorkerPolicy()
    policy.idleExitMilliseconds = 4_000
    var bench = Bench(policy: policy)
    _ = bench.handle(.started)
    _ = bench.join()
    #expect(bench.wait(3_999) == [])
    // A job comes at the last moment: idleness begins anew after it.
    _ = bench.handle(.received(.assign(assignment(1))))
    #expect(bench.wait(1) == [])
    _ = bench.handle(.received(.cancelAttempt(attempt: first, reason: .cancelled)))
    #expect(!bench.wait(3_999).contains(.exit))
    let end = bench.wait(1)
    guard case .send(.hello(let hello)) = end.first else {
      Issue.record("nobody is told: \(end)")
      return
    }
    #expect(hello.isDraining)
    #expect(end.dropFirst() == [.send(.goodbye), .exit])
  }

  @Test func anIdleWorkerLeavesWithoutACoordinatorToo() {
    var policy = WorkerPolicy()
    policy.idleExitMilliseconds = 4_000
    var bench = Bench(policy: policy)
    _ = bench.handle(.started)
    _ = bench.handle(.disconnected)
    #expect(bench.wait(4_000).last == .exit)
  }

  @Test func jobsAreHandedBackBeforeTheWorkersTimeIsUp() {
    var policy = WorkerPolicy()
    policy.until = Instant(milliseconds: 100_000)
    var bench = Bench(policy: policy)
    bench.run(assignment(1))
    // Heard from, so that the connection is not given up.
    for _ in 0..<7 {
      _ = bench.wait(11_000)
      _ = bench.handle(.received(.heartbeatAcknowledged))
    }
    #expect(!bench.wait(2_999).contains(.killStage(first)))
    #expect(bench.wait(1).contains(.killStage(first)))
    #expect(bench.handle(.stageExited(first, message: "killed")) == [.send(.attemptReturned(attempt: first))])
    let end = bench.handle(.received(.attemptAcknowledged(attempt: first, accepted: true)))
    #expect(end == [.discard(first), .send(.goodbye), .exit])
  }

  @Test func nothingIsBegunThatCouldReachNoCheckpoint() {
    var policy = WorkerPolicy()
    policy.until = Instant(milliseconds: 100_000)
    var bench = Bench(slots: 2, policy: policy)
    bench.run(assignment(1))
    // Its first epoch takes 15 s, so that there is time for another until 100 - 20 - 15 s, not 100 - 20 - 60 s.
    _ = bench.wait(15_000)
    _ = bench.handle(.received(.heartbeatAcknowledged))
    _ = bench.handle(.stageReported(first, .checkpoint(epoch: 1, file: "c")))
    for _ in 0..<5 {
      _ = bench.wait(10_000)
      _ = bench.handle(.received(.heartbeatAcknowledged))
    }
    _ = bench.handle(.received(.assign(assignment(2))))
    #expect(bench.handle(.fetched(reference(1).digest)) == [.startStage(assignment(2))])
    _ = bench.handle(.received(.cancelAttempt(attempt: AttemptNumber(2), reason: .cancelled)))
    _ = bench.handle(.stageExited(AttemptNumber(2), message: "killed"))
    _ = bench.wait(1)
    let refused = bench.handle(.received(.assign(assignment(3))))
    guard case .send(.hello(let hello)) = refused.first else {
      Issue.record("nobody is told: \(refused)")
      return
    }
    #expect(hello.isDraining && hello.attempts.contains(first))
    #expect(refused.dropFirst() == [.send(.attemptReturned(attempt: AttemptNumber(3)))])
    // The job that runs goes on; when it has ended, the worker leaves.
    _ = bench.handle(.received(.attemptAcknowledged(attempt: AttemptNumber(3), accepted: true)))
    _ = bench.handle(.stageExited(first, message: "exit status 1"))
    _ = bench.handle(.fileNotKept(first, file: "stage.log", reason: "none"))
    let end = bench.handle(.received(.attemptAcknowledged(attempt: first, accepted: true)))
    #expect(end == [.discard(first), .send(.goodbye), .exit])
  }

  @Test func anInputThatCannotBeHadFailsTheAttempt() {
    var bench = Bench()
    _ = bench.handle(.started)
    _ = bench.join()
    _ = bench.handle(.received(.assign(assignment(1))))
    var last: [WorkerEffect] = []
    for _ in 0..<8 {
      last = bench.handle(.fetchFailed(reference(1).digest, reason: "disk full"))
      _ = bench.handle(.received(.heartbeatAcknowledged))
      if last.isEmpty { for _ in 0..<4 { _ = bench.wait(8_000); _ = bench.handle(.received(.heartbeatAcknowledged)) } }
    }
    guard case .send(.attemptFailed(first, let failure)) = last.first else {
      Issue.record("still trying: \(last)")
      return
    }
    #expect(failure.message.hasSuffix("disk full"))
  }

  @Test func aFullDiskIsNotHeldAgainstTheJob() {
    var bench = Bench()
    bench.run(assignment(1))
    _ = bench.handle(.stageReported(first, .failed(message: "model: no room", cause: .diskFull)))
    _ = bench.handle(.stageExited(first, message: "exit status 1"))
    #expect(bench.handle(.fileNotKept(first, file: "stage.log", reason: "no room", cause: .diskFull)) == [])
    // It still holds the job, so that the coordinator does not hand it out again to a box without room.
    #expect(bench.wait(5_000).contains(.send(.heartbeat(attempts: [first]))))
    #expect(bench.wait(5_000).contains(.send(.attemptReturned(attempt: first))))
    #expect(bench.handle(.received(.attemptAcknowledged(attempt: first, accepted: true))) == [.discard(first)])
  }

  @Test func aFullDiskIsKnownByItsCauseNotByItsWords() {
    var bench = Bench()
    bench.run(assignment(1))
    _ = bench.handle(.stageExited(first, message: "No space left on device", cause: .other))
    let effects = bench.handle(.fileNotKept(first, file: "stage.log", reason: "none"))
    #expect(
      effects == [.send(.attemptFailed(attempt: first, failure: StageFailure(message: "No space left on device")))])
  }

  @Test func aRefusedWorkerTriesEverMoreSlowly() {
    var bench = Bench()
    _ = bench.handle(.started)
    var pauses: [Int64] = []
    for _ in 0..<8 {
      _ = bench.handle(.connected)
      #expect(bench.handle(.received(.refused(reason: "no"))) == [.disconnect])
      pauses.append(bench.brain.nextDeadline!.milliseconds - bench.now.milliseconds)
      #expect(bench.wait(pauses.last!) == [.connect])
    }
    #expect((2_500...5_000).contains(pauses[0]))
    #expect(pauses.allSatisfy { $0 <= 60_000 } && pauses.last! >= 30_000)
    // A welcome makes up for it.
    _ = bench.join()
    _ = bench.handle(.disconnected)
    #expect(bench.brain.nextDeadline!.milliseconds - bench.now.milliseconds <= 200)
  }

  @Test func whileTheCoordinatorIsAwayTransfersWait() {
    var bench = Bench()
    _ = bench.handle(.started)
    _ = bench.join()
    _ = bench.handle(.received(.assign(assignment(1))))
    _ = bench.handle(.disconnected)
    _ = bench.handle(.fetchFailed(reference(1).digest, reason: "no connection"))
    #expect(bench.wait(200) == [.connect])
    // Tried again at once when it is back.
    #expect(bench.join().last == .fetch(reference(1)))
  }

  @Test func pausesBetweenTriesGrowAndDiffer() {
    var bench = Bench()
    _ = bench.handle(.started)
    var pauses: [Int64] = []
    for _ in 0..<8 {
      _ = bench.handle(.disconnected)
      let pause = bench.brain.nextDeadline!.milliseconds - bench.now.milliseconds
      pauses.append(pause)
      #expect(bench.wait(pause) == [.connect])
    }
    #expect(pauses.allSatisfy { $0 >= 100 && $0 <= 5_000 })
    #expect(pauses.last! >= 2_500)
  }

  @Test func aSilentCoordinatorIsLeftAndSoughtAgain() {
    var bench = Bench()
    _ = bench.handle(.started)
    _ = bench.join()
    for _ in 0..<3 { _ = bench.wait(5_000) }
    #expect(bench.wait(5_000).contains(.disconnect))
  }
}
