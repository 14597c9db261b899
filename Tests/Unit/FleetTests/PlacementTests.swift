import Fleet
import Settings
import Sweep
import Testing

/// A sweep of one chain per backbone: train, evaluate.
private func sweep(
  _ name: String, _ backbones: [String] = ["yolov5n"], requires: [String: String] = [:],
  prefers: [String: String] = [:], objectives: [Objective]? = nil, priority: Int? = nil
) -> SweepSubmission {
  var submission = submission(backbones: backbones, objectives: objectives)
  submission.spec.name = name
  submission.spec.priority = priority
  submission.spec.placement = SweepPlacement(requires: requires, prefers: prefers)
  return submission
}

private let lab = ["site": "lab"]
private let home = ["site": "home"]
private let fast = ["disk": "fast"]

extension [(Assignment, ConnectionID)] {
  fileprivate var places: [UInt64] { map(\.1.value) }
}

/// Which workers a sweep's jobs are given to.
struct PlacementTests {
  @Test func jobsGoOnlyToWorkersWithAllRequiredLabels() throws {
    var desk = Desk()
    desk.hello("a", on: 1, slots: 4)
    desk.hello("b", on: 2, slots: 4, labels: lab)
    desk.hello("c", on: 3, slots: 4, labels: ["site": "lab", "gpu": "no"])
    desk.hello("d", on: 4, slots: 4, labels: ["site": "home", "gpu": "no"])
    let wanted = sweep("s", ["yolov5n", "yolov5s"], requires: ["site": "lab", "gpu": "no"])
    var running = desk.submit(wanted)
    var places: [UInt64] = []
    while let (assignment, connection) = running.popLast() {
      places.append(connection.value)
      running += desk.finish(assignment, on: connection.value).assignments
    }
    #expect(places == [3, 3, 3, 3])
    #expect(try desk.status("s").summary.state == .finished)
  }

  @Test func aSweepThatNobodyMayTakeWaitsAndSaysWhy() throws {
    var desk = Desk()
    let wanted = sweep("s", requires: lab)
    guard case .submitted(_, isNew: true, notice: nil) = desk.ask(.submit(wanted)) else {
      Issue.record("without workers nothing is known")
      return
    }
    #expect(try desk.status("s").jobs[0].reason == "no worker is connected")
    for index in 1...3 { desk.hello("w\(index)", on: UInt64(index), labels: index == 1 ? home : [:]) }
    let reason = "waits for a worker with site=lab; 3 connected workers have none"
    let waiting = try desk.status("s")
    #expect(waiting.jobs[0].reason == reason && waiting.jobs[0].waitsFor == .worker)
    #expect(waiting.summary.held == reason)
    #expect(desk.ask(.submit(wanted)) == .submitted(sweep: wanted.sweepID, isNew: false, notice: reason))

    let (assignment, connection) = try #require(desk.hello("w4", on: 4, labels: lab).assignments.first)
    #expect(connection == ConnectionID(4))
    #expect(try desk.status("s").summary.held == nil)
    _ = desk.ask(.drain(worker: "w4", isDraining: true))
    _ = desk.finish(assignment, on: 4)
    #expect(try desk.status("s").jobs[1].reason == "no worker with site=lab takes jobs: all 1 are draining")
  }

