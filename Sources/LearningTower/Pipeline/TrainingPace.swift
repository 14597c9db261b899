import Compute
import Dataset
import Dispatch
import Evaluation
import Foundation
import Interchange
import Network
import Pruning
import Synchronization
import Training

/// The cost of runs of epochs on this machine, as measured with a real run on some of the data set's images.
public struct TrainingPace: Sendable, Hashable, Codable {
  /// From one batch to the next: loading, forward, loss, backward, update.
  public var secondsPerBatch: Double
  public var secondsPerValidationImage: Double
  /// The time that an epoch takes besides its batches: its checkpoint and its records.
  public var secondsPerEpoch: Double
  /// The time that a run takes once: building the network and its plans.
  public var secondsPerRun: Double

  enum CodingKeys: String, CodingKey {
    case secondsPerBatch = "seconds_per_batch"
    case secondsPerValidationImage = "seconds_per_validation_image"
    case secondsPerEpoch = "seconds_per_epoch"
    case secondsPerRun = "seconds_per_run"
  }

  /// The seconds of a run.
  public func seconds(epochs: Int, batches: Int, validationImages: Int) -> Double {
    let epoch =
      Double(batches) * secondsPerBatch + Double(validationImages) * secondsPerValidationImage + secondsPerEpoch
    return secondsPerRun + Double(epochs) * epoch
  }

  private static let terms: [WritableKeyPath<TrainingPace, Double> & Sendable] = [
    \.secondsPerBatch, \.secondsPerValidationImage, \.secondsPerEpoch, \.secondsPerRun,
  ]

  /// The pace on the way to another one, each term by itself.
  /// - Parameter share: 0 gives this pace, 1 the other one.
  public func mixed(with other: TrainingPace, share: Double) -> TrainingPace {
    var result = self
    for term in Self.terms { result[keyPath: term] += (other[keyPath: term] - self[keyPath: term]) * share }
    return result
  }

  /// The mean of paces of the same run.
  fileprivate init(meanOf paces: [TrainingPace]) {
    self = paces[0]
    for term in Self.terms { self[keyPath: term] = paces.reduce(0) { $0 + $1[keyPath: term] } / Double(paces.count) }
  }

  fileprivate init(_ epochs: [MeasuredEpoch], secondsToFirstEpoch: Double, batches: Int, validationImages: Int) {
    let warm = epochs.dropFirst()
    func median(_ term: (MeasuredEpoch) -> Double) -> Double { warm.map(term).sorted()[warm.count / 2] }
    let (training, validation) = (median(\.training), median(\.validation))
    secondsPerBatch = training / Double(batches)
    secondsPerValidationImage = validation / Double(validationImages)
    secondsPerEpoch = median(\.rest)
    secondsPerRun = secondsToFirstEpoch + max(0, epochs[0].training - training + epochs[0].validation - validation)
  }
}

/// Seconds.
private struct MeasuredEpoch {
  var training: Double
  var validation: Double
  var rest = 0.0
}

/// Times a run on some of the images: a first epoch, which warms up, and as many as fit into the time, at least one.
/// - Parameters:
///   - request: with the configuration as it will be; only the number of its epochs does not matter.
///   - copies: how many such runs will be at work at once on this machine, and are here.
///   - seconds: how long to measure at least.
public func measurePace(
  of request: TrainRequest, on data: TrainingData, copies: Int = 1, seconds: Double
) throws -> TrainingPace {
  let data = data.sample(
    training: 3 * request.configuration.batchSize, validation: 4 * request.configuration.batchSize)
  let results = Mutex<[Result<TrainingPace, any Error>]>([])
  DispatchQueue.concurrentPerform(iterations: copies) { _ in
    let result = Result { try measureOnePace(of: request, on: data, seconds: seconds) }
    results.withLock { $0.append(result) }
  }
  return TrainingPace(meanOf: try results.withLock { $0 }.map { try $0.get() })
}

private func measureOnePace(of request: TrainRequest, on data: TrainingData, seconds: Double) throws -> TrainingPace {
  var request = request
  let folder = FileManager.default.temporaryDirectory.appending(path: "greensweep-\(UUID().uuidString)")
  defer { try? FileManager.default.removeItem(at: folder) }
  request.outputDirectory = folder.path
  request.checkpointInterval = 1
  request.configuration.epochs = 10_000
  request.configuration.patience = nil
  request.configuration.plainEpochs = nil
  request.configuration.fitsAnchors = false
  let clock = ContinuousClock()
  let start = clock.now
  var begun = start
  var mark = start
  var epochs: [MeasuredEpoch] = []
  _ = try train(
    request, on: data,
    onEvent: { event in
      switch event {
      case .started:
        begun = clock.now
        mark = begun
      case .epoch(_, let timing, _):
        epochs.append(MeasuredEpoch(training: timing.trainingSeconds, validation: timing.validationSeconds))
      case .checkpoint:
        let now = clock.now
        if let epoch = epochs.last {
          epochs[epochs.count - 1].rest = max(0, (now - mark) / .seconds(1) - epoch.training - epoch.validation)
        }
        mark = now
      case .remark: break
      }
    }, isCancelled: { epochs.count >= 2 && clock.now - start >= .seconds(seconds) })
  let batchSize = request.configuration.batchSize
  return TrainingPace(
    epochs, secondsToFirstEpoch: (begun - start) / .seconds(1),
    batches: (data.training.count + batchSize - 1) / batchSize, validationImages: data.validation.count)
}

