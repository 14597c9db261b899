import Dataset
import Interchange
import Network
import Platform

/// Writes a model file from weights that say less: `import`.
public struct ImportRequest: Sendable, Hashable {
  /// YOLOv5's weights, a model file, or a network's name; the latter is newly initialised.
  public var model: String
  /// Of a network's name.
  public var classCount: Int
  /// A YOLOv5 `data.yaml` that names the classes; nil: the weights do, if anything does.
  public var dataset: String?
  /// Where the model file goes.
  public var output: String
  /// Half the size, at eleven bits of precision: how YOLOv5 saves its final models.
  public var isHalfPrecision: Bool

  public init(
    model: String, classCount: Int = 80, dataset: String? = nil, output: String, isHalfPrecision: Bool = false
  ) {
    self.model = model
    self.classCount = classCount
    self.dataset = dataset
    self.output = output
    self.isHalfPrecision = isHalfPrecision
  }
}

/// - Throws: the error of the module at fault, `PipelineError` for class names that are not the network's.
public func importModel(_ request: ImportRequest) throws -> ModelInfo {
  try refuseOverwriting([request.output], ofInputs: [request.model] + [request.dataset].compactMap { $0 })
  var model = try Model.named(request.model, classCount: request.classCount)
  if let dataset = request.dataset { try model.takeClassNames(from: dataset, model: request.model) }
  try model.write(to: request.output, as: request.isHalfPrecision ? .float16 : .float32)
  return try modelInfo(request.output)
}

extension ModelFile {
  /// Takes over the names in a `data.yaml`.
  mutating func takeClassNames(from dataset: String, model: String) throws {
    classNames = try DatasetDescription.classNames(inFile: dataset)
    let classCount = network.detect.classCount
    guard classNames.count == classCount else {
      throw PipelineError("\(model) detects \(classCount) classes, \(dataset) names \(classNames.count)")
    }
  }
}
