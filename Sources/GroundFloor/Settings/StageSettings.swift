/// The settings of every stage, each with its key, bounds, default and one sentence of help.

/// At the top of a sweep file, for all stages.
public struct CommonSettings: SettingGroup {
  public static let all = SettingList(Self())
  public let imageSize = Setting(
    "image_size", .integer(32...8192, multipleOf: 32), default: 640, isAlwaysWritten: true,
    "Side in pixels of the square that images are letterboxed to.")
  public let batchSize = Setting(
    "batch_size", .integer(1...4096), default: 16, isAlwaysWritten: true, "Images computed at once.")
  public let nominalBatchSize = Setting(
    "nominal_batch_size", .integer(1...65_536), default: 64, isAlwaysWritten: true,
    "Images an optimizer step stands for; gradients of smaller batches are accumulated.")
  public let recipe = Setting<RecipeWord?>(
    "recipe", .word(.recipe), default: nil,
    "auto: optimizer, rates and augmentation that suit the number of images and epochs; yolov5: those of YOLOv5.")
}

/// The axes of the grid: what one trial has of each.
public struct TrialSettings: SettingGroup {
  public static let all = SettingList(Self())
  public let backbone = Setting(
    "backbone", .word(.backbone), default: "yolov5s", isAlwaysWritten: true,
    "A network's name, or the path of a YOLOv5 model file.")
  public let optimizer = Setting(
    "optimizer", .word(.optimizer), default: "SGD", isAlwaysWritten: true, "The rule that updates the weights.")
  public let seed = Setting(
    "seed", .integer(0...Int(Int32.max)), default: 0, isAlwaysWritten: true, "What all random draws depend on.")
  public let sparsityRate = Setting(
    "sparsity_rate", .fraction, default: 0.0001, isAlwaysWritten: true,
    "Weight of the L1 penalty on batch-norm scales; 0 leaves the stage ‘sparsify’ out.")
  public let pruneRatio = Setting(
    "prune_ratio", .fraction, default: 0.3, isAlwaysWritten: true,
    "Share of the prunable channels to remove; 0 leaves ‘prune’ and ‘finetune’ out.")
}

private let precisionOfStage = Setting<PrecisionWord?>(
  "precision", .word(.precision), default: nil,
  "float32, or bfloat16: half the memory, and about twice as fast on processors that multiply it.")

private let common = CommonSettings()
private let trial = TrialSettings()

/// The settings that the stages of epochs share: `train`, `sparsify` and `finetune`.
public struct TrainingSettings: Sendable {
  public let backbone = trial.backbone.from(.trial)
  public let optimizer = trial.optimizer.from(.trial)
  public let seed = trial.seed.from(.trial)
  public let imageSize = common.imageSize.from(.sweep)
  public let batchSize = common.batchSize.from(.sweep)
  public let nominalBatchSize = common.nominalBatchSize.from(.sweep)
  public let recipe = common.recipe.from(.sweep)
  public let epochs: Setting<Int>
  public let hyp = Setting<String?>(
    "hyp", .wordOrFile(.hyp), default: nil, "A set of hyper-parameters by name, or a YOLOv5 hyp file.")
  public let patience = Setting(
    "patience", .integer(0...1_000_000), default: 0, isAlwaysWritten: true,
    "Epochs without a better fitness after which training stops; 0 never does.")
  public let freeze = Setting<[Int]>(
    "freeze", .layers(0...999), default: [], "Layers whose learned parameters stay.")
  public let imageWeights = Setting(
    "image_weights", .truth, default: false, "Draw images by how badly their classes are found.")
  public let multiScale = Setting(
    "multi_scale", .truth, default: false, "Vary the image size from batch to batch by up to a half.")
  public let rect = Setting("rect", .truth, default: false, "Batches of like shapes instead of squares; no mosaics.")
  public let precision = precisionOfStage

  init(epochs: Int) {
    self.epochs = Setting(
      "epochs", .integer(1...1_000_000), default: epochs, isAlwaysWritten: true, "Passes over the training images.")
  }
}

/// A stage of epochs: `choices.patience` is `choices.training.patience`.
@dynamicMemberLookup
public protocol EpochStage: SettingGroup {
  var training: TrainingSettings { get }
}

extension EpochStage {
  public subscript<Value>(dynamicMember path: KeyPath<TrainingSettings, Setting<Value>>) -> Setting<Value> {
    training[keyPath: path]
  }
}

