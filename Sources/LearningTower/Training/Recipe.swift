import Dataset
import Detection

/// Where a run's optimizer, learning rates and augmentation come from.
public enum Recipe: String, Sendable, Hashable, Codable, CaseIterable {
  /// The configuration stands as it is; its defaults are those of YOLOv5 v7.0.
  case yolov5
  /// The values follow from the number of steps. YOLOv5's defaults are made for hundreds of epochs on 100,000 images,
  /// and leave a few hundred images untrained.
  case auto
}

extension TrainingConfiguration {
  /// Runs of fewer steps get AdamW, longer ones YOLOv5's SGD.
  static let fewSteps = 10_000

  /// The configuration with everything that the `auto` recipe decides.
  /// - Parameters:
  ///   - imageCount: images of the training split.
  ///   - isPretrained: whether the run starts from weights that were trained before.
  public func adapted(imageCount: Int, isPretrained: Bool) -> TrainingConfiguration {
    let batchesPerEpoch = max(1, (imageCount + batchSize - 1) / batchSize)
    let steps = batchesPerEpoch * epochs
    var result = self
    result.plainEpochs = min(10, epochs / 5)
    guard steps < Self.fewSteps else { return result }
    result.optimizer = .adamW
    result.nominalBatchSize = batchSize
    result.minimumWarmupBatches = 0
    let rate = isPretrained ? 0.001 : 0.002
    result.hyperparameters.initialLearningRate = rate
    result.hyperparameters.finalLearningRateFraction = 0.05
    result.hyperparameters.momentum = 0.9
    result.hyperparameters.warmupBiasLearningRate = rate
    result.hyperparameters.warmupEpochs = isPretrained ? min(1, 0.1 * Double(epochs)) : min(3, 0.1 * Double(epochs))
    result.hyperparameters.augmentation.mosaic = 0.5
    result.hyperparameters.augmentation.scale = 0.3
    return result
  }
}
