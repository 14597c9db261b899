import YAML

extension Hyperparameters {
  /// The sets that come with the program, by name.
  public static let presets: [(name: String, values: Hyperparameters)] = [
    ("scratch-low", .scratchLow), ("scratch", .scratch), ("finetune_prune", .finetunePrune),
  ]

  /// YOLOv5 v7.0's `hyp.scratch-low.yaml`, its default.
  public static let scratchLow = Hyperparameters()

  /// The pruning study's default, YOLOv5 v6.0's `hyp.scratch.yaml`: it ends at a tenth of the initial rate.
  public static let scratch: Hyperparameters = {
    var hyp = Hyperparameters()
    hyp.finalLearningRateFraction = 0.1
    return hyp
  }()

  /// The study's set for fine-tuning a pruned model: YOLOv5's evolved VOC set with a lower and shorter start.
  public static let finetunePrune: Hyperparameters = {
    var hyp = Hyperparameters()
    hyp.initialLearningRate = 0.001
    hyp.finalLearningRateFraction = 0.12
    hyp.momentum = 0.843
    hyp.weightDecay = 0.00036
    hyp.warmupEpochs = 2.0
    hyp.warmupMomentum = 0.5
    hyp.warmupBiasLearningRate = 0.05
    hyp.boxGain = 0.0296
    hyp.classGain = 0.243
    hyp.classPositiveWeight = 0.631
    hyp.objectnessGain = 0.301
    hyp.objectnessPositiveWeight = 0.911
    hyp.anchorRatioLimit = 2.91
    hyp.hueGain = 0.0138
    hyp.saturationGain = 0.664
    hyp.valueGain = 0.464
    hyp.rotationDegrees = 0.373
    hyp.translation = 0.245
    hyp.scaling = 0.898
    hyp.shearDegrees = 0.602
    hyp.verticalFlipProbability = 0.00856
    hyp.mixupProbability = 0.243
    return hyp
  }()

  /// - Throws: `TrainingError` listing the names there are.
  public init(preset name: String) throws(TrainingError) {
    guard let preset = Self.presets.first(where: { $0.name == name }) else {
      let names = Self.presets.map(\.name)
      let hint = nearest(name, among: names).map { ", did you mean ‘\($0)’?" } ?? ""
      throw TrainingError(
        "no hyper-parameter set is called ‘\(name)’\(hint); there are \(names.joined(separator: ", "))")
    }
    self = preset.values
  }
}
