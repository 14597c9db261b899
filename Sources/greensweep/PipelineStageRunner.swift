import Compute
import Dataset
import Detection
import Foundation
import Interchange
import JSON
import Network
import Pipeline
import Pruning
import Settings
import Sweep
import Training
import Wording
import Zoo

/// The door between the towers: from the configuration of a stage to the pipeline's request, and from the pipeline's
/// measurements to metrics.
struct PipelineStageRunner: StageRunner {
  func run(_ request: StageRequest, report: (StageEvent) throws -> Void) throws {
    let name = request.stage.rawValue
    if let key = request.configuration.unknownKeys.first {
      throw WorkError("\(name): unknown setting ‘\(key.printable)’: update this worker")
    }
    if let problem = request.configuration.problem { throw StageRefusal("\(name): \(problem)") }
    do {
      switch request.configuration {
      case .train: try train(request, trainMetrics, report)
      case .sparsify: try train(request, sparsifyMetrics, report)
      case .finetune: try train(request, trainMetrics, report)
      case .prune(let choices): try prune(request, choices, report)
      case .evaluate(let choices): try evaluate(request, choices, report)
      case .benchmark(let choices): try benchmark(request, choices, report)
      }
    } catch  where followsFromTheRequest(error) {
      throw StageRefusal("\(error)")
    }
  }

  /// Whether the same request fails in the same way on every host.
  private func followsFromTheRequest(_ error: any Error) -> Bool {
    switch error {
    case let error as TrainingError: error.isWrongRequest
    case let error as PipelineError: error.isWrongRequest
    case is PruningError, is NetworkError: true
    default: false
    }
  }

  private func train(
    _ request: StageRequest, _ table: [StageMetric<TrainResult>], _ report: (StageEvent) throws -> Void
  ) throws {
    guard let trainRequest = try request.trainRequest(on: try request.dataset()) else {
      throw WorkError("\(request.stage.rawValue): has no epochs")
    }
    func forward(_ event: RunEvent) throws {
      switch event {
      case .started(let epochs, _): try report(.started(epochs: epochs))
      case .epoch(let summary, let timing, let epochs):
        let seconds = timing.trainingSeconds + timing.validationSeconds
        let values = metrics(epochMetrics, of: summary)
        try report(.epoch(EpochMetrics(epoch: summary.epoch, epochs: epochs, seconds: seconds, values: values)))
      case .checkpoint(let path, let epoch): try report(.checkpoint(epoch: epoch, file: fileName(path)))
      case .remark(let text): printError(text)
      }
    }
    let result = try Pipeline.train(
      trainRequest, checking: request.imageCheck(of: trainRequest.dataset), onEvent: forward)
    guard let model = result.model else { throw WorkError("the run ended without a model") }
    let files: [OutputRole: String] = [.model: fileName(model), .epochs: fileName(result.results)]
    var values = metrics(table, of: result)
    if case .finetune(let choices) = request.configuration {
      // The model that came is the cut one, also for an attempt that goes on from a checkpoint. Its file knows the
      // accuracy if only channels that had faded were cut.
      let start = try request.file(.model)
      let map50 =
        try ModelFile.read(start).map50
        ?? Pipeline.evaluate(
          EvaluateRequest(
            model: start, dataset: trainRequest.dataset, imageSize: choices.imageSize, batchSize: choices.batchSize,
            machine: trainRequest.machine),
          checking: request.imageCheck(of: trainRequest.dataset)
        ).map50
      values.merge(metrics(startMetrics, of: map50)) { $1 }
    }
    try report(.finished(StageOutput(metrics: values, files: files)))
  }

  private func prune(
    _ request: StageRequest, _ choices: Choices<PruneStage>, _ report: (StageEvent) throws -> Void
  ) throws {
    let output = request.path("model.safetensors")
    let model = try request.file(.model)
    let plan = try pruningPlan(
      PruneRequest(
        model: model, amount: PruneAmount(choices), policy: try choices.policy.map { try known($0.rawValue, .policy) },
        importance: try choices.importance.map { try known($0.rawValue, .importance) } ?? .gamma,
        seed: UInt64(choices.seed),
        minimumChannels: choices.minimumChannels, roundTo: choices.roundTo ?? 1))
    for remark in plan.remarks { printError("prune: \(remark)") }
    let pruned = try Pipeline.prune(model, by: plan, to: output)
    try writePlan(plan, to: request.path("report.json"))
    let files: [OutputRole: String] = [.model: fileName(output), .report: "report.json"]
    try report(.finished(StageOutput(metrics: metrics(pruneMetrics, of: pruned), files: files)))
  }

