import Network

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
    sparsityRate: Double? = nil, fitsAnchors: Bool = true, frozenLayers: [Int] = [],
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
    self.fitsAnchors = fitsAnchors
    self.frozenLayers = frozenLayers
    self.usesImageWeights = usesImageWeights
    self.isMultiScale = isMultiScale
    self.isRectangular = isRectangular
    self.seed = seed
  }

  /// - Throws: `TrainingError` saying which value makes no sense.
  func validate(largestStride: Int) throws(TrainingError) {
    guard (1...1_000_000).contains(epochs) else { throw TrainingError("epochs: \(epochs) is not in 1 … 1000000") }
    guard (1...4096).contains(batchSize) else { throw TrainingError("batch size: \(batchSize) is not in 1 … 4096") }
    guard (1...65_536).contains(nominalBatchSize) else {
      throw TrainingError("nominal batch size: \(nominalBatchSize) is not in 1 … 65536")
    }
    if let problem = imageSizeProblem(imageSize, stride: largestStride) { throw TrainingError(problem) }
    guard patience ?? 1 > 0 else {
      throw TrainingError("patience: \(patience!) is not positive; leave it out for none")
    }
    if let layer = frozenLayers.first(where: { $0 < 0 }) { throw TrainingError("frozen layers: \(layer) is negative") }
    guard !(usesImageWeights && isRectangular) else {
      throw TrainingError("image weights draw images freely, rectangular batches are fixed: choose one of them")
    }
    for (key, value) in hyperparameters.values.sorted(by: { $0.key < $1.key }) {
      var checked = hyperparameters
      try checked.set(key, to: value)
    }
    if let rate = sparsityRate, !(rate >= 0 && rate < 1) {
      throw TrainingError("sparsity rate: \(rate) is not in [0, 1)")
    }
  }
}
