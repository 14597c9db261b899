/// Means over an epoch's batches of the three loss terms, after their gains, per image.
public struct LossItems: Sendable, Hashable, Codable {
  public var box: Double
  public var objectness: Double
  public var classification: Double

  public init(box: Double = 0, objectness: Double = 0, classification: Double = 0) {
    self.box = box
    self.objectness = objectness
    self.classification = classification
  }

  enum CodingKeys: String, CodingKey {
    case box
    case objectness = "obj"
    case classification = "cls"
  }
}

/// What is known of a run after an epoch.
public struct EpochSummary: Sendable, Hashable, Codable {
  /// From 1.
  public var epoch: Int
  public var epochs: Int
  public var loss: LossItems
  /// Of the moving average on the validation split.
  public var precision: Double
  public var recall: Double
  public var map50: Double
  public var map50To95: Double
  /// Those of the epoch's last batch.
  public var learningRates: PerGroup
  public var imagesPerSecond: Double
  /// Until the last epoch, at the pace of this one.
  public var remainingSeconds: Double
  /// Whether this epoch's model is the best so far.
  public var isBest: Bool

  enum CodingKeys: String, CodingKey {
    case epoch, epochs, loss, precision, recall, map50
    case map50To95 = "map50_95"
    case learningRates = "learning_rates"
    case imagesPerSecond = "images_per_second"
    case remainingSeconds = "remaining_seconds"
    case isBest = "is_best"
  }
}