public struct TrainStage: EpochStage {
  public static let all = SettingList(Self())
  public let training = TrainingSettings(epochs: 100)
  public let weights = Setting<[String: String]>(
    "weights", .fileByBackbone, default: [:], isAlwaysWritten: true, from: .plan,
    "Files with weights to start from; a backbone without one starts from its initial weights.")
}

public struct SparsifyStage: EpochStage {
  public static let all = SettingList(Self())
  public let training = TrainingSettings(epochs: 50)
  public let sparsityRate = trial.sparsityRate.from(.trial)
  public let target = Setting(
    "target", .fraction, default: 0.0, from: .step,
    "Share of the prunable channels to fade out by the end; 0 fades none.")
  public let importance = prune.importance.from(.step)
  public let minimumChannels = prune.minimumChannels.from(.step)
  public let roundTo = prune.roundTo.from(.step)
}

private let prune = PruneStage()

public struct PruneStage: SettingGroup {
  public static let all = SettingList(Self())
  public let backbone = trial.backbone.from(.trial)
  /// Only where the importance is random.
  public let seed = trial.seed.from(.trial)
  /// The share of the channels that are left; present only where there is no target.
  public let pruneRatio = trial.pruneRatio.from(.trial)
  public let policy = Setting<PolicyWord?>(
    "policy", .word(.policy), default: nil,
    "How channels go: gradual (fade out during ‘sparsify’), study or grouped (cut by their scores).")
  public let importance = Setting<ImportanceWord?>(
    "importance", .word(.importance), default: nil, "What scores a channel; its batch norm's scale (gamma).")
  public let minimumChannels = Setting<Int?>(
    "min_channels", .integer(1...1_000_000), default: nil,
    "What every layer keeps; without it a ratio that would empty one fails.")
  public let roundTo = Setting<Int?>(
    "round_to", .integer(1...1024), default: nil, "Layers keep multiples of it, such as 8 or 16.")
  public let rounds = Setting(
    "rounds", .integer(1...100), default: 1, isAlwaysWritten: true, from: .plan,
    "How often a trial is pruned and fine-tuned: each round cuts an equal part of what is to go.")
  public let targetParameters = Setting<Int?>(
    "target_parameters", .integer(1...Int.max), default: nil,
    "Parameters the pruned network may have at most; takes the place of the ratio.")
  public let targetGFLOPs = Setting<Double?>(
    "target_gflops", .positive, default: nil,
    "GFLOPs for an image of 640 × 640 that the pruned network may cost at most; takes the place of the ratio.")
  public let roundsLeft = Setting(
    "rounds_left", .integer(1...100), default: 1, from: .step, "Rounds in which to reach the target, this one included."
  )
}

public struct FinetuneStage: EpochStage {
  public static let all = SettingList(Self())
  public let training = TrainingSettings(epochs: 100)
  public let distill = Setting(
    "distill", .wordOrFile(.teacher), default: Self.noTeacher,
    "Whose predictions a pruned network learns besides the labels: parent (the unpruned network), a model file, or off."
  )

  public static let noTeacher = "off"
  public static let unprunedTeacher = "parent"
  /// The word for a stage whose sweep names a file, which counts by its content.
  public static let fileTeacher = "file"
}

public struct EvaluateStage: SettingGroup {
  public static let all = SettingList(Self())
  public let imageSize = common.imageSize.from(.sweep)
  public let batchSize = common.batchSize.from(.sweep)
  public let precision = precisionOfStage
}

public struct BenchmarkStage: SettingGroup {
  public static let all = SettingList(Self())
  public let imageSize = common.imageSize.from(.sweep)
  public let iterations = Setting(
    "iterations", .integer(1...1_000_000), default: 100, isAlwaysWritten: true,
    "Timed passes over one image; the median counts.")
  public let threads = Setting(
    "threads", .integer(1...256), default: 1, isAlwaysWritten: true, "Threads to compute with.")
  public let precision = precisionOfStage
}

/// The limits on an attempt at any stage. A result does not depend on it, so no stage is told.
public struct LimitSettings: SettingGroup {
  public static let all = SettingList(Self())
  public let memoryMB = Setting<Int?>(
    "memory_limit_mb", .integer(16...(1 << 24)), default: nil, "Megabytes of memory that its process may use.")
  public let timeMinutes = Setting<Double?>(
    "time_limit_minutes", .number(1.0 / 60...525_600), default: nil,
    "Minutes from a second to a year; the next attempt goes on from the newest checkpoint.")
}
