import Interchange
import Network
import Zoo

/// The facts about a model that need no run of it: `model info`.
public struct ModelInfo: Sendable, Hashable, Codable {
  public struct Layer: Sendable, Hashable, Codable {
    public var path: String
    public var type: String
    public var parameters: Int
    /// `C × H × W` of its output; the detection head has one per level.
    public var outputs: [[Int]]
  }

  public var model: String
  public var classes: Int
  public var imageSize: Int
  public var parameters: Int
  /// Once batch norms are folded where YOLOv5's `fuse()` does so: what it publishes.
  public var parametersFused: Int
  /// At `imageSize`, counted as YOLOv5 counts.
  public var gflops: Double
  public var gflopsFused: Double
  /// The module count that YOLOv5 prints.
  public var layers: Int
  public var layersFused: Int
  /// In half precision, as YOLOv5 saves.
  public var sizeMegabytes: Double
  public var table: [Layer]

  enum CodingKeys: String, CodingKey {
    case model, classes, parameters, gflops, layers, table
    case imageSize = "image_size"
    case parametersFused = "parameters_fused"
    case gflopsFused = "gflops_fused"
    case layersFused = "layers_fused"
    case sizeMegabytes = "size_mb"
  }

  init(_ network: Network, imageSize: Int) throws {
    let fused = network.folded(.yolov5)
    model = network.name
    classes = network.detect.classCount
    self.imageSize = imageSize
    parameters = network.parameterCount
    parametersFused = fused.parameterCount
    gflops = try network.gflops(imageSize: imageSize)
    gflopsFused = try fused.gflops(imageSize: imageSize)
    layers = network.moduleCount
    layersFused = fused.moduleCount
    sizeMegabytes = network.sizeMegabytes
    table = try network.layers(height: imageSize, width: imageSize).map { layer in
      Layer(
        path: layer.path, type: layer.type, parameters: layer.parameterCount,
        outputs: layer.outputs.map { [$0.channels, $0.height, $0.width] })
    }
  }
}

/// - Parameter classCount: nil takes the model file's own, or COCO's 80.
public func modelInfo(_ architecture: Architecture, classCount: Int? = nil, imageSize: Int = 640) throws -> ModelInfo {
  try requireImageSize(imageSize, stride: 32)
  return try ModelInfo(architecture.network(classCount: classCount), imageSize: imageSize)
}

/// - Parameter model: a model file's path or a name of the zoo.
public func modelInfo(_ model: String, classCount: Int = 80, imageSize: Int = 640) throws -> ModelInfo {
  let network = try Model.named(model, classCount: classCount).network
  try requireImageSize(imageSize, stride: network.detect.strides.max() ?? 32)
  return try ModelInfo(network, imageSize: imageSize)
}