  private func evaluate(
    _ request: StageRequest, _ choices: Choices<EvaluateStage>, _ report: (StageEvent) throws -> Void
  ) throws {
    let dataset = try request.dataset()
    let evaluation = try Pipeline.evaluate(
      EvaluateRequest(
        model: try request.file(.model), dataset: dataset, imageSize: choices.imageSize,
        batchSize: choices.batchSize, machine: try request.machine(choices.precision)),
      checking: request.imageCheck(of: dataset))
    try finish(request, evaluation, evaluateMetrics, report)
  }

  private func benchmark(
    _ request: StageRequest, _ choices: Choices<BenchmarkStage>, _ report: (StageEvent) throws -> Void
  ) throws {
    var machine = try request.machine(choices.precision)
    machine.threads = choices.threads
    let benchmark = try Pipeline.benchmark(
      BenchmarkRequest(
        model: try request.file(.model), imageSize: choices.imageSize, iterations: choices.iterations,
        machine: machine))
    try finish(request, benchmark, benchmarkMetrics, kinds: kinds(of: benchmark), report)
  }

  /// The end of a stage that measures.
  private func finish<Measurement: Encodable>(
    _ request: StageRequest, _ measurement: Measurement, _ table: [StageMetric<Measurement>],
    kinds: [String: String]? = nil, _ report: (StageEvent) throws -> Void
  ) throws {
    try Data(JSON.text(measurement).utf8).write(to: URL(filePath: request.path("report.json")), options: .atomic)
    let metrics = metrics(table, of: measurement)
    try report(.finished(StageOutput(metrics: metrics, kinds: kinds, files: [.report: "report.json"])))
  }

  private func fileName(_ path: String) -> String { URL(filePath: path).lastPathComponent }
}

extension StageRequest {
  fileprivate func path(_ file: String) -> String { URL(filePath: directory).appending(path: file).path }

  fileprivate func file(_ role: InputRole) throws -> String {
    guard let path = input(role) else { throw WorkError("\(stage.rawValue): the request has no \(role.rawValue)") }
    return path
  }

  /// The data set's description. It is unpacked once where the worker keeps it between jobs; another
  /// process that unpacks it at the same time may win.
  fileprivate func dataset() throws -> String {
    let pack = try file(.dataset)
    let folder = unpackedDataset ?? pack + ".unpacked"
    let description = URL(filePath: folder).appending(path: "data.yaml").path
    if FileManager.default.fileExists(atPath: description) { return description }
    let passing = "\(folder).\(ProcessInfo.processInfo.processIdentifier)"
    try DatasetPack.unpack(pack, into: passing)
    do {
      try FileManager.default.moveItem(atPath: passing, toPath: folder)
    } catch {
      try? FileManager.default.removeItem(atPath: passing)
      guard FileManager.default.fileExists(atPath: description) else { throw error }
    }
    return description
  }

  /// The images of a pack were checked before it was sent, but for packs of older versions. They are checked once where
  /// they were unpacked, and nothing is refused there: a damaged one is left out as at the sender's.
  fileprivate func imageCheck(of dataset: String) -> ImageCheck {
    let memory = URL(filePath: dataset).deletingLastPathComponent().appending(path: ".sound-images").path
    return ImageCheck(threads: threads, memory: memory, allowsDamaged: true)
  }

  /// The network that the stage `train` begins with.
  fileprivate func architecture(_ backbone: String) throws -> Architecture {
    guard let file = input(.network) else { return try Architecture(named: backbone) }
    let name = URL(filePath: backbone).deletingPathExtension().lastPathComponent
    return Architecture(.modelFile(file), name: name)
  }

  fileprivate func machine(_ precision: PrecisionWord?) throws -> Machine {
    let backend = try backend.map { name in
      guard let backend = Runtime.Backend(rawValue: name) else { throw WorkError("no backend '\(name)'") }
      return backend
    }
    let machine = Machine(
      threads: threads, backend: backend,
      precision: try precision.map { try known($0.rawValue, .precision) } ?? .float32)
    if let remark = try machine.precisionRemark() { printError(remark) }
    return machine
  }

