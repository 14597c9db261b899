import Fleet
import Sweep
import Testing

/// Objectives that depend on the host: what the fleet cannot measure is told before anything runs.
struct ObjectivesTests {
  private let energy = submission(objectives: [Objective(.maximize, .map50), Objective(.minimize, .energyJ)])
  private let all = Objective.Metric.allCases.map(\.rawValue)
  private var allButEnergy: [String] { all.filter { $0 != "energy_j" } }

  private func reasons(_ desk: inout Desk) -> [String] {
    guard case .sweep(let status) = desk.ask(.status(sweep: "test")) else { return [] }
    return status.jobs.filter { $0.state == .ready }.compactMap(\.reason)
  }

  @Test func aSweepThatNobodyCanMeasureIsHeld() throws {
    var desk = Desk()
    desk.hello("a", on: 1, metrics: allButEnergy)
    guard case .submitted(_, _, let notice?) = desk.ask(.submit(energy)) else {
      Issue.record("the operator is not told")
      return
    }
    #expect(notice.contains("energy_j") && notice.contains("start a worker"))
    #expect(desk.wait(600_000).assignments.isEmpty)
    #expect(reasons(&desk) == [notice])
    #expect(!desk.journal.contains { if case .attemptStarted = $0 { true } else { false } })

    // One that can measure lets it start, on any worker.
    let effects = desk.hello("b", on: 2, metrics: all)
    #expect(effects.assignments.map(\.0.stage) == [.train])
    #expect(desk.ask(.submit(energy)) == .submitted(sweep: energy.sweepID, isNew: false))
  }

  @Test func theHoldOutlivesARestartOfTheCoordinator() throws {
    var desk = Desk()
    _ = desk.ask(.submit(energy))
    desk.restart()
    #expect(desk.hello("a", on: 1, metrics: allButEnergy).assignments.isEmpty)
    // Resuming or retrying does not lift it.
    _ = desk.ask(.steer(sweep: "test", mode: .stopped))
    _ = desk.ask(.steer(sweep: "test", mode: .active))
    #expect(desk.wait(1_000).assignments.isEmpty)
    #expect(reasons(&desk).first?.contains("energy_j") == true)
  }

  /// Workers that reboot hold nothing up; those that do not come back do.
  @Test func aWorkerThatIsAwayCountsUntilItIsForgotten() throws {
    var desk = Desk()
    desk.hello("able", on: 1, metrics: all)
    _ = desk.handle(.disconnected(ConnectionID(1)))
    desk.hello("unable", on: 2, metrics: allButEnergy)
    let effects = desk.handle(.requested(.submit(energy), from: ConnectionID(99)))
    let train = try #require(effects.assignments.first).0
    for _ in 0..<121 {
      _ = desk.wait(5_000)
      _ = desk.say(.heartbeat(attempts: [train.attempt]), on: 2)
    }
    #expect(desk.finish(train, on: 2).assignments.isEmpty)
    #expect(reasons(&desk).first?.contains("no worker can measure the objective energy_j") == true)
  }

  @Test func olderWorkersThatDoNotSayCountAsAble() {
    var desk = Desk()
    desk.hello("old", on: 1, metrics: nil)
    #expect(desk.handle(.requested(.submit(energy), from: ConnectionID(99))).assignments.count == 1)
  }

  /// The host of the unable worker is idle and its name comes first.
  @Test func benchmarksGoToAHostThatCanMeasure() throws {
    var desk = Desk()
    desk.hello("a", on: 1, slots: 2, metrics: allButEnergy)
    desk.hello("b", on: 2, slots: 2, metrics: all)
    var running = desk.handle(.requested(.submit(energy), from: ConnectionID(99))).assignments
    var benchmarks: [ConnectionID] = []
    while let (assignment, connection) = running.first {
      running.removeFirst()
      if assignment.stage == .benchmark { benchmarks.append(connection) }
      running += desk.finish(assignment, on: connection.value).assignments
    }
    #expect(benchmarks == [ConnectionID(2)])
  }

