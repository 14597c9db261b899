import Network
import Settings

/// Everything but data, weights and machine that determines a training run.
public struct TrainingConfiguration: Sendable, Hashable, Codable {
  public var epochs: Int
  public var batchSize: Int
  /// Images an optimizer step stands for; gradients of smaller batches are accumulated.
  public var nominalBatchSize: Int
  /// Side in pixels of the square images that are trained on.
  public var imageSize: Int
  public var hyperparameters: Hyperparameters
  public var optimizer: OptimizerKind
  public var curve: LearningRateCurve
  /// Epochs without improvement after which the run ends; nil never ends it early.
  public var patience: Int?
  /// The study's `sr`; nil trains without a pull on the batch norms. In sparsity training every batch is a step.
  public var sparsityRate: Double?
  /// Fades channels out until a share of them computes nothing; nil leaves all at work.
  public var fading: ChannelFading?
  /// The least length of the warm-up in batches; nil: YOLOv5's 100, which is all of a short run on few images.
  public var minimumWarmupBatches: Int?
  /// The last epochs, without mosaics and mixup; nil: none.
  public var plainEpochs: Int?
  /// Checks that the anchors fit the data and computes new ones if they do not.
  public var fitsAnchors: Bool
  /// Which of YOLOv5's layers (`model.0`, `model.1`, …) keep their learned parameters. As there, running statistics of
  /// their batch norms go on moving.
  public var frozenLayers: [Int]
  /// Draws images by how badly the classes they show are found (YOLOv5's `--image-weights`).
  public var usesImageWeights: Bool
  /// Every batch at a size of its own, from half to one and a half of `imageSize` (`--multi-scale`).
  public var isMultiScale: Bool
  /// Batches of like shapes, in the same order in every epoch and without mosaics (`--rect`).
  public var isRectangular: Bool
  public var seed: UInt64

  public init(
    epochs: Int, batchSize: Int = 16, nominalBatchSize: Int = 64, imageSize: Int = 640,
    hyperparameters: Hyperparameters = .scratchLow,
    optimizer: OptimizerKind = .sgd, curve: LearningRateCurve = .linear, patience: Int? = 100,
    sparsityRate: Double? = nil, fading: ChannelFading? = nil, fitsAnchors: Bool = true, frozenLayers: [Int] = [],
    usesImageWeights: Bool = false, isMultiScale: Bool = false, isRectangular: Bool = false, seed: UInt64 = 0
  ) {
    self.epochs = epochs
    self.batchSize = batchSize
    self.nominalBatchSize = nominalBatchSize
    self.imageSize = imageSize
    self.hyperparameters = hyperparameters
    self.optimizer = optimizer
    self.curve = curve
    self.patience = patience
    self.sparsityRate = sparsityRate
    self.fading = fading
    self.fitsAnchors = fitsAnchors
    self.frozenLayers = frozenLayers
    self.usesImageWeights = usesImageWeights
    self.isMultiScale = isMultiScale
    self.isRectangular = isRectangular
    self.seed = seed
  }

  /// - Throws: `TrainingError` saying which value makes no sense.
  func validate(largestStride: Int) throws(TrainingError) {
    let settings = SparsifyStage.all.group
    let problems = [
      settings.epochs.problem(epochs), settings.batchSize.problem(batchSize),
      settings.nominalBatchSize.problem(nominalBatchSize), settings.patience.problem(patience ?? 0),
      settings.freeze.problem(frozenLayers), sparsityRate.flatMap(settings.sparsityRate.problem),
    ]
    if let problem = problems.compactMap(\.self).first { throw TrainingError(problem, isWrongRequest: true) }
    guard patience != 0 else { throw TrainingError("patience 0: leave it out for none", isWrongRequest: true) }
    if let problem = imageSizeProblem(imageSize, stride: largestStride) {
      throw TrainingError(problem, isWrongRequest: true)
    }
    guard !(usesImageWeights && isRectangular) else {
      throw TrainingError(
        "image weights draw images freely, rectangular batches are fixed: choose one of them", isWrongRequest: true)
    }
    for (key, value) in hyperparameters.values.sorted(by: { $0.key < $1.key }) {
      var checked = hyperparameters
      try checked.set(key, to: value)
    }
    if let fading {
      guard fading.ratio > 0, fading.ratio < 1 else {
        throw TrainingError("sparsity target: \(fading.ratio) is not between 0 and 1")
      }
    }
  }
}
