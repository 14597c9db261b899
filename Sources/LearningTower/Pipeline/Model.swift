import Interchange
import Network
import Zoo

/// A network with its parameters, from wherever they come.
enum Model {
  /// A model file of ours, or bare YOLOv5 weights of a network of the zoo.
  static func read(_ path: String) throws -> ModelFile {
    try ModelFile.read(path) { try Zoo.matching($0) }
  }

  /// `model` as a file's path if it looks like one, else as a name of the zoo; a network without weights newly
  /// initialised.
  static func named(_ model: String, classCount: Int, seed: UInt64 = 0) throws -> ModelFile {
    if model.hasSuffix(".yaml") || model.hasSuffix(".yml") {
      return new(try Architecture(.modelFile(model)).network(classCount: classCount), seed: seed)
    }
    if model.contains("/") || model.hasSuffix(".safetensors") || model.hasSuffix(".pt") { return try read(model) }
    return new(try Zoo.network(named: model, classCount: classCount), seed: seed)
  }

  private static func new(_ network: Network, seed: UInt64) -> ModelFile {
    ModelFile(
      network: network, parameters: network.initialParameters(seed: seed),
      classNames: (0..<network.detect.classCount).map { "class\($0)" })
  }
}
