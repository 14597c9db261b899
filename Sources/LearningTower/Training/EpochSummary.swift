import Detection
public import Pruning

/// The figures of an epoch. The same run gives the same summaries: nothing in them is measured by a clock.
public struct EpochSummary: Sendable, Hashable, Codable {
  /// From 1.
  public var epoch: Int
  /// Means over the batches.
  public var loss: LossItems
  /// The loss of the moving average on the validation split. The figures that follow are of it too.
  public var validationLoss: LossItems
  public var precision: Double
  public var recall: Double
  public var map50: Double
  public var map50_95: Double
  /// The learning rates of the epoch's last batch.
  public var learningRates: PerGroup
  /// Whether this epoch's model was the best until then.
  public var isBest: Bool
  /// How far the batch norms' scales have gone, in sparsity training.
  public var scales: ScaleSummary?

  enum CodingKeys: String, CodingKey {
    case epoch, loss, precision, recall, map50, map50_95, scales
    case validationLoss = "validation_loss"
    case learningRates = "learning_rates"
    case isBest = "is_best"
  }
}

/// How fast an epoch went.
public struct EpochTiming: Sendable, Hashable, Codable {
  public var trainingSeconds: Double
  public var validationSeconds: Double
  public var imagesPerSecond: Double
  /// Until the last epoch, at the pace of this one.
  public var remainingSeconds: Double

  enum CodingKeys: String, CodingKey {
    case trainingSeconds = "training_seconds"
    case validationSeconds = "validation_seconds"
    case imagesPerSecond = "images_per_second"
    case remainingSeconds = "eta_seconds"
  }
}

extension EpochTiming {
  init(training: Duration, validation: Duration, images: Int, remainingEpochs: Int) {
    trainingSeconds = training / .seconds(1)
    validationSeconds = validation / .seconds(1)
    imagesPerSecond = Double(images) / trainingSeconds
    remainingSeconds = (trainingSeconds + validationSeconds) * Double(remainingEpochs)
  }
}
