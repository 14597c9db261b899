import Compute
import Dataset
import Detection
import Foundation
import JSON
import Pipeline
import Pruning
import Sweep
import Training
import Zoo

/// The door between the towers, from the fleet's plain request to the pipeline's typed one and back.
struct PipelineStageRunner: StageRunner {
  func run(_ request: StageRequest, report: (StageEvent) throws -> Void) throws {
    switch request.stage {
    case .train, .sparsify, .finetune: try train(request, report)
    case .prune: try prune(request, report)
    case .evaluate: try evaluate(request, report)
    case .benchmark: try benchmark(request, report)
    }
  }

  private func train(_ request: StageRequest, _ report: (StageEvent) throws -> Void) throws {
    let trainRequest = TrainRequest(
      start: request.stage == .train
        ? .new(try request.architecture(), weights: request.input(.weights))
        : .model(try request.file(.model)),
      checkpoint: request.input(.resume), dataset: try request.dataset(), configuration: try request.training(),
      outputDirectory: request.directory, machine: try request.machine())
    func forward(_ event: RunEvent) throws {
      switch event {
      case .started(let epochs, _): try report(.started(epochs: epochs))
      case .epoch(let summary, let timing, let epochs): try report(.epoch(epochMetrics(summary, timing, epochs)))
      case .checkpoint(let path, let epoch): try report(.checkpoint(epoch: epoch, file: fileName(path)))
      case .remark(let text): printError(text)
      case .finished: break
      }
    }
    let result = try Pipeline.train(trainRequest, onEvent: forward)
    guard let model = result.model else { throw WorkError("the run ended without a model") }
    var metrics: [String: Double] = ["epochs": Double(result.completedEpochs)]
    metrics["map50"] = result.map50
    metrics["map50_95"] = result.map50_95
    metrics["best_epoch"] = result.bestEpoch.map(Double.init)
    try report(
      .finished(StageOutput(metrics: metrics, files: [.model: fileName(model), .epochs: fileName(result.results)])))
  }

  private func epochMetrics(_ summary: EpochSummary, _ timing: EpochTiming, _ epochs: Int) -> EpochMetrics {
    EpochMetrics(
      epoch: summary.epoch, epochs: epochs, seconds: timing.trainingSeconds + timing.validationSeconds,
      values: [
        "box_loss": Double(summary.loss.box), "objectness_loss": Double(summary.loss.objectness),
        "class_loss": Double(summary.loss.classification), "precision": summary.precision, "recall": summary.recall,
        "map50": summary.map50, "map50_95": summary.map50_95, "learning_rate": summary.learningRates.weights,
      ])
  }

  private func prune(_ request: StageRequest, _ report: (StageEvent) throws -> Void) throws {
    let output = request.path("model.safetensors")
    let model = try request.file(.model)
    do {
      let plan = try pruningPlan(try request.pruning(of: model))
      for remark in plan.remarks { printError("prune: \(remark)") }
      let pruned = try Pipeline.prune(model, by: plan, to: output)
      try writePlan(plan, to: request.path("report.json"))
      try report(
        .finished(StageOutput(metrics: pruned.metrics, files: [.model: fileName(output), .report: "report.json"])))
    } catch let error as PruningError {
      // The same model and the same request fail the same way on every box.
      throw StageRefusal(error.message)
    }
  }

  private func evaluate(_ request: StageRequest, _ report: (StageEvent) throws -> Void) throws {
    let evaluation = try Pipeline.evaluate(
      EvaluateRequest(
        model: try request.file(.model), dataset: try request.dataset(), imageSize: try request.int("image_size"),
        batchSize: try request.int("batch_size"), machine: try request.machine()))
    try write(evaluation, to: request.path("report.json"))
    try report(.finished(StageOutput(metrics: evaluation.metrics, files: [.report: "report.json"])))
  }

