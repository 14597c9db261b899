import Foundation

/// How the learning rate falls from epoch to epoch, as a factor of the initial one.
public enum LearningRateCurve: String, Sendable, Hashable, Codable, CaseIterable {
  case linear, cosine
}

/// Which program's rules apply where they differ.
public enum ScheduleRules: Sendable, Hashable {
  /// YOLOv5 v7.0: at least 100 iterations of warm-up, the linear curve reaches its end after the last epoch.
  case yolov5
  /// The pruning study (YOLOv5 v6.0): at least 1000 iterations, the linear curve reaches its end in the last epoch.
  case study

  var minimumWarmupIterations: Int { self == .yolov5 ? 100 : 1000 }
}

/// A value for each of the optimizer's groups of parameters, in the order in which they lie in memory.
public struct PerGroup: Sendable, Hashable, Codable {
  /// Batch norm scales.
  public var gammas: Double
  /// Convolution and linear weights.
  public var weights: Double
  /// Biases and batch norm shifts.
  public var biases: Double

  public init(gammas: Double, weights: Double, biases: Double) {
    self.gammas = gammas
    self.weights = weights
    self.biases = biases
  }
}

/// The settings with which one batch is trained.
public struct StepSettings: Sendable, Hashable {
  public var learningRates: PerGroup
  /// The momentum of SGD; Adam's beta1 does not warm up.
  public var momentum: Double
  /// How many batches an optimizer step gathers.
  public var accumulation: Int

  public init(learningRates: PerGroup, momentum: Double, accumulation: Int) {
    self.learningRates = learningRates
    self.momentum = momentum
    self.accumulation = accumulation
  }
}

/// Learning rates, momentum and accumulation of a whole run as a function of the batch, as YOLOv5 computes them.
///
/// During the warm-up (up to and including iteration `warmupIterations`) everything is interpolated linearly towards
/// the current epoch's rate. Afterwards an epoch runs at the rate of the epoch before it, because YOLOv5 sets its
/// scheduler back by one before it starts; the epoch in which the warm-up ends keeps the rate the warm-up ended with.
public struct Schedule: Sendable, Hashable {
  public var epochs: Int
  public var batchesPerEpoch: Int
  public var batchSize: Int
  /// Gradients are gathered until they stand for about this many images; YOLOv5's is 64.
  public var nominalBatchSize: Int
  public var curve: LearningRateCurve
  public var hyperparameters: Hyperparameters
  public var rules: ScheduleRules
  /// The least length of the warm-up in batches; nil: what the rules say.
  public var minimumWarmupIterations: Int?

  public init(
    epochs: Int, batchesPerEpoch: Int, batchSize: Int, nominalBatchSize: Int = 64,
    curve: LearningRateCurve = .linear, hyperparameters: Hyperparameters, rules: ScheduleRules = .yolov5,
    minimumWarmupIterations: Int? = nil
  ) {
    precondition(epochs > 0 && batchesPerEpoch > 0 && batchSize > 0 && nominalBatchSize > 0, "an empty schedule")
    self.epochs = epochs
    self.batchesPerEpoch = batchesPerEpoch
    self.batchSize = batchSize
    self.nominalBatchSize = nominalBatchSize
    self.curve = curve
    self.hyperparameters = hyperparameters
    self.rules = rules
    self.minimumWarmupIterations = minimumWarmupIterations
  }

  public var warmupIterations: Int {
    max(
      Int((hyperparameters.warmupEpochs * Double(batchesPerEpoch)).rounded(.toNearestOrEven)),
      minimumWarmupIterations ?? rules.minimumWarmupIterations)
  }

  /// How many batches make the nominal batch, once warmed up.
  public var accumulation: Int {
    max(Int((Double(nominalBatchSize) / Double(batchSize)).rounded(.toNearestOrEven)), 1)
  }

  /// The weight decay for steps that gather about, but not always exactly, the nominal batch.
  public var scaledWeightDecay: Double {
    let imagesPerStep = Double(batchSize * accumulation)
    return hyperparameters.weightDecay * imagesPerStep / Double(nominalBatchSize)
  }

  /// The curve's value for an epoch: 1 at first, `lrf` at last.
  public func factor(epoch: Int) -> Double {
    let final = hyperparameters.finalLearningRateFraction
    switch curve {
    case .cosine:
      return (1 - cos(Double(epoch) * .pi / Double(epochs))) / 2 * (final - 1) + 1
    case .linear:
      let span = rules == .yolov5 ? epochs : max(epochs - 1, 1)
      return (1 - Double(epoch) / Double(span)) * (1 - final) + final
    }
  }

  /// Returns the settings of batch `batch` (from 0) of epoch `epoch`.
  public func settings(epoch: Int, batch: Int) -> StepSettings {
    let iteration = epoch * batchesPerEpoch + batch
    let nominal = Double(nominalBatchSize) / Double(batchSize)
    let h = hyperparameters
    guard iteration <= warmupIterations else {
      let warmupEndsInThisEpoch = warmupIterations >= epoch * batchesPerEpoch
      let rate = h.initialLearningRate * factor(epoch: warmupEndsInThisEpoch ? epoch : epoch - 1)
      return StepSettings(
        learningRates: PerGroup(gammas: rate, weights: rate, biases: rate), momentum: h.momentum,
        accumulation: accumulation)
    }
    let progress = Double(iteration) / Double(max(warmupIterations, 1))
    func ramp(from start: Double, to end: Double) -> Double { start + (end - start) * progress }
    let target = h.initialLearningRate * factor(epoch: epoch)
    let rate = ramp(from: 0, to: target)
    return StepSettings(
      learningRates: PerGroup(gammas: rate, weights: rate, biases: ramp(from: h.warmupBiasLearningRate, to: target)),
      momentum: ramp(from: h.warmupMomentum, to: h.momentum),
      accumulation: max(Int(ramp(from: 1, to: nominal).rounded(.toNearestOrEven)), 1))
  }
}