  /// The sweep's host loses the right to read its counters; another one has it.
  @Test func aBenchmarkMovesFromAHostThatCannotMeasureAnyMore() throws {
    var desk = Desk()
    _ = desk.ask(.submit(energy))
    let train = try #require(desk.hello("a", on: 1, slots: 2, metrics: all).assignments.first).0
    let started = desk.finish(train, on: 1).assignments
    #expect(started.map(\.0.stage) == [.evaluate] || started.map(\.0.stage) == [.benchmark])
    _ = desk.handle(.disconnected(ConnectionID(1)))
    desk.hello("b", on: 2, slots: 2, metrics: all)
    var running = desk.hello("a", on: 3, incarnation: 2, metrics: allButEnergy).assignments
    running += desk.wait(1).assignments
    #expect(!running.contains { $0.0.stage == .benchmark && $0.1 == ConnectionID(3) })
  }

  @Test func aSweepWithoutTheObjectiveRunsBesideTheHeldOne() throws {
    var desk = Desk()
    desk.hello("a", on: 1, slots: 4, metrics: allButEnergy)
    _ = desk.ask(.submit(energy))
    // It shares the training job, which runs for its sake.
    let effects = desk.handle(
      .requested(.submit(submission(objectives: [Objective(.maximize, .map50)])), from: ConnectionID(99)))
    #expect(effects.assignments.map(\.0.stage) == [.train])
  }

  @Test func theHoldStandsInTheSweepsStatus() {
    var desk = Desk()
    desk.hello("a", on: 1, metrics: allButEnergy)
    guard case .submitted(_, _, let notice?) = desk.ask(.submit(energy)) else { return }
    guard case .sweeps(let sweeps) = desk.ask(.status(sweep: nil)) else { return }
    #expect(sweeps.map(\.held) == [notice])
    desk.hello("b", on: 2, metrics: all)
    guard case .sweep(let status) = desk.ask(.status(sweep: "test")) else { return }
    #expect(status.summary.held == nil)
  }

  /// For each way to end without a value, the reason.
  @Test func theTableSaysWhyAValueIsMissing() throws {
    var desk = Desk()
    _ = desk.ask(.submit(energy))
    // A worker of an older version claims nothing, and its host gives no joules.
    var running = desk.hello("old", on: 1, metrics: nil).assignments
    while let (assignment, connection) = running.first {
      running.removeFirst()
      var result = StageResult(metrics: ["map50": 0.5, "size_mb": 3], artifacts: [:])
      if assignment.stage == .benchmark {
        result.metrics = ["latency_ms": 3]
        result.kinds = ["energy_j": "modelled"]
      }
      if assignment.stage.makesModel { result.artifacts["model"] = reference(9) }
      running +=
        desk.say(
          .attemptFinished(attempt: assignment.attempt, result: result), on: connection.value
        ).assignments
    }
    func table(_ objectives: [Objective]? = nil) throws -> ResultTable {
      guard case .results(let table) = desk.ask(.results(sweep: "test", objectives: objectives)) else {
        throw CancellationError()
      }
      return table
    }
    #expect(try table().rows[0].kinds == ["energy_j": "modelled"])
    #expect(try table().rows[0].missing == ["energy_j": "the host that ran their benchmark cannot measure it"])
    let cut = [Objective(.maximize, .map50Cut), Objective(.maximize, .map50)]
    #expect(try table(cut).rows[0].missing == ["map50_cut": "no stage of theirs measures it"])
    #expect(try table([Objective(.maximize, .map50)]).rows[0].missing == nil)
  }

  @Test func aFailedStageIsTheReason() throws {
    var desk = Desk()
    _ = desk.ask(.submit(energy))
    let train = try #require(desk.hello("a", on: 1, metrics: all).assignments.first).0
    let refusal = StageFailure(message: "no such weights", cause: .refused)
    _ = desk.say(.attemptFailed(attempt: train.attempt, failure: refusal), on: 1)
    guard case .results(let table) = desk.ask(.results(sweep: "test", objectives: nil)) else { return }
    #expect(table.rows[0].state == .failed)
    #expect(table.rows[0].missing?["map50"]?.hasPrefix("their train has failed") == true)
    #expect(table.rows[0].missing?["energy_j"]?.hasPrefix("their train has failed") == true)
    #expect(table.terminalText.contains("\n? "))
  }
}
