public import Pruning
import Training
import Zoo

/// A run of epochs: the stages `train`, `sparsify` (with a sparsity rate) and `finetune` (of a pruned model).
public struct TrainRequest: Sendable, Hashable, Codable {
  /// The start of a run.
  public enum Start: Sendable, Hashable, Codable {
    /// A network newly initialised, then given every tensor of `weights` whose name and shape fit.
    case new(Architecture, weights: String?)
    /// A model file, with its own network. Its classes have to be those of the data set.
    case model(String)

    /// The files that are read.
    var files: [String] {
      switch self {
      case .model(let path): return [path]
      case .new(let architecture, let weights):
        guard case .modelFile(let path) = architecture.source else { return [weights].compactMap { $0 } }
        return [weights, path].compactMap { $0 }
      }
    }
  }

  public var start: Start
  /// A checkpoint of the same run to go on from; nil begins it.
  public var checkpoint: String?
  /// A YOLOv5 `data.yaml`.
  public var dataset: String
  public var configuration: TrainingConfiguration
  /// A model file from whose predictions the network learns too, such as the unpruned parent of a pruned one.
  public var teacher: String?
  /// `auto` replaces what the configuration says of optimizer, rates and augmentation once the data set is known.
  public var recipe: Recipe
  /// A folder of the run's own; made where it is missing.
  public var outputDirectory: String
  public var machine: Machine
  /// Epochs between checkpoints; the last epoch has none. 0: no checkpoints.
  public var checkpointInterval: Int

  public init(
    start: Start, checkpoint: String? = nil, dataset: String, configuration: TrainingConfiguration,
    teacher: String? = nil, recipe: Recipe = .yolov5, outputDirectory: String, machine: Machine,
    checkpointInterval: Int = 1
  ) {
    self.start = start
    self.checkpoint = checkpoint
    self.dataset = dataset
    self.configuration = configuration
    self.teacher = teacher
    self.recipe = recipe
    self.outputDirectory = outputDirectory
    self.machine = machine
    self.checkpointInterval = checkpointInterval
  }
}

/// The result of a run of epochs: how it ended, and the files in its folder.
public struct TrainResult: Sendable, Hashable, Codable {
  public var ending: Trainer.Ending
  /// The best epoch's moving average; nil, as are its figures, if the run was cancelled.
  public var model: String?
  /// YOLOv5's `results.csv`.
  public var results: String
  public var completedEpochs: Int
  /// From 1.
  public var bestEpoch: Int?
  public var precision: Double?
  public var recall: Double?
  public var map50: Double?
  public var map50_95: Double?
  /// How far the batch norms' scales have gone, in sparsity training.
  public var scales: ScaleSummary?
  /// Whether sparsity training has changed the channels; false where a remark says that it has not, nil in a run
  /// without.
  public var sparsityHadEffect: Bool?
  /// How many tensors the start took from the weights, of how many; 0 of 0 in a resumed run.
  public var transferredTensors: Int
  public var totalTensors: Int
  /// Remarks on the data set for whoever reads the result, such as images left out; nil if there are none.
  public var remarks: [String]?

  enum CodingKeys: String, CodingKey {
    case ending, model, results, precision, recall, map50, map50_95, scales, remarks
    case completedEpochs = "completed_epochs"
    case bestEpoch = "best_epoch"
    case sparsityHadEffect = "sparsity_had_effect"
    case transferredTensors = "transferred_tensors"
    case totalTensors = "total_tensors"
  }

  mutating func take(_ best: EpochSummary, model: String) {
    self.model = model
    bestEpoch = best.epoch
    precision = best.precision
    recall = best.recall
    map50 = best.map50
    map50_95 = best.map50_95
    scales = best.scales
  }
}
