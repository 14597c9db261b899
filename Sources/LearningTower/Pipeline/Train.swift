import Dataset
import Foundation
import Interchange
import Network
import Pruning
import Platform
import Training
import Wording
import Zoo

/// Runs the epochs of `train`, `sparsify` or `finetune`. The folder (`RunFolder`) then holds `model.safetensors` (the
/// best epoch's moving average), YOLOv5's `results.csv`, `opt.yaml`, `hyp.yaml` and TensorBoard log, and the last
/// `checkpoint.safetensors`, which the caller may still have to send somewhere, and removes.
///
/// - Parameters:
///   - check: finds damaged images first; nil: the data set is taken as it is.
///   - isCancelled: asked before every batch.
///   - wallTimeSeconds: since 1970, for TensorBoard. Nothing else depends on it.
/// - Throws: `PipelineError` or the error of the module at fault.
public func train(
  _ request: TrainRequest, checking check: ImageCheck? = nil, onEvent: (RunEvent) throws -> Void = { _ in },
  isCancelled: () -> Bool = { false }, wallTimeSeconds: () -> Double = { Date().timeIntervalSince1970 }
) throws -> TrainResult {
  let description = try DatasetDescription.load(request.dataset)
  try requireImageSize(request.configuration.imageSize, stride: 32)
  let data = try TrainingData(description, checking: check, workers: request.loaderWorkers)
  try refuseOverwriting(
    RunFolder.files(in: request.outputDirectory),
    ofInputs: request.start.files + description.files() + [request.teacher].compactMap { $0 })
  return try train(
    request.adapted(imageCount: data.training.count), on: data, onEvent: onEvent, isCancelled: isCancelled,
    wallTimeSeconds: wallTimeSeconds)
}

/// Runs the epochs on images that are known already. The configuration stands as it is.
func train(
  _ request: TrainRequest, on data: TrainingData, onEvent: (RunEvent) throws -> Void, isCancelled: () -> Bool,
  wallTimeSeconds: () -> Double = { Date().timeIntervalSince1970 }
) throws -> TrainResult {
  let runtime = try request.machine.runtime()
  let trainer: Trainer
  var transferred = (count: 0, total: 0)
  var remarks = data.remarks
  if let checkpoint = request.checkpoint {
    trainer = try Trainer(resuming: request.resumable(.read(checkpoint)), data: data, runtime: runtime)
  } else {
    let start = try request.startingModel(classNames: data.classNames)
    transferred = (start.transferred, start.network.parameterSpecs.count)
    if let remark = start.remark { remarks.append(remark) }
    trainer = try Trainer(
      starting: start.network, start.parameters, data: data, configuration: request.configuration, runtime: runtime)
  }

  if let path = request.teacher {
    let teacher = try Model.read(path)
    do {
      try trainer.learn(from: Teacher(teacher.network, teacher.parameters, runtime: runtime))
    } catch let error as TrainingError {
      throw TrainingError("\(path): \(error)", isWrongRequest: error.isWrongRequest)
    }
  }

  let folder = try RunFolder(request, data, history: trainer.history, wallTimeSeconds: wallTimeSeconds())
  let epochs = request.configuration.epochs
  for remark in remarks { try onEvent(.remark(remark)) }
  try onEvent(.started(epochs: epochs, completedEpochs: trainer.history.count))
  let ending = try trainer.run(isCancelled: isCancelled) { summary, timing in
    try folder.record(trainer.history, wallTimeSeconds: wallTimeSeconds())
    try onEvent(.epoch(summary, timing, of: epochs))
    let interval = request.checkpointInterval
    if interval > 0, summary.epoch % interval == 0, summary.epoch < epochs {
      try trainer.checkpoint().write(to: folder.checkpoint)
      try onEvent(.checkpoint(path: folder.checkpoint, epoch: summary.epoch))
    }
  }

  let scales = ending == .cancelled ? [] : trainer.history.compactMap(\.scales)
  let sparsityRemark = sparsityRemark(scales, request.configuration)
  if let sparsityRemark {
    remarks.append(sparsityRemark)
    try onEvent(.remark(sparsityRemark))
  }
  var result = TrainResult(
    ending: ending, results: folder.results, completedEpochs: trainer.history.count,
    sparsityHadEffect: scales.isEmpty ? nil : sparsityRemark == nil, transferredTensors: transferred.count,
    totalTensors: transferred.total,
    remarks: remarks.isEmpty ? nil : remarks)
  guard ending != .cancelled, let best = trainer.bestSummary else { return result }
  try ModelFile(
    network: trainer.network, parameters: trainer.bestParameters, classNames: trainer.classNames, map50: best.map50
  ).write(to: folder.model)
  result.take(best, model: folder.model)
  return result
}

