import Compute
import Dataset
import Detection
import Evaluation
import Network
import Pruning
import Wording

/// Trains a network on a data set, epoch by epoch, as YOLOv5 v7.0 does; with a sparsity rate, as the pruning study
/// does.
///
/// Different from both: gradients left over at an epoch's end are applied, so that every image counts and nothing is
/// pending between epochs, where checkpoints are taken.
public final class Trainer {
  /// How a call of `run` ended.
  public enum Ending: String, Sendable, Hashable, Codable {
    case completed
    /// Patience ran out.
    case stoppedEarly = "stopped_early"
    case cancelled
  }

  public let network: Network
  public let classNames: [String]
  public let configuration: TrainingConfiguration
  /// One per completed epoch.
  public internal(set) var history: [EpochSummary] = []

  let memory: ParameterMemory
  var fading: FadingChannels?
  /// The network whose predictions count besides the labels; nil if only the labels count.
  private var teacher: Teacher?
  private let distillation: DistillationLoss
  let update: ParameterUpdate
  private let schedule: Schedule
  private let loader: TrainingLoader
  private let validation: ValidationLoader
  private var loss: DetectionLoss
  var stopping: EarlyStopping
  /// The moving average of the best epoch; before the first, the parameters the run starts with.
  public internal(set) var bestParameters: Parameters
  /// mAP50-95 of each class in the last validation, which image weights go by.
  var classPrecisions: [Double]
  private let imageWeights: ImageWeights?
  private var plans: PlanCache<TrainingPlan>

  /// A run from its beginning.
  /// - Throws: `TrainingError` for a configuration that makes no sense or classes that are not the network's.
  public convenience init(
    starting network: Network, _ parameters: Parameters, data: TrainingData, configuration: TrainingConfiguration,
    runtime: Runtime
  ) throws {
    var (network, parameters) = (network, parameters)
    if configuration.fitsAnchors {
      network = network.fittingAnchors(
        to: data.training, imageSize: configuration.imageSize,
        ratioLimit: configuration.hyperparameters.loss.anchorRatioLimit, seed: configuration.seed)
      parameters[network.detect.anchorsName] = network.detect.anchorsTensor
    }
    try self.init(network, parameters, data: data, configuration: configuration, runtime: runtime)
  }

  init(
    _ network: Network, _ parameters: Parameters, data: TrainingData, configuration: TrainingConfiguration,
    runtime: Runtime
  ) throws {
    try configuration.validate(largestStride: network.detect.strides.max() ?? 32)
    guard network.detect.classCount == data.classNames.count else {
      throw TrainingError(
        "the network detects \(counted(network.detect.classCount, "class")), the data set has \(data.classNames.count)",
        isWrongRequest: true)
    }
    self.network = network
    self.configuration = configuration
    bestParameters = parameters
    classNames = data.classNames
    let hyp = configuration.hyperparameters

    var options = TrainingLoader.Options(
      imageSize: configuration.imageSize, batchSize: configuration.batchSize, augmentation: hyp.augmentation,
      seed: configuration.seed)
    options.workers = data.workers
    options.stride = network.detect.strides.max() ?? 32
    options.isMultiScale = configuration.isMultiScale
    options.mosaicEpochs = configuration.plainEpochs.map { configuration.epochs - $0 }
    options.isRectangular = configuration.isRectangular
    loader = TrainingLoader(images: data.training, options: options)
    imageWeights =
      configuration.usesImageWeights ? ImageWeights(loader.images, classCount: network.detect.classCount) : nil
    classPrecisions = Array(repeating: 0, count: network.detect.classCount)
    schedule = Schedule(
      epochs: configuration.epochs, batchesPerEpoch: loader.batchesPerEpoch, batchSize: configuration.batchSize,
      nominalBatchSize: configuration.nominalBatchSize,
      curve: configuration.curve, hyperparameters: hyp,
      minimumWarmupIterations: configuration.minimumWarmupBatches)
    distillation = DistillationLoss(
      detect: network.detect, hyperparameters: hyp.loss, imageSize: configuration.imageSize,
      weight: Double(Teacher.interval))
    loss = DetectionLoss(detect: network.detect, hyperparameters: hyp.loss, imageSize: configuration.imageSize)
    stopping = EarlyStopping(patience: configuration.patience)
    // As v7.0: rectangular batches of twice the size.
    var validationOptions = ValidationLoader.Options(
      imageSize: configuration.imageSize, batchSize: 2 * configuration.batchSize)
    validationOptions.stride = network.detect.strides.max() ?? 32
    validationOptions.workers = data.workers
    validation = ValidationLoader(images: data.validation, options: validationOptions)

    let memory = try ParameterMemory(network, parameters, runtime: runtime)
    self.memory = memory
    fading = try configuration.fading.map { try FadingChannels($0, epochs: configuration.epochs, memory) }
    plans = PlanCache(memory)
    let frozen = network.parameterSpecs.filter { spec in
      spec.isLearned && configuration.frozenLayers.contains { spec.name.hasPrefix("model.\($0).") }
    }
    let optimizer = Optimizer(
      configuration.optimizer, memory,
      decay: PerGroup(gammas: 0, weights: schedule.scaledWeightDecay, biases: 0), beta1: hyp.momentum,
      frozen: frozen.compactMap { memory.range(of: $0.name) })
    update = ParameterUpdate(
      memory, optimizer: optimizer,
      sparsity: configuration.sparsityRate.map { Sparsity(rate: $0, epochs: configuration.epochs) },
      sparing: Set(network.sparsityExcludedBatchNorms))
  }

