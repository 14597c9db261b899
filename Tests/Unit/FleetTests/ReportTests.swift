import Bytes
import Fleet
import Settings
import Sweep
import Testing

/// All that a coordinator knows of a sweep, and the sums of its work.
struct ReportTests {
  private func ask(_ desk: inout Desk) throws -> SweepReport {
    guard case .report(let report) = desk.ask(.report(sweep: "test")) else { throw CancellationError() }
    return report
  }

  /// Two trials share their training.
  /// The table names the trials whose sparsity training came to nothing, with a remedy that fits the policy.
  @Test(arguments: [true, false]) func sparsityTrainingWithoutEffectIsRemarked(isGradual: Bool) throws {
    var desk = Desk()
    var sweep = submission(ratios: [0, 0.3])
    if isGradual { sweep.spec.prune.policy = "gradual" } else { sweep.spec.grid.sparsityRate = [0, 0.001] }
    sweep.remarks = ["train: 1 of 4 images are left out"]
    _ = desk.ask(.submit(sweep))
    var running = desk.hello("a", on: 1, slots: 8).assignments
    while let (assignment, _) = running.first {
      running.removeFirst()
      var result = StageResult(metrics: ["map50": 0.5], artifacts: [.model: reference(9)])
      if assignment.stage == .sparsify { result.metrics[SparsifyMetric.effect] = 0 }
      running += desk.say(.attemptFinished(attempt: assignment.attempt, result: result), on: 1).assignments
    }
    guard case .results(let table) = desk.ask(.results(sweep: "test", objectives: nil)) else {
      Issue.record("no table")
      return
    }
    #expect(table.rows.allSatisfy { $0.state == .done && $0.metrics[SparsifyMetric.effect] == nil })
    #expect(table.remarks?.count == 2 && table.remarks?[0] == "train: 1 of 4 images are left out")
    let remark = try #require(table.notes.last)
    #expect(remark.contains(isGradual ? "(1 trial: " : "(2 trials: ") && !remark.contains("\n"))
    #expect(remark.contains(isGradual ? "a larger prune_ratio" : "a higher sparsity_rate or more epochs"))
  }

  @Test func workIsCountedOnceAndSharingIsTold() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission(ratios: [0, 0.5])))
    var running = desk.hello("a", on: 1).assignments
    var count = 0
    while let (assignment, connection) = running.first {
      running.removeFirst()
      count += 1
      var result = StageResult(
        metrics: ["map50": 0.5, "size_mb": 3, StageCost.wall: 10, StageCost.processor: 20], artifacts: [:])
      if assignment.stage.makesModel { result.artifacts["model"] = reference(9) }
      if assignment.stage == .train { result.artifacts["epochs"] = reference(8) }
      running +=
        desk.say(.attemptFinished(attempt: assignment.attempt, result: result), on: connection.value)
        .assignments
    }
    let report = try ask(&desk)
    let work = try #require(report.status.work)
    #expect(work.wallSeconds == Double(10 * count) && work.processorSeconds == Double(20 * count))
    #expect(work.sparedProcessorSeconds == 20)
    #expect(report.stages.map(\.jobs).reduce(0, +) == count && report.stages.allSatisfy { $0.worker == "a" })
    #expect(report.spec == submission(ratios: [0, 0.5]).spec && report.dataset == reference(1))
    // The costs of stages are no figures of a trial.
    #expect(report.table.rows.allSatisfy { Set($0.metrics.keys) == ["map50", "size_mb"] })
    let train = try #require(report.jobs.first { $0.stage == .train })
    #expect(train.artifacts["epochs"] == reference(8) && train.trials.count == 2 && train.box == BoxID("a"))
    guard case .sweep(let status) = desk.ask(.status(sweep: "test")) else { return }
    #expect(status.work == work)
  }

  @Test func failuresAreInIt() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let train = try #require(desk.hello("a", on: 1).assignments.first).0
    let refusal = StageFailure(message: "no such weights", cause: .refused)
    _ = desk.say(.attemptFailed(attempt: train.attempt, failure: refusal), on: 1)
    let report = try ask(&desk)
    #expect(report.jobs.first?.state == .failed && report.jobs.first?.reason?.contains("no such weights") == true)
    #expect(report.jobs.first?.attempts.first?.outcome.contains("no such weights") == true)
    #expect(report.jobs.contains { $0.state == .blocked } && report.status.work == nil)
    guard case .refused = desk.ask(.report(sweep: "other")) else {
      Issue.record("a report of nothing")
      return
    }
  }
}
