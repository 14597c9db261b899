import Interchange
import Network
import Platform
import Zoo

/// Writes a model file from weights that say less: `import`.
public struct ImportRequest: Sendable, Hashable {
  /// YOLOv5's weights, a model file, or a network's name; the latter is newly initialised.
  public var model: String
  /// The number of classes of a network that is given by name.
  public var classCount: Int
  /// A file with weights that a named network begins with where they fit, such as an image classifier's.
  public var weights: String?
  /// Which network the weights are of; nil: the file says so, or they are of one of the zoo.
  public var architecture: Architecture?
  /// A YOLOv5 `data.yaml` that names the classes; nil: the weights do, if anything does.
  public var dataset: String?
  /// Where the model file goes.
  public var output: String
  /// Half the size, at eleven bits of precision: how YOLOv5 saves its final models.
  public var isHalfPrecision: Bool

  public init(
    model: String, classCount: Int = 80, weights: String? = nil, architecture: Architecture? = nil,
    dataset: String? = nil, output: String,
    isHalfPrecision: Bool = false
  ) {
    self.model = model
    self.classCount = classCount
    self.weights = weights
    self.architecture = architecture
    self.dataset = dataset
    self.output = output
    self.isHalfPrecision = isHalfPrecision
  }
}

/// - Parameter onNote: called with what was taken of the weights, and what of their own words was not followed.
/// - Throws: the error of the module at fault, `PipelineError` for class names that are not the network's.
public func importModel(_ request: ImportRequest, onNote: (String) -> Void = { _ in }) throws -> ModelInfo {
  var inputs = [request.model] + [request.dataset, request.weights].compactMap { $0 }
  if case .modelFile(let path)? = request.architecture?.source { inputs.append(path) }
  try refuseOverwriting([request.output], ofInputs: inputs)
  var model =
    Model.isWeightsFile(request.model)
    ? try Model.read(
      request.model, architecture: request.architecture, namesIn: request.dataset, onNote: onNote)
    : try Model.named(request.model, classCount: request.classCount, namesIn: request.dataset)
  if let weights = request.weights {
    let (transfer, remark) = try transferring(
      weights, into: model.network, of: Model.architecture(request.model), initial: model.parameters)
    onNote(remark)
    model.parameters = transfer.parameters
  }
  try model.write(to: request.output, as: request.isHalfPrecision ? .float16 : .float32)
  return try modelInfo(request.output)
}
