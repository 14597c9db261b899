import Dataset
import Interchange
import Network
import Wording
import Zoo

/// A network with its parameters, from wherever they come.
enum Model {
  /// Reads a model file of ours, or bare YOLOv5 weights.
  /// - Parameters:
  ///   - architecture: which network bare weights are of; nil: one of the zoo.
  ///   - dataset: a `data.yaml` whose class names take the place of the file's own.
  ///   - onNote: called with what of the file's own words was not followed.
  static func read(
    _ path: String, architecture: Architecture? = nil, namesIn dataset: String? = nil,
    onNote: (String) -> Void = { _ in }
  ) throws -> ModelFile {
    try ModelFile.read(
      path,
      networkOf: { try architecture?.network(matching: $0) ?? Zoo.matching($0) },
      classNames: { network, own in
        guard let dataset else { return try ModelFile.ownClassNames(network, own) }
        let names = try classNames(in: dataset, for: network, model: path)
        switch own {
        case .success(let others)? where others != names:
          let more = others.count > 5 ? " and \(others.count - 5) more" : ""
          onNote(
            "classes are called as \(dataset) says; \(path) says \(others.prefix(5).joined(separator: ", "))\(more)")
        case .failure(let error)?:
          onNote("classes are called as \(dataset) says; \(path) \(error.reason.prefix { $0 != ";" })")
        default: break
        }
        return names
      })
  }

  /// Takes `model` as a file's path if it looks like one, else as a name of the zoo; a network without weights is newly
  /// initialised.
  static func named(
    _ model: String, classCount: Int, namesIn dataset: String? = nil, seed: UInt64 = 0
  ) throws -> ModelFile {
    if isWeightsFile(model) { return try read(model, namesIn: dataset) }
    let network = try architecture(model).network(classCount: classCount)
    return ModelFile(
      network: network, parameters: network.initialParameters(seed: seed),
      classNames: try dataset.map { try classNames(in: $0, for: network, model: model) }
        ?? ModelFile.ownClassNames(network, nil))
  }

  /// Which network a name of the zoo or the path of a YOLOv5 model file means.
  static func architecture(_ model: String) throws(NetworkError) -> Architecture {
    model.hasSuffix(".yaml") || model.hasSuffix(".yml")
      ? Architecture(.modelFile(model)) : try Architecture(named: model)
  }

  static func isWeightsFile(_ model: String) -> Bool {
    if model.hasSuffix(".yaml") || model.hasSuffix(".yml") { return false }
    return model.contains("/") || model.hasSuffix(".safetensors") || model.hasSuffix(".pt")
  }

  private static func classNames(in dataset: String, for network: Network, model: String) throws -> [String] {
    let names = try DatasetDescription.classNames(inFile: dataset)
    let classCount = network.detect.classCount
    guard names.count == classCount else {
      throw PipelineError("\(model) detects \(counted(classCount, "class")), \(dataset) names \(names.count)")
    }
    return names
  }
}

/// Returns a remark on a model whose classes have other names than those of a data set; nil if they agree, or if one
/// side has no names of its own.
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
