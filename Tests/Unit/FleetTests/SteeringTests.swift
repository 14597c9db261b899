import Fleet
import Settings
import Sweep
import Testing

/// A sweep of one chain per backbone: train, evaluate.
private func named(_ name: String, backbones: [String], priority: Int? = nil, epochs: Int = 10) -> SweepSubmission {
  var spec = SweepSpec(name: name, dataset: "data.yaml", priority: priority)
  spec.grid = SweepSpec.Grid(backbone: backbones, sparsityRate: [0], pruneRatio: [0])
  spec.train.epochs = epochs
  return SweepSubmission(spec: spec, dataset: reference(1))
}

extension Desk {
  mutating func submit(_ submission: SweepSubmission) -> [(Assignment, ConnectionID)] {
    handle(.requested(.submit(submission), from: ConnectionID(99))).assignments
  }

  mutating func steer(_ sweep: String, _ mode: SweepMode) -> [CoordinatorEffect] {
    handle(.requested(.steer(sweep: sweep, mode: mode), from: ConnectionID(99)))
  }

  mutating func status(_ sweep: String) throws -> SweepStatus {
    guard case .sweep(let status) = ask(.status(sweep: sweep)) else { throw NoAnswer() }
    return status
  }

  mutating func jobs(of sweep: String) throws -> Set<JobKey> { Set(try status(sweep).jobs.map(\.job)) }
}

private struct NoAnswer: Error {}

private let families = ["yolov5n", "yolov5s", "mobilenetv2", "ghostnet"]

struct PriorityTests {
  @Test func slotsAreSharedFairly() throws {
    var desk = Desk()
    // The first sweep has longer ways to go; that decides within a sweep, not between sweeps.
    _ = desk.submit(named("long", backbones: families, epochs: 100))
    _ = desk.submit(named("short", backbones: families, epochs: 1))
    let long = try desk.jobs(of: "long")
    let started = desk.hello("a", on: 1, slots: 6).assignments.map { long.contains($0.0.job) }
    #expect(started == [true, false, true, false, true, false])
  }

  @Test func aFreedSlotGoesToTheSweepWithFewerRunningJobs() throws {
    var desk = Desk()
    _ = desk.submit(named("first", backbones: families))
    let running = desk.hello("a", on: 1, slots: 3).assignments.map(\.0)
    #expect(running.count == 3)
    #expect(desk.submit(named("second", backbones: families, epochs: 1)).isEmpty)
    let second = try desk.jobs(of: "second")
    // The first one's evaluation becomes ready on the spot, but the second sweep runs nothing yet.
    let next = desk.finish(running[0], on: 1).assignments
    #expect(next.map { second.contains($0.0.job) } == [true])
  }

  @Test func aSharedJobCountsForAllItsSweeps() throws {
    var desk = Desk()
    _ = desk.submit(named("one", backbones: ["yolov5n", "yolov5s"]))
    _ = desk.submit(named("two", backbones: ["yolov5n", "mobilenetv2"]))
    _ = desk.submit(named("three", backbones: ["ghostnet"]))
    let (one, two, three) = (try desk.jobs(of: "one"), try desk.jobs(of: "two"), try desk.jobs(of: "three"))
    let started = desk.hello("a", on: 1, slots: 2).assignments.map(\.0.job)
    #expect(one.contains(started[0]) && two.contains(started[0]))
    #expect(three.contains(started[1]))
  }

  @Test func higherPriorityGoesFirst() throws {
    var desk = Desk()
    _ = desk.submit(named("plain", backbones: families, epochs: 100))
    _ = desk.submit(named("urgent", backbones: families, priority: 5, epochs: 1))
    let urgent = try desk.jobs(of: "urgent")
    let started = desk.hello("a", on: 1, slots: 5).assignments.map { urgent.contains($0.0.job) }
    #expect(started == [true, true, true, true, false])
  }