  /// Has the network learn from a teacher's predictions too. Called before `run`, also of a resumed run.
  /// - Throws: `TrainingError` if the teacher's head is another one.
  public func learn(from teacher: Teacher) throws(TrainingError) {
    try teacher.requireSameHead(network.detect)
    self.teacher = teacher
  }

  /// Trains the epochs that are left.
  /// - Parameters:
  ///   - isCancelled: asked before every batch; what the present epoch has done is lost.
  ///   - onEpoch: called after every epoch, when `checkpoint()` may be asked for.
  public func run(
    isCancelled: () -> Bool = { false }, onEpoch: (EpochSummary, EpochTiming) throws -> Void
  ) throws -> Ending {
    // With image weights an epoch's images are not known before the last one is validated.
    let endless = imageWeights == nil ? loader.batches(fromEpoch: history.count) : nil
    defer { endless?.stop() }
    let clock = ContinuousClock()
    while history.count < configuration.epochs {
      if isSettled(afterEpoch: history.count - 1), stopping.shouldStop(afterEpoch: history.count - 1) {
        return .stoppedEarly
      }
      let batches = endless ?? weightedBatches()
      defer { if endless == nil { batches.stop() } }
      let start = clock.now
      guard let loss = try trainEpoch(batches, isCancelled) else { return .cancelled }
      let trained = clock.now
      try finishEpoch(loss)
      let timing = EpochTiming(
        training: start.duration(to: trained), validation: trained.duration(to: clock.now),
        images: loader.images.count, remainingEpochs: configuration.epochs - history.count)
      try onEpoch(history[history.count - 1], timing)
    }
    return .completed
  }

  /// Returns the batches of the next epoch.
  private func weightedBatches() -> BatchStream {
    let weights = imageWeights!.weights(averagePrecisions: classPrecisions)
    return loader.batches(ofEpoch: history.count, weights: weights)
  }

  /// nil before the first epoch is completed.
  public var bestSummary: EpochSummary? { history.isEmpty ? nil : history[stopping.bestEpoch] }
}

extension Trainer {
  /// - Returns: the means over the batches; nil when cancelled.
  private func trainEpoch(_ batches: BatchStream, _ isCancelled: () -> Bool) throws -> LossItems? {
    let epoch = history.count
    var sum = LossItems()
    var pending = 0
    let scores =
      fading?.needsScores == true
      ? try TaylorScores.measured(
        network, memory.parameters(), images: loader.images, imageSize: configuration.imageSize,
        runtime: memory.runtime) : nil
    try fading?.begin(epoch: epoch, scores: scores)
    for index in 0..<schedule.batchesPerEpoch {
      if isCancelled() { return nil }
      guard let batch = try batches.next() else { throw TrainingError("epoch \(epoch + 1): no more batches") }
      sum += try gradients(of: batch, accumulate: pending > 0, isTaught: index % Teacher.interval == 0)
      guard sum.sum.isFinite else {
        throw TrainingError(
          "epoch \(epoch + 1), batch \(index + 1): the loss is not a number any more; try a lower lr0 or more warm-up")
      }
      pending += 1
      let settings = schedule.settings(epoch: epoch, batch: index)
      let isDue = pending >= settings.accumulation || configuration.sparsityRate != nil
      if isDue || index == schedule.batchesPerEpoch - 1 {
        fading?.measure()
        update.apply(settings, epoch: epoch)
        pending = 0
      }
      fading?.apply(to: update.average, afterBatch: index, of: schedule.batchesPerEpoch)
    }
    return sum / Double(schedule.batchesPerEpoch)
  }

  /// Whether a model of this epoch (from 0) is one that the run is for: all channels have faded that are to go.
  private func isSettled(afterEpoch epoch: Int) -> Bool {
    epoch >= 0 && (fading == nil || ChannelFading.isComplete(afterEpoch: epoch, of: configuration.epochs))
  }

  /// Forward, loss and backward.
  private func gradients(of batch: Batch, accumulate: Bool, isTaught: Bool) throws -> LossItems {
    let plan = try plans.plan(batchSize: batch.count, height: batch.height, width: batch.width)
    plan.forward(batch.images)
    let items = loss.evaluate(plan, targets: batch.targets)
    if isTaught { _ = try teacher?.teach(plan, batch.images, distillation) }
    plan.backward(accumulate: accumulate)
    return items
  }

  /// Validates the moving average and keeps it if it is the best.
  private func finishEpoch(_ loss: LossItems) throws {
    let epoch = history.count
    let average = update.average.parameters()
    var evaluator = try Evaluator(network, average, runtime: memory.runtime)
    let result = try evaluator.evaluate(validation, loss: self.loss)
    let metrics = result.metrics
    // A class without labels counts as found as well as the mean.
    classPrecisions = Array(repeating: metrics.map50_95, count: network.detect.classCount)
    for item in metrics.perClass { classPrecisions[item.classIndex] = item.map50_95 }
    let lastBatch = schedule.settings(epoch: epoch, batch: schedule.batchesPerEpoch - 1)
    var summary = EpochSummary(
      epoch: epoch + 1, loss: loss, validationLoss: result.loss ?? LossItems(), precision: metrics.precision,
      recall: metrics.recall, map50: metrics.map50, map50_95: metrics.map50_95, learningRates: lastBatch.learningRates,
      isBest: false)
    summary.isBest = isSettled(afterEpoch: epoch) && stopping.record(fitness: metrics.fitness, epoch: epoch)
    if let fading {
      summary.scales = try fading.summary(of: average)
    } else if configuration.sparsityRate != nil {
      summary.scales = try ScaleSummary(network, average)
    }
    if summary.isBest { bestParameters = average }
    history.append(summary)
  }
}