  /// The slots that count are those that the sweep may have.
  @Test func theReasonForWaitingIsThatOfTheWorkersInQuestion() throws {
    var desk = Desk()
    desk.hello("a", on: 1, slots: 8)
    desk.hello("b", on: 2, labels: lab)
    _ = desk.submit(sweep("s", ["yolov5n", "yolov5s"], requires: lab))
    #expect(
      Set(try desk.status("s").jobs.filter { $0.state == .ready }.map(\.reason)) == [
        "the only slot of workers with site=lab is busy"
      ])
  }

  @Test func aSweepThatWaitsForAWorkerDoesNotHoldUpOthers() throws {
    var desk = Desk()
    _ = desk.submit(sweep("urgent", ["yolov5n"], requires: lab, priority: 5))
    _ = desk.submit(sweep("plain", ["ghostnet"]))
    let started = desk.hello("a", on: 1).assignments
    #expect(try started.map(\.0.job) == [desk.status("plain").jobs[0].job])
    // Once there is one, priority counts.
    _ = desk.submit(sweep("more", ["yolov5s", "mobilenetv2"]))
    #expect(try desk.hello("b", on: 2, labels: lab).assignments.map(\.0.job) == [desk.status("urgent").jobs[0].job])
  }

  @Test func sweepsWithDifferentPlacementsShareASlotFairly() throws {
    var desk = Desk()
    let families = ["yolov5n", "yolov5s", "mobilenetv2"]
    _ = desk.submit(sweep("one", families, requires: lab))
    var other = sweep("two", families)
    other.spec.train.epochs = 3
    _ = desk.submit(other)
    let one = try desk.jobs(of: "one")
    let started = desk.hello("b", on: 1, slots: 6, labels: lab).assignments.map { one.contains($0.0.job) }
    #expect(started == [true, false, true, false, true, false])
  }

  @Test func preferredWorkersComeFirstAndOthersAfterThem() {
    var desk = Desk()
    desk.hello("a", on: 1, slots: 3)
    desk.hello("b", on: 2, labels: fast)
    desk.hello("c", on: 3, slots: 2, labels: ["disk": "fast", "site": "lab"])
    let wishes = ["disk": "fast", "site": "lab"]
    let families = ["yolov5n", "yolov5s", "mobilenetv2", "ghostnet", "yolov5m"]
    #expect(desk.submit(sweep("s", families, prefers: wishes)).places == [3, 3, 2, 1, 1])
  }

  @Test func preferenceGoesBeforeTheHolderOfTheInput() throws {
    var desk = Desk()
    desk.hello("a", on: 1, slots: 2)
    let (train, _) = try #require(desk.submit(sweep("s", prefers: fast)).first)
    desk.hello("b", on: 2, slots: 2, labels: fast)
    #expect(desk.finish(train, on: 1).assignments.places == [2])
  }

  @Test func amongEquallyPreferredWorkersTheHolderOfTheInputTakesTheJob() throws {
    var desk = Desk()
    desk.hello("a", on: 1, slots: 2, labels: fast)
    let (train, _) = try #require(desk.submit(sweep("s", prefers: fast)).first)
    // Another one is idler.
    _ = desk.submit(sweep("other", ["ghostnet"]))
    desk.hello("b", on: 2, slots: 2, labels: fast)
    #expect(desk.finish(train, on: 1).assignments.places == [1])
  }

  /// The holder lacks a required label since it came back.
  @Test func aHolderThatIsNotAdmittedAnyMoreIsPassedOver() throws {
    var desk = Desk()
    desk.hello("a", on: 1, labels: lab)
    let (train, _) = try #require(desk.submit(sweep("s", requires: lab)).first)
    _ = desk.handle(.disconnected(ConnectionID(1)))
    desk.hello("a", on: 2, attempts: [train.attempt], labels: home)
    #expect(desk.finish(train, on: 2).assignments.isEmpty)
    #expect(desk.hello("b", on: 3, labels: lab).assignments.map(\.0.stage) == [.evaluate])
  }

  /// Its result is the same, and one of them does not mind.
  @Test func aSharedJobRunsWhereOneOfItsSweepsAllows() throws {
    var desk = Desk()
    desk.hello("a", on: 1)
    #expect(desk.submit(sweep("strict", requires: lab)).isEmpty)
    #expect(desk.submit(sweep("open")).places == [1])
    // That one is paused: only the other's word counts.
    var second = Desk()
    _ = second.submit(sweep("strict", requires: lab))
    _ = second.submit(sweep("open"))
    _ = second.steer("open", .paused)
    #expect(second.hello("a", on: 1).assignments.isEmpty)
    #expect(try second.status("open").jobs[0].reason?.hasPrefix("waits for a worker with site=lab; the only ") == true)
  }

  @Test func submittingAgainMovesASweep() throws {
    var desk = Desk()
    desk.hello("a", on: 1)
    let strict = sweep("s", requires: lab)
    #expect(desk.submit(strict).isEmpty)
    #expect(sweep("s").sweepID == strict.sweepID)
    desk.restart()
    #expect(desk.hello("a", on: 1).assignments.isEmpty)

    let elsewhere = sweep("s", requires: home)
    #expect(desk.submit(elsewhere).isEmpty)
    #expect(desk.journal.last == .sweepPlaced(sweep: strict.sweepID, placement: SweepPlacement(requires: home)))
    let count = desk.journal.count
    _ = desk.submit(elsewhere)
    #expect(desk.journal.count == count)
    desk.restart()
    #expect(desk.hello("a", on: 1, labels: lab).assignments.isEmpty)
    #expect(desk.submit(sweep("s")).places == [1])
  }

  @Test func aCancelledSweepReturnsWithItsNewPlacement() {
    var desk = Desk()
    desk.hello("a", on: 1, labels: home)
    _ = desk.submit(sweep("s", requires: lab))
    _ = desk.ask(.cancel(sweep: "s"))
    #expect(desk.submit(sweep("s", requires: home)).places == [1])
  }

  @Test func manyPlacementsOneAfterTheOtherAreServed() throws {
    var desk = Desk()
    for index in 0..<40 { desk.hello("w\(index)", on: UInt64(index), labels: ["n": "\(index)"]) }
    for index in 0..<40 {
      let wanted = sweep("s\(index)", ["yolov5n-w0.\(index + 10)"], requires: ["n": "\(index)"])
      var running = desk.submit(wanted)
      while let (assignment, connection) = running.popLast() {
        #expect(connection.value == UInt64(index))
        running += desk.finish(assignment, on: connection.value).assignments
      }
      #expect(try desk.status("s\(index)").summary.state == .finished)
    }
  }
}

