import Bytes
import Settings
import Sweep
import Testing

private let dataset = ArtifactReference(digest: Digest(String(repeating: "a", count: 64))!, byteCount: 1)

/// Two backbones, three ratios: 2 trainings, 4 sparsity trainings, 4 cuts, 6 fine-tunings, 6 evaluations, 6 benchmarks.
private func tree() -> StageTree {
  var spec = SweepSpec(name: "t", dataset: "data.yaml")
  spec.grid.backbone = ["a", "b"]
  spec.grid.pruneRatio = [0, 0.3, 0.5]
  spec.stages.prune.policy = "gradual"
  spec.stages.train.epochs = 10
  spec.stages.sparsify.epochs = 4
  spec.stages.finetune.epochs = 6
  spec.objectives.append(Objective(.minimize, .latencyMS))
  return StageTree(SweepSubmission(spec: spec, dataset: dataset))
}

private func seconds(_ tree: StageTree) -> [Double] {
  tree.nodes.map { [.train: 10, .sparsify: 4, .finetune: 6, .benchmark: 3, .evaluate: 1, .prune: 0][$0.stage]! }
}

struct SweepForecastTests {
  @Test func jobsAndWhatSharingSpares() {
    let tree = tree()
    let forecast = SweepForecast(tree, seconds: seconds(tree), workers: 1)
    #expect(forecast.trials == 6)
    #expect(forecast.rows.map(\.stage) == [.train, .sparsify, .prune, .finetune, .evaluate, .benchmark])
    #expect(forecast.rows.map(\.jobs) == [2, 4, 4, 6, 6, 6])
    #expect(forecast.rows.map(\.jobsUnshared) == [6, 4, 4, 6, 6, 6])
    // An unpruned trial fine-tunes for the epochs of `sparsify` too.
    #expect(forecast.rows.map(\.epochs) == [20, 16, 0, 2 * (10 + 6 + 6), 0, 0])
    #expect(forecast.workSeconds == 20 + 16 + 36 + 6 + 18)
    #expect(forecast.workSecondsUnshared == forecast.workSeconds + 40)
  }

  @Test func oneWorkerTakesAllWorkAndMoreTakeLess() {
    let tree = tree()
    let one = SweepForecast(tree, seconds: seconds(tree), workers: 1)
    #expect(one.seconds == one.workSeconds)
    let two = SweepForecast(tree, seconds: seconds(tree), workers: 2)
    // Both halves are alike, and the benchmarks run one by one.
    #expect(two.seconds == (20 + 16 + 36 + 6) / 2 + 18)
    // No number of workers makes a trial shorter than its stages.
    let many = SweepForecast(tree, seconds: seconds(tree), workers: 100)
    #expect(many.seconds == 10 + 4 + 6 + 1 + 18)
  }

  @Test func aPupilWaitsForItsTeacher() {
    func seconds(distill: String) -> Double {
      var spec = SweepSpec(name: "t", dataset: "data.yaml")
      spec.prune.policy = "gradual"
      spec.grid.sparsityRate = [0]
      spec.grid.pruneRatio = [0, 0.5]
      spec.finetune.distill = distill
      let tree = StageTree(SweepSubmission(spec: spec, dataset: dataset))
      let seconds = tree.nodes.map { $0.stage == .finetune && tree.trials[$0.trial].pruneRatio == 0 ? 100.0 : 1 }
      return SweepForecast(tree, seconds: seconds, workers: 9).seconds
    }
    #expect(seconds(distill: "off") == 1 + 100 + 1)
    #expect(seconds(distill: "parent") == 1 + 100 + 1 + 1)
  }

  @Test func aJobAloneIsFaster() {
    var spec = SweepSpec(name: "t", dataset: "data.yaml")
    spec.grid.sparsityRate = [0]
    spec.grid.pruneRatio = [0]
    let tree = StageTree(SweepSubmission(spec: spec, dataset: dataset))
    #expect(SweepForecast(tree, seconds: [10, 2], workers: 2, speedAlone: 2).seconds == 6)
    #expect(SweepForecast(tree, seconds: [10, 2], workers: 1, speedAlone: 2).seconds == 12)
  }
}