  private func benchmark(_ request: StageRequest, _ report: (StageEvent) throws -> Void) throws {
    var machine = try request.machine()
    machine.threads = try request.int("threads")
    let benchmark = try Pipeline.benchmark(
      BenchmarkRequest(
        model: try request.file(.model), imageSize: try request.int("image_size"),
        iterations: try request.int("iterations"), machine: machine))
    try write(benchmark, to: request.path("report.json"))
    try report(.finished(StageOutput(metrics: benchmark.metrics, files: [.report: "report.json"])))
  }

  private func write(_ value: some Encodable, to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try encoder.encode(value).write(to: URL(filePath: path), options: .atomic)
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

  fileprivate func value<Value>(_ key: String, _ read: (PlainValue) -> Value?) throws -> Value {
    guard let value = configuration[key].flatMap(read) else {
      throw WorkError("\(stage.rawValue): the request has no usable \(key)")
    }
    return value
  }

  fileprivate func string(_ key: String) throws -> String { try value(key, \.string) }
  fileprivate func int(_ key: String) throws -> Int { try value(key, \.int) }
  fileprivate func double(_ key: String) throws -> Double { try value(key, \.double) }

  /// The network that the stage `train` begins with.
  fileprivate func architecture() throws -> Architecture {
    let backbone = try string("backbone")
    guard let file = input(.network) else { return try Architecture(named: backbone) }
    let name = URL(filePath: backbone).deletingPathExtension().lastPathComponent
    return Architecture(.modelFile(file), name: name)
  }

  fileprivate func machine() throws -> Machine {
    let backend = try backend.map { name in
      guard let backend = Runtime.Backend(rawValue: name) else { throw WorkError("no backend '\(name)'") }
      return backend
    }
    return Machine(threads: threads, backend: backend)
  }

  fileprivate func pruning(of model: String) throws -> PruneRequest {
    func known<Word: RawRepresentable>(_ key: String, _: Word.Type) throws -> Word? where Word.RawValue == String {
      guard configuration[key] != nil else { return nil }
      return try value(key) { $0.string.flatMap(Word.init(rawValue:)) }
    }
    let roundsLeft = configuration["rounds_left"]?.int ?? 1
    let amount: PruneAmount =
      if configuration["target_parameters"] != nil {
        .target(.parameters(try int("target_parameters")), roundsLeft: roundsLeft)
      } else if configuration["target_gflops"] != nil {
        .target(.gflops(try double("target_gflops")), roundsLeft: roundsLeft)
      } else {
        .ratio(try double("prune_ratio"))
      }
    return PruneRequest(
      model: model, amount: amount, policy: try known("policy", PruningPolicy.self),
      importance: try known("importance", Importance.self) ?? .gamma,
      seed: UInt64(clamping: configuration["seed"]?.int ?? 0), minimumChannels: configuration["min_channels"]?.int,
      roundTo: configuration["round_to"]?.int ?? 1)
  }

  private var frozenLayers: [Int] {
    guard case .array(let layers) = configuration["freeze"] else { return [] }
    return layers.compactMap(\.int)
  }

  fileprivate func training() throws -> TrainingConfiguration {
    let patience = try int("patience")
    let preset = configuration["hyp"]?.string ?? (stage == .finetune ? "finetune_prune" : "scratch-low")
    return TrainingConfiguration(
      epochs: try int("epochs"), batchSize: try int("batch_size"),
      nominalBatchSize: try int("nominal_batch_size"), imageSize: try int("image_size"),
      hyperparameters: try input(.hyp).map { try Hyperparameters(hypYAMLPath: $0) } ?? hyperparameters(preset),
      optimizer: try optimizer(try string("optimizer")), patience: patience == 0 ? nil : patience,
      sparsityRate: stage == .sparsify ? try double("sparsity_rate") : nil, fitsAnchors: stage == .train,
      frozenLayers: frozenLayers, usesImageWeights: configuration["image_weights"]?.bool ?? false,
      isMultiScale: configuration["multi_scale"]?.bool ?? false, isRectangular: configuration["rect"]?.bool ?? false,
      seed: UInt64(try int("seed")))
  }
}