  @Test func aPriorityChangesLaterAndSurvivesARestart() throws {
    var desk = Desk()
    _ = desk.submit(named("a", backbones: families))
    _ = desk.submit(named("b", backbones: families, epochs: 1))
    #expect(
      desk.ask(.prioritize(sweep: "b", priority: 3))
        == .done(message: "\(try desk.status("b").summary.sweep) has priority 3"))
    desk.restart()
    #expect(try desk.status("b").summary.priority == 3)
    let b = try desk.jobs(of: "b")
    #expect(desk.hello("w", on: 1, slots: 3).assignments.allSatisfy { b.contains($0.0.job) })
    // Submitting with another priority changes it; without one it stays.
    _ = desk.submit(named("b", backbones: families, priority: -2, epochs: 1))
    #expect(try desk.status("b").summary.priority == -2)
    _ = desk.submit(named("b", backbones: families, epochs: 1))
    #expect(try desk.status("b").summary.priority == -2)
    guard case .refused = desk.ask(.prioritize(sweep: "b", priority: 1_001)) else {
      Issue.record("no such priority")
      return
    }
  }

  @Test func benchmarksOfLowerPriorityWait() throws {
    var desk = Desk()
    var measured = named("measured", backbones: ["yolov5n"])
    measured.spec.objectives.append(Objective(.minimize, .latencyMS))
    let train = desk.hello("a", on: 1).assignments + desk.submit(measured)
    _ = desk.submit(named("urgent", backbones: families, priority: 1, epochs: 1))
    let urgent = try desk.jobs(of: "urgent")
    var running = desk.finish(train[0].0, on: 1).assignments
    for _ in 0..<8 {
      #expect(running.map { urgent.contains($0.0.job) } == [true])
      running = desk.finish(running[0].0, on: 1).assignments
    }
    #expect(running.count == 1 && !urgent.contains(running[0].0.job))
  }

  /// The cost of a decision must not grow with the queue.
  @Test func aLongQueueIsWorkedOffInOrder() throws {
    var desk = Desk()
    var spec = SweepSpec(name: "wide", dataset: "data.yaml")
    spec.grid = SweepSpec.Grid(
      backbone: ["yolov5n"], seed: Array(0..<1000), sparsityRate: [0], pruneRatio: [0])
    _ = desk.submit(SweepSubmission(spec: spec, dataset: reference(1)))
    var running = desk.hello("a", on: 1, slots: 4).assignments.map(\.0)
    var count = 0
    while let assignment = running.popLast() {
      running += desk.finish(assignment, on: 1).assignments.map(\.0)
      count += 1
    }
    #expect(count == 2000)
  }
}

struct SteeringTests {
  @Test func pausingHandsBackWhatRuns() throws {
    var desk = Desk()
    let (assignment, _) = try #require(
      (desk.hello("a", on: 1).assignments + desk.submit(named("s", backbones: families))).first)
    let effects = desk.steer("s", .paused)
    #expect(effects.says(.handBack(attempt: assignment.attempt)))
    #expect(try desk.status("s").summary.state == .paused)
    #expect(try desk.status("s").jobs[0].reason == "is being handed back, as its sweep is paused")
    // Its newest checkpoint comes first.
    let checkpoint = Checkpoint(epoch: 4, artifact: reference(7))
    _ = desk.say(.checkpointStored(attempt: assignment.attempt, checkpoint: checkpoint), on: 1)
    let returned = desk.say(.attemptReturned(attempt: assignment.attempt), on: 1)
    #expect(returned.says(.attemptAcknowledged(attempt: assignment.attempt, accepted: true)))
    #expect(returned.assignments.isEmpty)
    let waits = try #require(try desk.status("s").jobs.first)
    #expect(waits.waitsFor == .sweep && waits.state == .ready)