/// Returns a remark on sparsity training that has left the channels as they were, with the remedy; nil if it has not.
/// - Parameter scales: after each epoch.
func sparsityRemark(_ scales: [ScaleSummary], _ configuration: TrainingConfiguration) -> String? {
  guard let first = scales.first, let last = scales.last else { return nil }
  if let fading = configuration.fading {
    guard last.zeroShare == 0 else { return nil }
    return
      "no channel has faded out: a share of \(fading.ratio) is less than one channel, or every layer keeps all that "
      + "it has; give a larger share (prune_ratio in a sweep, --sparsify-target in train) or a smaller min_channels"
  }
  guard let rate = configuration.sparsityRate, scales.count > 1 else { return nil }
  let hasMoved = abs(last.lowerScale - first.lowerScale) > 0.02 * first.lowerScale
  guard !hasMoved, last.nearZeroShare - first.nearZeroShare < 0.02 else { return nil }
  func shown(_ value: Double) -> String { String(format: "%.4f", value) }
  return "a sparsity rate of \(rate) has had no effect: a tenth of the channels had scales below "
    + "\(shown(first.lowerScale)) after the first epoch and below \(shown(last.lowerScale)) after the last; the pull "
    + "is multiplied by the learning rate, so give a higher rate or more epochs, or let channels fade out instead "
    + "(policy gradual in a sweep, --sparsify-target in train)"
}

extension TrainRequest.Start {
  /// Whether the run starts from parameters that were trained before.
  fileprivate var isPretrained: Bool {
    switch self {
    case .model: true
    case .new(_, let weights): weights != nil
    }
  }
}

extension TrainRequest {
  /// The request with all that its recipe decides once the number of training images is known.
  public func adapted(imageCount: Int) -> TrainRequest {
    guard recipe == .auto else { return self }
    var result = self
    result.configuration = configuration.adapted(imageCount: imageCount, isPretrained: start.isPretrained)
    return result
  }

  /// One loader thread per two computing threads: it mostly waits, because an epoch's images are decoded once and stay
  /// in memory.
  var loaderWorkers: Int { max(1, machine.threads / 2) }

  /// - Throws: `PipelineError` if the checkpoint is of another run.
  func resumable(_ checkpoint: TrainingCheckpoint) throws -> TrainingCheckpoint {
    let file = self.checkpoint ?? "the checkpoint"
    let settings = zip(
      Mirror(reflecting: checkpoint.configuration).children, Mirror(reflecting: configuration).children)
    let others = settings.filter { "\($0.value)" != "\($1.value)" }.compactMap(\.0.label)
    guard others.isEmpty, checkpoint.configuration == configuration else {
      throw PipelineError(
        "\(file): of a run with other settings (\(others.joined(separator: ", "))); give the same, or start anew")
    }
    // The model that the run began with may be gone by now.
    if let nodes = try startingNodes(classCount: checkpoint.classNames.count), nodes != checkpoint.network.nodes {
      throw PipelineError(
        "\(file): of a run of another network, \(checkpoint.network.name); give the same, or start anew")
    }
    return checkpoint
  }

  private func startingNodes(classCount: Int) throws -> [Node]? {
    switch start {
    case .new(let architecture, _): try architecture.network(classCount: classCount).nodes
    case .model(let path): (try? Model.read(path))?.network.nodes
    }
  }

  /// Returns the network to begin with, how many tensors of a file it begins with, and what to say of them.
  func startingModel(
    classNames: [String]
  ) throws -> (network: Network, parameters: Parameters, transferred: Int, remark: String?) {
    switch start {
    case .model(let path):
      let model = try Model.read(path)
      guard model.network.detect.classCount == classNames.count else {
        throw PipelineError(
          "\(path): detects \(counted(model.network.detect.classCount, "class")), the data set has \(classNames.count)")
      }
      let remark = classNameRemark(of: path, model.classNames, dataset, classNames)
      return (model.network, model.parameters, model.network.parameterSpecs.count, remark)
    case .new(let architecture, let weights):
      let network = try architecture.network(classCount: classNames.count)
      let initial = network.initialParameters(seed: configuration.seed)
      guard let weights else { return (network, initial, 0, nil) }
      let (transfer, remark) = try transferring(weights, into: network, of: architecture, initial: initial)
      return (network, transfer.parameters, transfer.tensorCount, remark)
    }
  }
}

/// Replaces the file in one step.
func writeText(_ text: String, to path: String) throws {
  do {
    try Data(text.utf8).write(to: URL(filePath: path), options: .atomic)
  } catch {
    throw PipelineError(
      "\(path): cannot be written (\(reason(of: error)))", errorNumber: errorNumber(of: error))
  }
}

/// Makes a folder for results, with those around it.
func makeFolder(_ path: String) throws {
  do {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  } catch {
    throw PipelineError(
      "\(path): the folder cannot be made (\(reason(of: error)))", errorNumber: errorNumber(of: error))
  }
}
