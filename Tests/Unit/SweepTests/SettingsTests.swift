import Bytes
import JSON
import Settings
import Sweep
import Testing

struct SettingsTests {
  private let groups: [[any AnySetting]] =
    [CommonSettings.all.settings, TrialSettings.all.settings, LimitSettings.all.settings]
    + Stage.allCases.map { StageConfiguration($0, [:]).settings }

  @Test func fallbacksAreWithinTheirBoundsAndHelpIsOneSentence() {
    for setting in groups.joined() {
      if let value = setting.plainFallback {
        #expect(setting.plain(value) == value, "\(setting.key)")
        #expect(setting.problem(value) == nil, "\(setting.key)")
      }
      #expect(setting.help.hasSuffix("."), "\(setting.key)")
    }
  }

  /// Only the settings that are as old as the keys in journals are written where nothing is chosen. Any other would
  /// change the keys of all jobs of its stage.
  @Test func newSettingsLeaveKeysAsTheyAre() {
    let written = Set(groups.joined().filter(\.isAlwaysWritten).map(\.key))
    #expect(
      written == [
        "image_size", "batch_size", "nominal_batch_size", "backbone", "optimizer", "seed", "sparsity_rate",
        "prune_ratio", "epochs", "patience", "weights", "rounds", "iterations", "threads",
      ])
  }

  @Test func choicesAreTypedAndWrittenWhereTheyDiffer() {
    var choices = Choices<TrainStage>()
    #expect(choices.values == ["epochs": 100, "patience": 0, "weights": .object([:])])
    choices.epochs = 3
    choices.rect = true
    choices.freeze = [1, 2]
    #expect(choices.values["epochs"] == 3 && choices.values["rect"] == .bool(true))
    choices.rect = false
    choices.freeze = []
    #expect(choices.values.keys.sorted() == ["epochs", "patience", "weights"])
    #expect(choices.hyp == nil && choices.imageSize == 640)
    // A number without a fraction is the same number.
    #expect(Choices<PruneStage>(["target_gflops": 2]) == Choices<PruneStage>(["target_gflops": 2.0]))
    #expect(Choices<PruneStage>(["target_gflops": "2"]).problem != nil)
    #expect(Choices<PruneStage>(["target_gflops": "2"]).targetGFLOPs == nil)
    #expect(Choices<PruneStage>(["x": 2]).unknownKeys == ["x"])
  }

  /// Both writings of one member in a submission, and members of a wrong type, are refused and crash nothing.
  @Test func hostileSubmissionsAreRefused() throws {
    let spec = SweepSpec(name: "a", dataset: "d.yaml")
    let reference = ArtifactReference(digest: Digest(String(repeating: "a", count: 64))!, byteCount: 1)
    for stage in [
      #""train":{"epochs":"many"}"#, #""prune":{"rounds":[1]}"#, #""prune":{"newer":1}"#,
      #""train":{"image_weights":1,"choices":{"imageWeights":true,"image_weights":2}}"#, #""benchmark":{"threads":0}"#,
    ] {
      let text =
        #"{"name":"a","dataset":"d.yaml","imageSize":640,"batchSize":16,"nominalBatchSize":64,"#
        + #""grid":{"backbone":["yolov5s"],"optimizer":["SGD"],"seed":[0],"sparsityRate":[0.0],"pruneRatio":[0.3]},"#
        + #""objectives":[{"direction":"maximize","metric":"map50"}],\#(stage)}"#
      let read = try JSON.decode(SweepSpec.self, from: text.utf8, .fleet)
      #expect(SweepSubmission(spec: read, dataset: reference).problem != nil, "\(stage)")
      _ = StageTree(SweepSubmission(spec: read, dataset: reference))
    }
    #expect(SweepSubmission(spec: spec, dataset: reference).problem == nil)
  }
}