    desk.restart()
    #expect(desk.hello("a", on: 2).assignments.isEmpty)
    let (again, _) = try #require(desk.steer("s", .active).assignments.first)
    #expect(again.job == assignment.job)
    #expect(again.input(.resume) == reference(7))
  }

  @Test func aWorkerThatWasAwayIsToldOfThePause() throws {
    var desk = Desk()
    desk.hello("a", on: 1)
    let (assignment, _) = try #require(desk.submit(named("s", backbones: ["yolov5n"])).first)
    _ = desk.handle(.disconnected(ConnectionID(1)))
    #expect(!desk.steer("s", .paused).says(.handBack(attempt: assignment.attempt)))
    desk.hello("b", on: 2)
    #expect(desk.hello("a", on: 3, attempts: [assignment.attempt]).says(.handBack(attempt: assignment.attempt)))
  }

  @Test func stoppingLetsRunningJobsFinish() throws {
    var desk = Desk()
    desk.hello("a", on: 1)
    let (assignment, _) = try #require(desk.submit(named("s", backbones: ["yolov5n"])).first)
    let effects = desk.steer("s", .stopped)
    #expect(!effects.says(.handBack(attempt: assignment.attempt)))
    #expect(try desk.status("s").summary.state == .stopping)
    #expect(desk.finish(assignment, on: 1).assignments.isEmpty)
    #expect(try desk.status("s").summary.state == .stopped)
    #expect(desk.steer("s", .active).assignments.map(\.0.stage) == [.evaluate])
    #expect(try desk.status("s").summary.state == .running)
  }

  @Test func aJobAnotherSweepWantsGoesOn() throws {
    var desk = Desk()
    desk.hello("a", on: 1)
    let (assignment, _) = try #require(desk.submit(named("one", backbones: ["yolov5n"])).first)
    _ = desk.submit(named("two", backbones: ["yolov5n", "yolov5s"]))
    #expect(!desk.steer("one", .paused).says(.handBack(attempt: assignment.attempt)))
    // When the other sweep lets go of it too, it is handed back.
    let effects = desk.handle(.requested(.cancel(sweep: "two"), from: ConnectionID(99)))
    #expect(effects.says(.handBack(attempt: assignment.attempt)))
  }

  @Test func whatMakesNoSenseIsRefusedInWords() throws {
    var desk = Desk()
    desk.hello("a", on: 1)
    let (assignment, _) = try #require(desk.submit(named("s", backbones: ["yolov5n"])).first)
    let id = try desk.status("s").summary.sweep
    #expect(desk.ask(.steer(sweep: "s", mode: .active)) == .done(message: "\(id) is active already"))
    #expect(desk.ask(.steer(sweep: "nothing", mode: .paused)) == .refused(reason: "there is no sweep nothing"))
    let evaluate = try #require(desk.finish(assignment, on: 1).assignments.first).0
    _ = desk.finish(evaluate, on: 1)
    #expect(
      desk.ask(.steer(sweep: "s", mode: .paused)) == .refused(reason: "\(id) has ended: nothing of it runs or waits"))
    _ = desk.submit(named("t", backbones: ["yolov5s"]))
    _ = desk.ask(.cancel(sweep: "t"))
    guard case .refused(let reason) = desk.ask(.steer(sweep: "t", mode: .active)) else {
      Issue.record("a cancelled sweep cannot be resumed")
      return
    }
    #expect(reason.hasSuffix("is cancelled: submitting it again goes on where it stopped"))
  }

  @Test func retryingInAPausedSweepWaitsForTheResume() throws {
    var desk = Desk()
    desk.hello("a", on: 1)
    let (assignment, _) = try #require(desk.submit(named("s", backbones: ["yolov5n", "yolov5s"])).first)
    _ = desk.say(
      .attemptFailed(attempt: assignment.attempt, failure: StageFailure(message: "no", cause: .refused)), on: 1)
    _ = desk.steer("s", .paused)
    guard case .done(let message) = desk.ask(.retry(target: "s")) else { return }
    #expect(message == "1 job to start anew once the sweep is resumed, with everything that waits")
  }
}

struct LimitTests {
  @Test func limitsTravelWithTheAssignmentAndCanBeChanged() throws {
    var desk = Desk()
    var first = named("s", backbones: ["yolov5n"])
    first.spec.limits = ["train": StageLimits(memoryMB: 100, timeMinutes: 5)]
    desk.hello("a", on: 1)
    let (assignment, _) = try #require(desk.submit(first).first)
    #expect(assignment.limits == StageLimits(memoryMB: 100, timeMinutes: 5))
    _ = desk.say(.attemptFailed(attempt: assignment.attempt, failure: StageFailure(message: "killed")), on: 1)
    first.spec.limits = ["train": StageLimits(memoryMB: 400)]
    guard case .submitted(_, isNew: false, _) = desk.ask(.submit(first)) else { return }
    desk.restart()
    // A restart ends the pause after the failure.
    let (again, _) = try #require(desk.hello("a", on: 2).assignments.first)
    #expect(again.limits == StageLimits(memoryMB: 400))
  }

  @Test func aSharedJobHasTheLooserLimits() throws {
    var desk = Desk()
    var (frugal, lavish) = (named("a", backbones: ["yolov5n"]), named("b", backbones: ["yolov5n"]))
    frugal.spec.limits = ["train": StageLimits(memoryMB: 100, timeMinutes: 5)]
    lavish.spec.limits = ["train": StageLimits(memoryMB: 300)]
    _ = desk.submit(frugal)
    _ = desk.submit(lavish)
    let (assignment, _) = try #require(desk.hello("a", on: 1).assignments.first)
    #expect(assignment.limits == StageLimits(memoryMB: 300))
    #expect(StageLimits(timeMinutes: 9).stricter(StageLimits(memoryMB: 1, timeMinutes: 3)).timeMinutes == 3)
  }
}

