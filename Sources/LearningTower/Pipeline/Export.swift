import Interchange
import Network
import Platform

/// Writes a model for other runtimes: `export`.
public struct ExportRequest: Sendable, Hashable {
  public var model: String
  /// Where the ONNX file goes.
  public var output: String
  public var options: ONNXModel.Options
  /// Where an input and what it gives here go, as safetensors under the ONNX file's names; nil: nowhere.
  public var sample: String?
  /// For the sample.
  public var machine: Machine

  public init(
    model: String, output: String, options: ONNXModel.Options = .init(), sample: String? = nil,
    machine: Machine = Machine(threads: 1)
  ) {
    self.model = model
    self.output = output
    self.options = options
    self.sample = sample
    self.machine = machine
  }
}

public struct ExportReport: Sendable, Hashable, Codable {
  public var model: String
  public var output: String
  public var opset: Int
  /// nil: as many images as are handed in.
  public var batch: Int?
  /// The longer side, in pixels.
  public var imageSize: Int
  public var imageHeight: Int
  public var imageWidth: Int
  public var classes: Int
  public var sizeMegabytes: Double

  enum CodingKeys: String, CodingKey {
    case model, output, opset, batch, classes
    case imageSize = "image_size"
    case imageHeight = "image_height"
    case imageWidth = "image_width"
    case sizeMegabytes = "size_mb"
  }
}

/// - Throws: the error of the module at fault, `PipelineError` for an image size that is no multiple of the stride.
public func export(_ request: ExportRequest) throws -> ExportReport {
  try refuseOverwriting([request.output] + [request.sample].compactMap { $0 }, ofInputs: [request.model])
  let model = try Model.read(request.model)
  for size in [request.options.imageHeight, request.options.imageWidth] {
    try requireImageSize(size, stride: model.network.detect.strides.max() ?? 32)
  }
  let bytes = try ONNXModel(model, options: request.options).write(to: request.output)
  if let sample = request.sample {
    let content = try ExportSample(model, options: request.options, runtime: try request.machine.runtime()).content
    try Safetensors.write(content, to: sample)
  }
  var batch: Int?
  if case .fixed(let images) = request.options.batch { batch = images }
  return ExportReport(
    model: model.network.name, output: request.output, opset: request.options.opset, batch: batch,
    imageSize: max(request.options.imageHeight, request.options.imageWidth), imageHeight: request.options.imageHeight,
    imageWidth: request.options.imageWidth, classes: model.network.detect.classCount,
    sizeMegabytes: Double(bytes) / 1e6)
}
