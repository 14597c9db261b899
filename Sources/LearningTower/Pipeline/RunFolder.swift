import Compute
import Detection
import Evaluation
import Foundation
import Training
import YAML
import Zoo

/// The folder of one run of epochs: the model once it is finished, the newest checkpoint until somebody removes it, and
/// what people and their scripts know from YOLOv5: `results.csv`, `opt.yaml`, `hyp.yaml`, a picture of the labels and
/// one of the epochs, a log for TensorBoard.
public struct RunFolder {
  private let url: URL
  private let events: EventLog

  public static func checkpoint(in folder: String) -> String {
    URL(filePath: folder).appending(path: "checkpoint.safetensors").path
  }

  public static func results(in folder: String) -> String {
    URL(filePath: folder).appending(path: "results.csv").path
  }

  public static func model(in folder: String) -> String {
    URL(filePath: folder).appending(path: "model.safetensors").path
  }

  /// All files that a run makes but the log for TensorBoard, whose name no other program uses.
  public static func files(in folder: String) -> [String] {
    [
      "checkpoint.safetensors", "model.safetensors", "results.csv", "results.svg", "labels.svg", "opt.yaml", "hyp.yaml",
    ].map { URL(filePath: folder).appending(path: $0).path }
  }

  var checkpoint: String { Self.checkpoint(in: url.path) }
  var model: String { Self.model(in: url.path) }
  var results: String { Self.results(in: url.path) }
  private var resultsPlot: String { url.appending(path: "results.svg").path }

  /// Begins the records of a run, or goes on with those of an interrupted one.
  /// - Parameter history: the epochs the run has completed.
  init(_ request: TrainRequest, _ data: TrainingData, history: [EpochSummary], wallTimeSeconds: Double) throws {
    url = URL(filePath: request.outputDirectory)
    try makeFolder(request.outputDirectory)
    events = try EventLog(folder: url, history: history, wallTimeSeconds: wallTimeSeconds)
    try writeText(ResultsCSV.text(history), to: results)
    let labels = LabelStatistics(data.training, classCount: data.classNames.count)
    try writeText(labels.svg(classNames: data.classNames), to: url.appending(path: "labels.svg").path)
    try writeText(request.yolov5Options.yamlText, to: url.appending(path: "opt.yaml").path)
    try writeText(request.configuration.hyperparameters.yaml.yamlText, to: url.appending(path: "hyp.yaml").path)
  }

  /// - Parameter history: up to the epoch that has just been completed. `results.csv` is written anew with each, so
  ///   that it has every epoch once, however often the run was interrupted.
  func record(_ history: [EpochSummary], wallTimeSeconds: Double) throws {
    try writeText(ResultsCSV.text(history), to: results)
    try writeText(ResultsPlot.svg(history), to: resultsPlot)
    if let epoch = history.last { try events.append(epoch, wallTimeSeconds: wallTimeSeconds) }
  }
}

extension TrainRequest {
  /// The run's options under the names of YOLOv5 v7.0's `opt.yaml`, as far as they exist here; then our own. `sr` is
  /// the pruning study's name.
  var yolov5Options: YAMLValue {
    let c = configuration
    let folder = URL(filePath: outputDirectory)
    let (weights, cfg, multiples): (String, String, Architecture?) =
      switch start {
      case .new(let architecture, let weights): (weights ?? "", architecture.title, architecture)
      case .model(let path): (path, "", nil)
      }
    func entry(_ key: String, _ value: YAMLValue) -> YAMLValue.Entry { YAMLValue.Entry(key, value) }
    return .mapping([
      entry("weights", .string(weights)),
      entry("cfg", .string(cfg)),
      entry("data", .string(dataset)),
      entry("hyp", c.hyperparameters.yaml),
      entry("epochs", .int(c.epochs)),
      entry("batch_size", .int(c.batchSize)),
      entry("imgsz", .int(c.imageSize)),
      entry("rect", .bool(c.isRectangular)),
      entry("resume", checkpoint.map { .string($0) } ?? false),
      entry("noautoanchor", .bool(!c.fitsAnchors)),
      entry("image_weights", .bool(c.usesImageWeights)),
      entry("device", "cpu"),
      entry("multi_scale", .bool(c.isMultiScale)),
      entry("optimizer", .string(c.optimizer.rawValue)),
      entry("workers", .int(loaderWorkers)),
      entry("project", .string(folder.deletingLastPathComponent().relativePath)),
      entry("name", .string(folder.lastPathComponent)),
      entry("cos_lr", .bool(c.curve == .cosine)),
      entry("label_smoothing", .double(c.hyperparameters.loss.labelSmoothing)),
      entry("patience", .int(c.patience ?? 0)),
      entry("freeze", .sequence(c.freezeOption.map { .int($0) })),
      entry("save_period", .int(checkpointInterval > 0 ? checkpointInterval : -1)),
      entry("seed", .int(Int(clamping: c.seed))),
      entry("save_dir", .string(outputDirectory)),
      entry("width", multiples.map { .double($0.width) } ?? nil),
      entry("depth", multiples.map { .double($0.depth) } ?? nil),
      entry("nominal_batch_size", .int(c.nominalBatchSize)),
      entry("teacher", teacher.map { .string($0) } ?? nil),
      entry("recipe", .string(recipe.rawValue)),
      entry("warmup_batches", c.minimumWarmupBatches.map { .int($0) } ?? nil),
      entry("close_mosaic", c.plainEpochs.map { .int($0) } ?? nil),
      entry("sparsify_target", c.fading.map { .double($0.ratio) } ?? nil),
      entry("sr", c.sparsityRate.map { .double($0) } ?? nil),
      entry("backend", machine.backend.map { .string($0.rawValue) } ?? nil),
      entry("threads", .int(machine.threads)),
    ])
  }
}

extension TrainRequest {
  /// Options that say where a run lies, what it starts from and computes with, rather than how it trains; and
  /// `label_smoothing`, which `hyp.yaml` has too.
  private static let placeOptions: Set = [
    "weights", "cfg", "data", "label_smoothing", "resume", "device", "workers", "project", "name", "save_period",
    "save_dir", "width",
    "depth", "teacher", "recipe", "backend", "threads",
  ]

  /// Everything that decides how the run trains, under the names of `opt.yaml` and, after these, `hyp.yaml`.
  public var settings: [(key: String, value: String)] {
    guard case .mapping(let options) = yolov5Options, case .mapping(let hyp) = configuration.hyperparameters.yaml else {
      return []
    }
    let chosen = options.filter { $0.key != "hyp" && !Self.placeOptions.contains($0.key) }
    return (chosen + hyp).map { entry in
      (entry.key, entry.value == .null ? "-" : String(entry.value.yamlText.dropLast()))
    }
  }
}

extension TrainingConfiguration {
  /// As `--freeze` takes it: one number is how many of the first layers, several are which ones.
  fileprivate var freezeOption: [Int] {
    if frozenLayers == Array(0..<frozenLayers.count) { return [frozenLayers.count] }
    return frozenLayers.count == 1 ? frozenLayers + frozenLayers : frozenLayers
  }
}