  /// The run of a stage of epochs; nil for the other stages.
  /// - Parameter dataset: the path of the data set's description, asked for when everything else is right.
  func trainRequest(on dataset: @autoclosure () throws -> String) throws -> TrainRequest? {
    let start: TrainRequest.Start
    var training: TrainingConfiguration
    let recipe: Recipe
    var teacher: String?
    let precision: PrecisionWord?
    switch configuration {
    case .train(let choices):
      precision = choices.precision
      start = .new(try architecture(choices.backbone), weights: input(.weights))
      training = try self.training(choices, preset: .scratchLow, fitsAnchors: true)
      recipe = try Recipe(choices)
    case .sparsify(let choices):
      precision = choices.precision
      start = .model(try file(.model))
      training = try self.training(choices, preset: .scratchLow)
      training.sparsityRate = choices.sparsityRate > 0 ? choices.sparsityRate : nil
      training.fading = try ChannelFading(choices)
      recipe = try Recipe(choices)
    case .finetune(let choices):
      precision = choices.precision
      start = .model(try file(.model))
      recipe = try Recipe(choices)
      training = try self.training(choices, preset: recipe == .auto ? .scratchLow : .finetunePrune)
      if choices.distill != FinetuneStage.noTeacher { teacher = try file(.teacher) }
    case .prune, .evaluate, .benchmark: return nil
    }
    return TrainRequest(
      start: start, checkpoint: input(.resume), dataset: try dataset(), configuration: training,
      teacher: teacher, recipe: recipe, outputDirectory: directory, machine: try machine(precision))
  }

  /// - Parameter preset: the hyper-parameters where the sweep names none.
  func training<Stage: EpochStage>(
    _ choices: Choices<Stage>, preset: Hyperparameters, fitsAnchors: Bool = false
  ) throws -> TrainingConfiguration {
    let named = try choices.hyp.map { name throws(TrainingError) in try Hyperparameters(preset: name) }
    return TrainingConfiguration(
      epochs: choices.epochs, batchSize: choices.batchSize, nominalBatchSize: choices.nominalBatchSize,
      imageSize: choices.imageSize,
      hyperparameters: try input(.hyp).map { try Hyperparameters(hypYAMLPath: $0) } ?? named ?? preset,
      optimizer: try known(choices.optimizer, .optimizer), patience: choices.patience == 0 ? nil : choices.patience,
      fitsAnchors: fitsAnchors, frozenLayers: choices.freeze, usesImageWeights: choices.imageWeights,
      isMultiScale: choices.multiScale, isRectangular: choices.rect, seed: UInt64(choices.seed))
  }
}

extension Recipe {
  fileprivate init(_ choices: Choices<some EpochStage>) throws {
    self = try choices.recipe.map { try known($0.rawValue, .recipe) } ?? .yolov5
  }
}

extension ChannelFading {
  /// nil where no channels are to fade.
  fileprivate init?(_ choices: Choices<SparsifyStage>) throws {
    guard choices.target > 0 else { return nil }
    var method = Self.standardMethod
    if let importance = choices.importance { method.importance = try known(importance.rawValue, .importance) }
    if let channels = choices.minimumChannels { method.minimumChannels = channels }
    if let multiple = choices.roundTo { method.roundTo = multiple }
    self.init(ratio: choices.target, method: method)
  }
}

extension PruneAmount {
  init(_ choices: Choices<PruneStage>) {
    let roundsLeft = choices.roundsLeft
    if let count = choices.targetParameters {
      self = .target(.parameters(count), roundsLeft: roundsLeft)
    } else if let limit = choices.targetGFLOPs {
      self = .target(.gflops(limit), roundsLeft: roundsLeft)
    } else {
      self = .ratio(choices.pruneRatio)
    }
  }
}

/// The word of a vocabulary that the learning tower has.
private func known<Word: RawRepresentable & CaseIterable>(
  _ text: String, _ kind: SettingRule.Vocabulary
) throws(StageRefusal) -> Word where Word.RawValue == String {
  if let word = Word(rawValue: text) { return word }
  throw StageRefusal(unknown(kind.rawValue, text, among: Word.allCases.map(\.rawValue)))
}
