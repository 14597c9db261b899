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
  /// How many of YOLOv5's layers (`model.0`, `model.1`, …) keep their parameters.
  public var frozenLayers: Int
  public var seed: UInt64

  public init(
    epochs: Int, batchSize: Int = 16, nominalBatchSize: Int = 64, imageSize: Int = 640,
    hyperparameters: Hyperparameters = .scratchLow,
    optimizer: OptimizerKind = .sgd, curve: LearningRateCurve = .linear, patience: Int? = 100,
    sparsityRate: Double? = nil, fitsAnchors: Bool = true, frozenLayers: Int = 0, seed: UInt64 = 0
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
    self.seed = seed
  }

  /// - Throws: `TrainingError` saying which value makes no sense.
  func validate(largestStride: Int) throws(TrainingError) {
    guard (1...1_000_000).contains(epochs) else { throw TrainingError("epochs: \(epochs) is not in 1 … 1000000") }
    guard (1...4096).contains(batchSize) else { throw TrainingError("batch size: \(batchSize) is not in 1 … 4096") }
    guard (1...65_536).contains(nominalBatchSize) else {
      throw TrainingError("nominal batch size: \(nominalBatchSize) is not in 1 … 65536")
    }
    guard (largestStride...8192).contains(imageSize), imageSize % largestStride == 0 else {
      throw TrainingError(
        "image size: \(imageSize) is not a multiple of \(largestStride) pixels between \(largestStride) and 8192")
    }
    guard patience ?? 1 > 0 else {
      throw TrainingError("patience: \(patience!) is not positive; leave it out for none")
    }
    guard frozenLayers >= 0 else { throw TrainingError("frozen layers: \(frozenLayers) is negative") }
    for (key, value) in hyperparameters.values.sorted(by: { $0.key < $1.key }) {
      var checked = hyperparameters
      try checked.set(key, to: value)
    }
    if let rate = sparsityRate, !(rate >= 0 && rate < 1) {
      throw TrainingError("sparsity rate: \(rate) is not in [0, 1)")
    }
  }
}
