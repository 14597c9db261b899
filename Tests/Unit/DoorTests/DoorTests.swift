import Compute
import Dataset
import Detection
import Evaluation
import Foundation
import Interchange
import JSON
import Network
import Pruning
import Randomness
import Settings
import Sweep
import Testing
import Zoo

@testable import Pipeline
@testable import Training
@testable import greensweep

/// Where the towers meet: whatever a sweep file accepts for a stage, the stage accepts; and it reports what objectives
/// ask for.
struct DoorTests {
  /// The least and the greatest value of a setting, and one beyond each.
  private func edges(_ setting: any AnySetting) -> (inside: [PlainValue], outside: [PlainValue]) {
    switch setting.rule {
    case .truth: ([.bool(false), .bool(true)], [])
    case .integer(let range, let step):
      (
        [.int(range.lowerBound), .int(range.upperBound)],
        [.int(range.lowerBound - step)] + (range.upperBound < .max ? [.int(range.upperBound + step)] : [])
      )
    case .number:
      (
        [.double(setting.numbers.lowerBound), .double(setting.numbers.upperBound)],
        [.double(setting.numbers.lowerBound.nextDown), .double(setting.numbers.upperBound.nextUp)]
      )
    case .layers(let range):
      (
        [.array([]), .array([.int(range.lowerBound), .int(range.upperBound)])],
        [.array([.int(range.lowerBound - 1)]), .array([.int(range.upperBound + 1)])]
      )
    case .word, .wordOrFile, .fileByBackbone: ([], [])
    }
  }

  private func request(_ stage: Stage, _ values: [String: PlainValue], inputs: [InputRole: String] = [:])
    -> StageRequest
  {
    StageRequest(
      job: JobKey(hashing: ""), configuration: StageConfiguration(stage, values), inputs: inputs, directory: "/nowhere",
      threads: 1)
  }

  /// Throws what the learning tower has against a configuration.
  private func take(_ request: StageRequest) throws {
    func train(_ choices: Choices<some EpochStage>, sparsityRate: Double? = nil) throws {
      var configuration = try request.training(choices, preset: .scratchLow)
      configuration.sparsityRate = sparsityRate
      try configuration.validate(largestStride: 32)
    }
    switch request.configuration {
    case .train(let choices): try train(choices)
    case .sparsify(let choices): try train(choices, sparsityRate: choices.sparsityRate)
    case .finetune(let choices): try train(choices)
    case .prune(let choices):
      let network = try Architecture(named: "yolov5n").network(classCount: 2)
      let method = PruningMethod(
        .study, minimumChannels: choices.minimumChannels ?? 1, roundTo: choices.roundTo ?? 1)
      let ranking = try ChannelRanking(network, network.initialParameters(seed: 0), method)
      if case .ratio(let ratio) = PruneAmount(choices) { _ = try ranking.plan(ratio: ratio) }
    case .evaluate(let choices):
      try requireImageSize(choices.imageSize, stride: 32)
      try require(EvaluateStage.all.group.batchSize, choices.batchSize)
      _ = try Runtime(threads: 1)
    case .benchmark(let choices):
      try requireImageSize(choices.imageSize, stride: 32)
      try require(BenchmarkStage.all.group.iterations, choices.iterations)
      _ = try Runtime(backend: .openBLAS, threads: choices.threads)
    }
  }

  @Test(arguments: Stage.allCases) func aStageAcceptsWhatASweepFileAccepts(stage: Stage) throws {
    let configuration = StageConfiguration(stage, [:])
    var count = 0
    for setting in configuration.settings where setting.source != .plan {
      let (inside, outside) = edges(setting)
      for value in inside {
        let request = request(stage, [setting.key: value])
        #expect(request.configuration.problem == nil, "\(setting.key) \(value)")
        #expect(throws: Never.self, "\(setting.key) \(value)") { try take(request) }
        count += 1
      }
      for value in outside where setting.plain(value) != nil {
        let request = request(stage, [setting.key: value])
        #expect(request.configuration.problem != nil, "\(setting.key) \(value)")
        #expect(throws: StageRefusal.self) { try PipelineStageRunner().run(request) { _ in } }
      }
    }
    #expect(count >= 4)
  }

