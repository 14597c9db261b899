import Dataset
import Evaluation
import Foundation
import Interchange
import Network
import Platform
import Settings
import Wording

/// A request to measure a model on a data set: the stage `evaluate` and the command `val`.
public struct EvaluateRequest: Sendable, Hashable, Codable {
  /// A model file's path, or bare YOLOv5 weights.
  public var model: String
  /// A YOLOv5 `data.yaml`.
  public var dataset: String
  /// `train`, `val` or `test`.
  public var split: String
  public var imageSize: Int
  public var batchSize: Int
  /// Batches of like shapes rather than squares.
  public var isRectangular: Bool
  public var machine: Machine
  /// An existing folder for plots and `predictions.json`; nil: none are made.
  public var outputDirectory: String?
  /// Confusion matrix, curves and label statistics.
  public var isPlotting = true
  /// The detections in COCO's results format.
  public var savesJSON = false
  /// COCO's figures too.
  public var measuresCOCO = false
  /// A file of COCO's annotations to measure them by; nil: the data set's labels.
  public var annotations: String?

  public init(
    model: String, dataset: String, split: String = "val", imageSize: Int = 640, batchSize: Int = 32,
    isRectangular: Bool = true, machine: Machine, outputDirectory: String? = nil
  ) {
    self.model = model
    self.dataset = dataset
    self.split = split
    self.imageSize = imageSize
    self.batchSize = batchSize
    self.isRectangular = isRectangular
    self.machine = machine
    self.outputDirectory = outputDirectory
  }
}

/// A model's worth and size.
public struct EvaluationReport: Sendable, Hashable, Codable {
  public struct PerClass: Sendable, Hashable, Codable {
    public var name: String
    public var labels: Int
    public var precision: Double
    public var recall: Double
    public var f1: Double
    public var map50: Double
    public var map50_95: Double
  }

  public var images: Int
  public var labels: Int
  public var precision: Double
  public var recall: Double
  /// Mean over the classes.
  public var f1: Double
  public var map50: Double
  public var map50_95: Double
  /// The confidence at which precision, recall and F1 are taken: where the mean F1 is best.
  public var bestConfidence: Double
  /// Classes that have labels in the split.
  public var perClass: [PerClass]
  public var parameters: Int
  public var parametersFused: Int
  /// At the size evaluated.
  public var gflops: Double
  public var sizeMegabytes: Double
  /// Remarks on the data set for whoever reads the result, such as images left out; nil if there are none.
  public var remarks: [String]?
  /// When asked for.
  public var coco: COCOSummary?
  /// The files that were written, in the order of making.
  public var files: [String]?

  enum CodingKeys: String, CodingKey {
    case images, labels, precision, recall, f1, map50, map50_95, parameters, gflops, coco, files, remarks
    case bestConfidence = "best_confidence"
    case perClass = "per_class"
    case parametersFused = "parameters_fused"
    case sizeMegabytes = "size_mb"
  }
}

extension EvaluateRequest {
  /// The files that are written.
  fileprivate var outputs: [String] {
    guard outputDirectory != nil else { return [] }
    let plots = ["confusion_matrix.svg", "labels.svg"] + CurvePlot.Kind.allCases.map(\.fileName)
    return ((isPlotting ? plots : []) + (savesJSON ? ["predictions.json"] : [])).map(output)
  }

  fileprivate func output(_ name: String) -> String {
    URL(filePath: outputDirectory ?? ".").appending(path: name).relativePath
  }
}

extension CurvePlot.Kind {
  fileprivate var fileName: String { "\(rawValue)_curve.svg" }
}