/// Where the benchmarks of a sweep with required or preferred labels run.
struct BenchmarkPlacementTests {
  private let objectives = [Objective(.maximize, .map50), Objective(.minimize, .latencyMS)]

  private func benchmarks(_ wanted: SweepSubmission, _ desk: inout Desk) -> Set<UInt64> {
    var running = desk.submit(wanted)
    var places: Set<UInt64> = []
    while let (assignment, connection) = running.popLast() {
      if assignment.stage == .benchmark { places.insert(connection.value) }
      running += desk.finish(assignment, on: connection.value).assignments
    }
    return places
  }

  @Test func benchmarksRunOnAHostThatIsAdmitted() {
    var desk = Desk()
    desk.hello("a", on: 1, slots: 2)
    desk.hello("b", on: 2, slots: 2, labels: lab)
    #expect(benchmarks(sweep("s", ["yolov5n", "yolov5s"], requires: lab, objectives: objectives), &desk) == [2])
  }

  @Test func benchmarksRunOnAPreferredHost() {
    var desk = Desk()
    desk.hello("a", on: 1, slots: 2)
    desk.hello("b", on: 2, slots: 2, labels: fast)
    #expect(benchmarks(sweep("s", prefers: fast, objectives: objectives), &desk) == [2])
  }

  /// More important jobs that its host may not run do not keep a benchmark waiting.
  @Test func aBenchmarkGoesOnBesideJobsThatNeedOtherHosts() throws {
    var desk = Desk()
    desk.hello("a", on: 1)
    _ = desk.submit(sweep("urgent", ["ghostnet", "yolov5s"], requires: lab, priority: 9))
    #expect(benchmarks(sweep("s", objectives: objectives), &desk) == [1])
    #expect(try desk.status("urgent").jobs.allSatisfy { $0.attempts == 0 })
  }

  /// Two workers share a host, which has the sweep's benchmarks; the one that is admitted leaves. The other one must
  /// not be kept idle for a benchmark that it may not run.
  @Test func aHostIsNotReservedForABenchmarkThatItsWorkersMayNotRun() throws {
    var desk = Desk()
    desk.hello("a", on: 1, box: "x", labels: lab)
    desk.hello("b", on: 2, box: "x", slots: 2)
    let (train, _) = try #require(desk.submit(sweep("s", requires: lab, objectives: objectives)).first)
    let (long, _) = try #require(desk.submit(sweep("long", ["ghostnet"])).first)
    var running = desk.finish(train, on: 1).assignments
    while let (assignment, connection) = running.popLast() {
      running += desk.finish(assignment, on: connection.value).assignments
    }
    // The benchmark waits for the host to be idle.
    #expect(try desk.status("s").jobs.first { $0.stage == .benchmark }?.waitsFor == .box)
    _ = desk.handle(.disconnected(ConnectionID(1)))
    #expect(!desk.finish(long, on: 2).assignments.isEmpty)
  }

  @Test func aSweepIsHeldIfNoAdmittedWorkerCanMeasureItsObjectives() throws {
    var desk = Desk()
    let all = Objective.Metric.allCases.map(\.rawValue)
    desk.hello("a", on: 1, metrics: all)
    desk.hello("b", on: 2, labels: lab, metrics: all.filter { $0 != "energy_j" })
    let energy = sweep("s", requires: lab, objectives: [Objective(.minimize, .energyJ)])
    guard case .submitted(_, _, let notice?) = desk.ask(.submit(energy)) else {
      Issue.record("the operator is not told")
      return
    }
    #expect(notice.hasPrefix("no worker with site=lab can measure the objective energy_j: "))
    #expect(desk.wait(1_000).assignments.isEmpty)
    // Its labels change.
    #expect(!desk.hello("a", on: 3, labels: lab, metrics: all).assignments.isEmpty)
  }
}
