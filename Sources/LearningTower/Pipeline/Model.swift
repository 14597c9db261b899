import Interchange
import Network
import Wording
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

/// What to say of a model whose classes have other names than those of a data set; nil if they agree, or if one side
/// has no names of its own.
func classNameRemark(
  of model: String, _ modelNames: [String], _ dataset: String, _ datasetNames: [String]
) -> String? {
  func isNamed(_ names: [String]) -> Bool { names != names.indices.map { "class\($0)" } }
  guard modelNames.count == datasetNames.count, isNamed(modelNames), isNamed(datasetNames),
    let index = modelNames.indices.first(where: { modelNames[$0] != datasetNames[$0] })
  else { return nil }
  let difference =
    Set(modelNames) == Set(datasetNames) ? "names the same classes in another order" : "has other class names"
  return "\(model) \(difference) than \(dataset): class \(index) is ‘\(modelNames[index].shortened())’ there and "
    + "‘\(datasetNames[index].shortened())’ here. Classes are compared by their numbers: "
    + "give the model's own data.yaml if the names do not mean the same"
}