struct WaitingTests {
  @Test func everyWaitHasItsReason() throws {
    var desk = Desk()
    var submission = named("s", backbones: ["yolov5n", "yolov5s"])
    submission.spec.objectives.append(Objective(.minimize, .latencyMS))
    desk.hello("drained", on: 9)
    _ = desk.ask(.drain(worker: "drained", isDraining: true))
    _ = desk.handle(.disconnected(ConnectionID(9)))
    _ = desk.submit(submission)
    func wait(_ stage: Stage, _ desk: inout Desk) throws -> (WaitCause?, String?) {
      let job = try #require(try desk.status("s").jobs.first { $0.stage == stage && $0.title.hasPrefix("yolov5n") })
      return (job.waitsFor, job.reason)
    }
    #expect(try wait(.train, &desk) == (.worker, "no worker is connected"))
    let train = try #require(try desk.status("s").jobs.first { $0.stage == .train })
    #expect(try wait(.evaluate, &desk) == (.parent, "waits for train \(train.job.short)"))

    desk.hello("drained", on: 10)
    #expect(try wait(.train, &desk) == (.worker, "no worker takes jobs: all 1 are draining"))

    let running = desk.hello("a", on: 1).assignments.map(\.0)
    #expect(running.map(\.job) == [train.job])
    #expect(try wait(.train, &desk) == (nil, nil))
    let other = try #require(try desk.status("s").jobs.first { $0.stage == .train && $0.job != train.job })
    #expect(other.reason == "the only slot is busy" && other.waitsFor == .slot)

    _ = desk.say(.heartbeat(attempts: [running[0].attempt], fetching: [running[0].attempt]), on: 1)
    #expect(try wait(.train, &desk) == (.data, "its worker fetches what it needs"))
    _ = desk.say(.heartbeat(attempts: [running[0].attempt]), on: 1)
    #expect(try wait(.train, &desk) == (nil, nil))

    _ = desk.say(.attemptFailed(attempt: running[0].attempt, failure: StageFailure(message: "no")), on: 1)
    #expect(try wait(.train, &desk) == (.retry, "attempt 2 begins in 1 s"))
    #expect(try desk.status("s").jobs.first { $0.job == train.job }?.retryInSeconds == 1)

    _ = desk.handle(.disconnected(ConnectionID(1)))
    let orphan = try #require(try desk.status("s").jobs.first { $0.job == other.job })
    #expect(orphan.reason == "its worker has lost the connection" && orphan.waitsFor == .worker)
  }

  @Test func benchmarksWaitForTheirBox() throws {
    var desk = Desk()
    var submission = named("s", backbones: ["yolov5n", "yolov5s"])
    submission.spec.objectives.append(Objective(.minimize, .latencyMS))
    desk.hello("a", on: 1, box: "den", slots: 2)
    let both = desk.submit(submission).map(\.0)
    _ = desk.finish(both[0], on: 1)
    let benchmark = try #require(try desk.status("s").jobs.first { $0.stage == .benchmark && $0.state == .ready })
    #expect(benchmark.reason == "waits until nothing else runs on box den")
    #expect(benchmark.waitsFor == .box)
    desk.hello("b", on: 2, box: "attic", slots: 1)
    _ = desk.handle(.disconnected(ConnectionID(1)))
    let away = try #require(try desk.status("s").jobs.first { $0.job == benchmark.job })
    #expect(away.reason == "waits for box den to come back")
  }

  @Test func whatFailedAboveIsNamed() throws {
    var desk = Desk()
    desk.hello("a", on: 1)
    let (train, _) = try #require(desk.submit(named("s", backbones: ["yolov5n"])).first)
    _ = desk.say(.attemptFailed(attempt: train.attempt, failure: StageFailure(message: "no", cause: .refused)), on: 1)
    let blocked = try #require(try desk.status("s").jobs.first { $0.stage == .evaluate })
    #expect(blocked.reason == "train \(train.job.short) has failed" && blocked.waitsFor == .failedParent)
  }
}

struct OlderWorkerTests {
  private func hello(_ version: Int, attempts: [AttemptNumber] = []) -> WorkerMessage {
    .hello(
      Hello(
        protocolVersion: version, worker: WorkerID("old"), incarnation: 1, name: "old", box: BoxID("old"), slots: 1,
        attempts: attempts))
  }

  @Test func aWorkerThatCannotHandBackDropsWhatAPauseTakes() throws {
    var desk = Desk()
    _ = desk.say(hello(1), on: 1)
    let (assignment, _) = try #require(desk.submit(named("s", backbones: ["yolov5n"])).first)
    let effects = desk.steer("s", .paused)
    #expect(!effects.says(.handBack(attempt: assignment.attempt)))
    #expect(effects.says(.cancelAttempt(attempt: assignment.attempt, reason: .superseded)))
    #expect(desk.steer("s", .active).assignments.map(\.0.job) == [assignment.job])
  }

  @Test func aVersionNobodyKnowsAnyMoreIsRefused() {
    var desk = Desk()
    let effects = desk.say(hello(FleetProtocol.accepted.lowerBound - 1), on: 1)
    guard case .send(.refused(let reason), _) = effects.first else {
      Issue.record("not refused: \(effects)")
      return
    }
    #expect(reason.contains("update the older of the two"))
    #expect(effects.last == .close(ConnectionID(1)))
  }
}