/// Validates a model as YOLOv5's `val.py` does.
/// - Parameters:
///   - check: finds damaged images first; nil: the data set is taken as it is.
///   - onProgress: called after each batch with the images done so far and their total.
public func evaluate(
  _ request: EvaluateRequest, checking check: ImageCheck? = nil,
  onProgress: (_ done: Int, _ total: Int) throws -> Void = { _, _ in }
) throws -> EvaluationReport {
  let model = try Model.read(request.model)
  let description = try DatasetDescription.load(request.dataset)
  guard model.network.detect.classCount == description.classCount else {
    throw PipelineError(
      "\(request.model) detects \(counted(model.network.detect.classCount, "class")), "
        + "the data set has \(description.classCount)")
  }
  guard let split = DatasetDescription.Split(rawValue: request.split) else {
    let known = DatasetDescription.Split.allCases.map(\.rawValue).joined(separator: ", ")
    throw PipelineError("no split is called ‘\(request.split)’; there are \(known)")
  }
  let stride = model.network.detect.strides.max() ?? 32
  try require(EvaluateStage.all.group.batchSize, request.batchSize)
  try requireImageSize(request.imageSize, stride: stride)
  try refuseOverwriting(
    request.outputs, ofInputs: [request.model] + [request.annotations].compactMap { $0 } + description.files())

  var options = ValidationLoader.Options(
    imageSize: request.imageSize, batchSize: request.batchSize, isRectangular: request.isRectangular)
  options.stride = stride
  options.workers = max(1, request.machine.threads / 2)
  options.cacheBytes = 0  // Every image is read once.
  let contents = try description.contents(of: split, checking: check)
  let loader = ValidationLoader(images: contents.images, options: options)
  var evaluator = try Evaluator(model.network, model.parameters, runtime: request.machine.runtime())
  var coco: COCOResults?
  if request.savesJSON || request.measuresCOCO {
    let annotations = try request.annotations.map {
      try COCOAnnotations($0, classNames: description.classNames)
    }
    coco = COCOResults(classNames: description.classNames, annotations: annotations)
  }
  let result = try evaluator.evaluate(loader, onImage: { try coco?.add($0, $1) }, onBatch: onProgress)
  let metrics = result.metrics
  let info = try ModelInfo(model.network, imageSize: request.imageSize)
  var report = EvaluationReport(
    images: metrics.imageCount, labels: metrics.labelCount, precision: metrics.precision, recall: metrics.recall,
    f1: metrics.f1, map50: metrics.map50, map50_95: metrics.map50_95, bestConfidence: metrics.bestConfidence,
    perClass: metrics.perClass.map { item in
      EvaluationReport.PerClass(
        name: description.classNames[item.classIndex], labels: item.labelCount, precision: item.precision,
        recall: item.recall, f1: item.f1, map50: item.map50, map50_95: item.map50_95)
    },
    parameters: info.parameters, parametersFused: info.parametersFused, gflops: info.gflops,
    sizeMegabytes: info.sizeMegabytes)
  let remarks =
    contents.remarks(on: split)
    + [classNameRemark(of: request.model, model.classNames, request.dataset, description.classNames)].compactMap { $0 }
  if !remarks.isEmpty { report.remarks = remarks }
  if request.measuresCOCO { report.coco = coco?.summary() }
  if let output = request.outputDirectory {
    try makeFolder(output)
    var files: [(name: String, text: String)] = []
    if request.isPlotting { files += plots(result, loader.images, classNames: description.classNames) }
    if request.savesJSON, let coco {
      files.append(("predictions.json", try coco.json()))
    }
    report.files = try files.map { name, text in
      let path = request.output(name)
      try writeText(text, to: path)
      return path
    }
  }
  return report
}

private func plots(
  _ result: EvaluationResult, _ images: [LabelledImage], classNames: [String]
) -> [(name: String, text: String)] {
  let labels = LabelStatistics(images, classCount: classNames.count)
  return [
    ("confusion_matrix.svg", result.confusion.svg(classNames: classNames)),
    ("labels.svg", labels.svg(classNames: classNames)),
  ]
    + CurvePlot.Kind.allCases.map { kind in
      (kind.fileName, CurvePlot(kind, result.curves, classNames: classNames).svg)
    }
}
