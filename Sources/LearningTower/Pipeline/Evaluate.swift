import Dataset
import Evaluation
import Interchange
import Network

/// What to measure on a data set: the stage `evaluate` and `val`.
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

  public init(
    model: String, dataset: String, split: String = "val", imageSize: Int = 640, batchSize: Int = 32,
    isRectangular: Bool = true, machine: Machine
  ) {
    self.model = model
    self.dataset = dataset
    self.split = split
    self.imageSize = imageSize
    self.batchSize = batchSize
    self.isRectangular = isRectangular
    self.machine = machine
  }
}

/// A model's worth and size.
public struct EvaluationReport: Sendable, Hashable, Codable {
  public struct PerClass: Sendable, Hashable, Codable {
    public var name: String
    public var labels: Int
    public var precision: Double
    public var recall: Double
    public var map50: Double
    public var map50_95: Double
  }

  public var images: Int
  public var labels: Int
  public var precision: Double
  public var recall: Double
  public var map50: Double
  public var map50_95: Double
  /// Classes that have labels in the split.
  public var perClass: [PerClass]
  public var parameters: Int
  public var parametersFused: Int
  /// At the size evaluated.
  public var gflops: Double
  public var sizeMegabytes: Double

  enum CodingKeys: String, CodingKey {
    case images, labels, precision, recall, map50, map50_95, parameters, gflops
    case perClass = "per_class"
    case parametersFused = "parameters_fused"
    case sizeMegabytes = "size_mb"
  }

  /// By the names objectives use.
  public var metrics: [String: Double] {
    [
      "precision": precision, "recall": recall, "map50": map50, "map50_95": map50_95,
      "parameters": Double(parameters), "parameters_fused": Double(parametersFused), "gflops": gflops,
      "size_mb": sizeMegabytes,
    ]
  }
}

/// Validates a model as YOLOv5's `val.py` does.
/// - Parameter onProgress: called after each batch with the images done so far and their total.
public func evaluate(
  _ request: EvaluateRequest, onProgress: (_ done: Int, _ total: Int) throws -> Void = { _, _ in }
) throws -> EvaluationReport {
  let model = try Model.read(request.model)
  let description = try DatasetDescription.load(request.dataset)
  guard model.network.detect.classCount == description.classCount else {
    throw PipelineError(
      "\(request.model) detects \(model.network.detect.classCount) classes, the data set has \(description.classCount)")
  }
  guard let split = DatasetDescription.Split(rawValue: request.split) else {
    let known = DatasetDescription.Split.allCases.map(\.rawValue).joined(separator: ", ")
    throw PipelineError("no split is called ‘\(request.split)’; there are \(known)")
  }
  let stride = model.network.detect.strides.max() ?? 32
  guard (1...4096).contains(request.batchSize) else {
    throw PipelineError("batch size: \(request.batchSize) is not in 1 … 4096")
  }
  try requireImageSize(request.imageSize, stride: stride)

  var options = ValidationLoader.Options(
    imageSize: request.imageSize, batchSize: request.batchSize, isRectangular: request.isRectangular)
  options.stride = stride
  options.workers = max(1, request.machine.threads / 2)
  options.cacheBytes = 0  // Every image is read once.
  let loader = ValidationLoader(images: try description.contents(of: split).images, options: options)
  var evaluator = Evaluator(model.network, model.parameters, runtime: try request.machine.runtime())
  let metrics = try evaluator.evaluate(loader, onBatch: onProgress).metrics
  let info = try ModelInfo(model.network, imageSize: request.imageSize)
  return EvaluationReport(
    images: metrics.imageCount, labels: metrics.labelCount, precision: metrics.precision, recall: metrics.recall,
    map50: metrics.map50, map50_95: metrics.map50_95,
    perClass: metrics.perClass.map { item in
      EvaluationReport.PerClass(
        name: description.classNames[item.classIndex], labels: item.labelCount, precision: item.precision,
        recall: item.recall, map50: item.map50, map50_95: item.map50_95)
    },
    parameters: info.parameters, parametersFused: info.parametersFused, gflops: info.gflops,
    sizeMegabytes: info.sizeMegabytes)
}

func requireImageSize(_ size: Int, stride: Int) throws(PipelineError) {
  guard (stride...8192).contains(size), size % stride == 0 else {
    throw PipelineError("image size: \(size) is not a multiple of \(stride) pixels between \(stride) and 8192")
  }
}
