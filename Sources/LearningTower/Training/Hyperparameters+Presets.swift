import Dataset
import Detection
import Wording
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
    hyp.loss.boxGain = 0.0296
    hyp.loss.classGain = 0.243
    hyp.loss.classPositiveWeight = 0.631
    hyp.loss.objectnessGain = 0.301
    hyp.loss.objectnessPositiveWeight = 0.911
    hyp.loss.anchorRatioLimit = 2.91
    hyp.augmentation.hue = 0.0138
    hyp.augmentation.saturation = 0.664
    hyp.augmentation.value = 0.464
    hyp.augmentation.degrees = 0.373
    hyp.augmentation.translate = 0.245
    hyp.augmentation.scale = 0.898
    hyp.augmentation.shear = 0.602
    hyp.augmentation.flipUpDown = 0.00856
    hyp.augmentation.mixup = 0.243
    return hyp
  }()

  /// - Throws: `TrainingError` listing the names there are.
  public init(preset name: String) throws(TrainingError) {
    guard let preset = Self.presets.first(where: { $0.name == name }) else {
      let names = Self.presets.map(\.name)
      let hint = nearest(name, among: names).map { ", did you mean ‘\($0)’?" } ?? ""
      throw TrainingError(
        "no hyper-parameter set is called ‘\(name)’\(hint); there are \(names.joined(separator: ", "))",
        isWrongRequest: true)
    }
    self = preset.values
  }
}