  /// Bounds have one writer: what is beyond a row of the settings is beyond the learning tower's.
  @Test func theLearningTowerRefusesWhatIsBeyond() throws {
    let settings = SparsifyStage.all.group
    func refuses(_ change: (inout TrainingConfiguration) -> Void) {
      var configuration = TrainingConfiguration(epochs: 1)
      change(&configuration)
      let error = #expect(throws: TrainingError.self) { try configuration.validate(largestStride: 32) }
      #expect(error?.isWrongRequest == true)
    }
    refuses { $0.epochs = settings.epochs.integers.upperBound + 1 }
    refuses { $0.batchSize = settings.batchSize.integers.upperBound + 1 }
    refuses { $0.nominalBatchSize = settings.nominalBatchSize.integers.upperBound + 1 }
    refuses { $0.patience = settings.patience.integers.upperBound + 1 }
    refuses { $0.imageSize = settings.imageSize.integers.upperBound + 32 }
    refuses { $0.sparsityRate = 1 }
    refuses { $0.frozenLayers = [1000] }
    #expect(throws: ComputeError.self) {
      try Runtime(threads: BenchmarkStage.all.group.threads.integers.upperBound + 1)
    }
  }

  /// Every word that a sweep file accepts is one that the learning tower knows, and the other way round.
  @Test func vocabulariesAreThoseOfTheLearningTower() throws {
    let words = SweepVocabulary { _ in true }.words
    #expect(words.values.allSatisfy { !$0.isEmpty } && words.count == SettingRule.Vocabulary.allCases.count)
    let optimizers = try words[.optimizer]!.map {
      try request(.train, [:]).training(Choices<TrainStage>(["optimizer": .string($0)]), preset: .scratch).optimizer
    }
    #expect(optimizers == OptimizerKind.allCases)
    for hyp in words[.hyp]! { _ = try Hyperparameters(preset: hyp) }
    for backbone in words[.backbone]! { _ = try Architecture(named: backbone) }
    #expect(words[.policy]!.map(PruningPolicy.init) == PruningPolicy.allCases)
    #expect(words[.importance]!.map(Importance.init) == Importance.allCases)
    #expect(words[.recipe]!.map(Recipe.init) == Recipe.allCases)
    // The fallbacks of the settings are words too.
    #expect(words[.optimizer]!.contains(TrialSettings.all.group.optimizer.fallback))
    #expect(words[.backbone]!.contains(TrialSettings.all.group.backbone.fallback))
  }

  /// The default policy, whatever the scores are like: drawn alike for all channels, or of layers a thousand times
  /// apart, as they are in trained networks.
  @Test(arguments: Zoo.names) func everyFamilyCanBePrunedByAnyUsualRatio(_ name: String) throws {
    let network = try Zoo.network(named: name, classCount: 3)
    let parameters = network.initialParameters(seed: 0)
    for spread in [0.0, 7.0] {
      var random = SplitMix64(seed: 1, stream: name)
      var taylor = try TaylorScores(network)
      var scale = 1.0
      taylor.restore(
        taylor.values.indices.map { unit in
          if unit % 16 == 0 { scale = exp(Double(random.nextSignedUnit()) * spread / 2) }
          return scale * Double(random.nextSignedUnit() + 1)
        })
      let ranking = try ChannelRanking(network, parameters, ChannelFading.standardMethod, taylor: taylor)
      var before = try ranking.plan(ratio: 0).after
      for ratio in stride(from: 0.1, through: 0.81, by: 0.1) {
        let plan = try ranking.plan(ratio: ratio)
        #expect(plan.after.gflops < before.gflops, "ratio \(ratio), spread \(spread)")
        #expect(plan.after.parameterCount < before.parameterCount, "ratio \(ratio), spread \(spread)")
        #expect(plan.layers.allSatisfy { $0.keptCount >= min(4, $0.channelCount) })
        before = plan.after
      }
    }
  }

  /// Pruning cuts the channels that have faded and no others, also where layers kept more than was asked for.
  @Test(arguments: ["yolov5n", "mobilenetv2", "shufflenetv1", "shufflenetv2", "ghostnet"])
  func whatHasFadedIsCut(_ name: String) throws {
    let network = try Zoo.network(named: name, classCount: 3)
    let parameters = network.initialParameters(seed: 0)
    var method = ChannelFading.standardMethod
    method.importance = .random
    let faded = try ChannelRanking(network, parameters, method).plan(ratio: 0.8)
    let cut = try ChannelRanking(network, faded.masked(parameters), PruningMethod(.gradual)).planOfZeroChannels()
    #expect(cut.after == faded.after)
    let pruned = try cut.apply(to: network, parameters)
    #expect(pruned.network.parameterCount == cut.after.parameterCount)
  }

  @Test func anObjectiveIsMeasuredByItsStage() {
    let measured: [Stage: [String]] = [
      .evaluate: evaluateMetrics.map(\.name), .benchmark: benchmarkMetrics.map(\.name),
      .sparsify: sparsifyMetrics.map(\.name), .finetune: startMetrics.map(\.name),
    ]
    for metric in Objective.Metric.allCases {
      for stage in metric.stages {
        #expect(measured[stage]?.contains(metric.rawValue) == true, "\(metric) of \(stage)")
      }
    }
  }

  /// Channels fade, are cut, and the rest is fine-tuned: the accuracy right after the cut is the one that sparsify has
  /// measured, and is measured again only where channels were cut that computed something.
  @Test func whatSparsifyHasMeasuredIsNotMeasuredAgain() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "door-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    var sample = SampleDataset()
    (sample.trainCount, sample.valCount, sample.imageSize) = (4, 2, 64)
    _ = try sample.write(to: folder.appending(path: "data").path)
    func run(_ stage: Stage, _ values: [String: PlainValue], of model: String, in name: String) throws -> StageOutput {
      let directory = folder.appending(path: name).path
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      var values = values
      if stage != .prune { values.merge(["image_size": .int(64), "batch_size": .int(2)]) { $1 } }
      let request = StageRequest(
        job: JobKey(hashing: name), configuration: StageConfiguration(stage, values),
        inputs: [.model: model, .dataset: "pack"], directory: directory,
        unpackedDataset: folder.appending(path: "data").path, threads: 1)
      var output: StageOutput?
      try PipelineStageRunner().run(request) { if case .finished(let finished) = $0 { output = finished } }
      return try #require(output)
    }
    func path(_ name: String) -> String { folder.appending(path: "\(name)/model.safetensors").path }

    let network = try Architecture(.family("yolov5n"), width: 0.25).network(classCount: sample.classCount)
    let start = folder.appending(path: "start.safetensors").path
    try ModelFile(
      network: network, parameters: network.initialParameters(seed: 0), classNames: sample.classNames
    ).write(to: start)
    let sparsified = try run(.sparsify, ["epochs": .int(2), "target": .double(0.3)], of: start, in: "sparsify")
    var faded = try ModelFile.read(path("sparsify"))
    #expect(faded.map50 != nil && faded.map50 == sparsified.metrics["map50_cut"])
    #expect(sparsified.metrics["sparsity_effect"] == 1)
    // A value that no measurement gives.
    faded.map50 = 0.625
    try faded.write(to: path("sparsify"))
    let policies = [("gradual", 0.625), ("grouped", 0)]
    for (policy, expected) in policies {
      _ = try run(
        .prune, ["policy": .string(policy), "prune_ratio": .double(0.5)], of: path("sparsify"), in: "prune-\(policy)")
      let tuned = try run(.finetune, ["epochs": .int(1)], of: path("prune-\(policy)"), in: "finetune-\(policy)")
      #expect(tuned.metrics["map50_cut"].map { abs($0 - expected) < 0.2 } == true, "\(policy)")
    }
  }

  @Test func progressShowsHowFarChannelsHaveFaded() throws {
    let scales = ScaleSummary(
      zeroShare: 0.4321, nearZeroShare: 0.5, lowerScale: 0, medianScale: 1, upperScale: 2, targetShare: 0.7)
    let zero = PerGroup(gammas: 0, weights: 0, biases: 0)
    var summary = EpochSummary(
      epoch: 3, loss: LossItems(), validationLoss: LossItems(), precision: 0, recall: 0, map50: 0.5, map50_95: 0,
      learningRates: zero, isBest: false)
    func words() -> String {
      StatusText.progress(EpochMetrics(epoch: 3, epochs: 5, seconds: 2, values: metrics(epochMetrics, of: summary)))
    }
    #expect(words() == "epoch 3/5  loss 0.0000  mAP50 0.500  ETA 4s")
    summary.scales = scales
    #expect(words() == "epoch 3/5  loss 0.0000  mAP50 0.500  faded 43 % of 70 %  ETA 4s")
  }

  /// A job that no attempt can do is tried once. The teacher is the file that came with the job, and a stage that is
  /// told to learn from one does not go without.
  @Test func fineTuningLearnsFromTheTeacherThatCame() throws {
    func teacher(_ values: [String: PlainValue], _ inputs: [InputRole: String]) throws -> String? {
      try request(.finetune, values, inputs: inputs.merging([.model: "m"]) { $1 }).trainRequest(on: "d")?.teacher
    }
    #expect(try teacher(["distill": .string("parent")], [.teacher: "t"]) == "t")
    #expect(try teacher(["distill": .string("file")], [.teacher: "t"]) == "t")
    #expect(try teacher([:], [.teacher: "t"]) == nil)
    #expect(throws: WorkError.self) { try teacher(["distill": .string("parent")], [:]) }
  }

  @Test func configurationErrorsAreFinal() throws {
    let hyp = FileManager.default.temporaryDirectory.appending(path: "hyp-\(UUID().uuidString).yaml")
    try "lr0: 0.01\nmosaik: 1\n".write(to: hyp, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: hyp) }
    let wrong: [(StageRequest, String)] = [
      (request(.train, ["batch_size": .int(9000)]), "train: batch_size 9000 is out of range: use 1 to 4096"),
      (
        request(.train, ["epochs": .string("3")]),
        "train: epochs \"3\" has the wrong type: use 1 to 1000000"
      ),
      (request(.train, ["optimizer": .string("Lion")]), "unknown optimizer ‘Lion’; "),
      (request(.train, ["backbone": .string("yolov5q")]), "yolov5q"),
      (request(.finetune, ["hyp": .string("gentle")], inputs: [.model: "/m"]), "gentle"),
      (request(.train, [:], inputs: [.hyp: hyp.path]), "mosaik"),
      (
        request(.prune, ["policy": .string("x")], inputs: [.model: "/m"]),
        "unknown policy ‘x’; there are study, grouped"
      ),
    ]
    for (request, message) in wrong {
      let error = #expect(throws: StageRefusal.self) { try PipelineStageRunner().run(request) { _ in } }
      #expect(error?.description.contains(message) == true, "\(error?.description ?? "nothing")")
    }
  }

  /// Another worker may be of a version that knows it.
  @Test func aSettingOfANewerVersionIsNotIgnored() {
    let error = #expect(throws: WorkError.self) {
      try PipelineStageRunner().run(request(.train, ["mix": .int(1)])) { _ in }
    }
    #expect("\(error!)".contains("unknown setting ‘mix’: update this worker"))
  }

  /// Both towers have the same words for how joules were obtained.
  @Test func kindsOfEnergyAreKindsOfMetrics() {
    #expect(EnergyKind.allCases.allSatisfy { MetricKind(rawValue: $0.rawValue) != nil })
  }
}