extension TrainingData {
  /// At most so many images of each split, from all over it.
  fileprivate func sample(training: Int, validation: Int) -> TrainingData {
    func some(_ images: [LabelledImage], _ count: Int) -> [LabelledImage] {
      guard images.count > count else { return images }
      return (0..<count).map { images[$0 * images.count / count] }
    }
    var result = self
    result.training = some(self.training, training)
    result.validation = some(self.validation, validation)
    return result
  }
}

/// The cost of one backbone's stages on this machine, whole and pruned.
public struct BackbonePace: Sendable {
  /// A network's cost: in GFLOPs for an image of 640 × 640, and in seconds.
  private struct Point {
    var gflops: Double
    var training: TrainingPace
    var secondsPerPass: Double
  }

  private let whole: Point
  private let mostPruned: Point?
  private let gflops: [PruneAmount: Double]
  /// The time of planning a cut and cutting.
  public private(set) var secondsToPrune = 0.0
  /// How much faster the whole network trains when it has the machine to itself.
  public let speedAlone: Double

  /// - Parameters:
  ///   - request: the run of `train`, with the configuration as it will be.
  ///   - amounts: what will be pruned. The channels that go are drawn at random, because the real ones follow from
  ///     the training. The smallest network is timed; in between the cost goes by GFLOPs.
  ///   - passMachine: that of the benchmarks.
  ///   - copies: how many runs will be at work at once on this machine.
  ///   - seconds: how long each measurement takes at least.
  public init(
    of request: TrainRequest, on data: TrainingData, amounts: Set<PruneAmount>, passMachine: Machine, copies: Int,
    seconds: Double
  ) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "greensweep-\(UUID().uuidString)")
    try makeFolder(folder.path)
    defer { try? FileManager.default.removeItem(at: folder) }
    let start = try request.startingModel(classNames: data.classNames)
    let model = folder.appending(path: "whole.safetensors").path
    try ModelFile(network: start.network, parameters: start.parameters, classNames: data.classNames).write(to: model)
    func point(_ model: String, gflops: Double) throws -> Point {
      var request = request
      request.start = .model(model)
      return Point(
        gflops: gflops, training: try measurePace(of: request, on: data, copies: copies, seconds: seconds),
        secondsPerPass: try benchmark(
          BenchmarkRequest(
            model: model, imageSize: request.configuration.imageSize, iterations: 5, machine: passMachine)
        ).medianMilliseconds / 1000)
    }
    whole = try point(model, gflops: start.network.gflops(imageSize: 640))
    var alone = request
    alone.start = .model(model)
    speedAlone =
      copies > 1
      ? max(
        1,
        whole.training.secondsPerBatch
          / (try measurePace(of: alone, on: data, seconds: seconds)).secondsPerBatch) : 1
    var gflops: [PruneAmount: Double] = [:]
    var smallest: PruningPlan?
    for amount in amounts {
      let clock = ContinuousClock.now
      let plan = try pruningPlan(
        PruneRequest(
          model: model, amount: amount, policy: .grouped, importance: .random, minimumChannels: 4, minimumShare: 0.1))
      secondsToPrune = max(secondsToPrune, (ContinuousClock.now - clock) / .seconds(1))
      gflops[amount] = plan.after.gflops
      if plan.after.gflops < smallest?.after.gflops ?? .infinity { smallest = plan }
    }
    self.gflops = gflops
    mostPruned = try smallest.map { plan in
      let pruned = folder.appending(path: "pruned.safetensors").path
      _ = try prune(model, by: plan, to: pruned)
      return try point(pruned, gflops: plan.after.gflops)
    }
  }

  /// Where a network stands between the whole one (0) and the most pruned one (1).
  private func share(_ amount: PruneAmount?) -> Double {
    guard let amount, let gflops = gflops[amount], let mostPruned, mostPruned.gflops < whole.gflops else { return 0 }
    return (whole.gflops - gflops) / (whole.gflops - mostPruned.gflops)
  }

  /// - Parameter amount: what has been pruned; nil for the whole network.
  public func training(prunedBy amount: PruneAmount?) -> TrainingPace {
    guard let mostPruned else { return whole.training }
    return whole.training.mixed(with: mostPruned.training, share: share(amount))
  }

  /// The seconds of a pass over one image.
  public func secondsPerPass(prunedBy amount: PruneAmount?) -> Double {
    guard let mostPruned else { return whole.secondsPerPass }
    return whole.secondsPerPass + (mostPruned.secondsPerPass - whole.secondsPerPass) * share(amount)
  }
}
