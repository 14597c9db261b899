import Network
import TestSupport
import Testing

@testable import Zoo

struct ClassifierTests {
  private static let names = Classifier.all.map(\.name)

  private func network(of classifier: Classifier) throws -> Network {
    try Zoo.network(named: classifier.family, classCount: 2)
  }

  /// The parameters of a classifier that has the shapes of the network here.
  private func parameters(of classifier: Classifier, like network: Network) -> Parameters {
    let specs = Dictionary(uniqueKeysWithValues: network.parameterSpecs.map { ($0.name, $0.shape) })
    var result = Parameters()
    for (index, pair) in classifier.modules.enumerated() {
      for leaf in ["weight", "bias", "running_mean", "running_var"] {
        guard var shape = specs["\(pair.here).\(leaf)"] else { continue }
        if shape.count == 2 { shape += [1, 1] }
        var tensor = Tensor(shape: shape)
        for place in tensor.values.indices {
          let value = deterministic(index * 1000 + place)
          tensor.values[place] = leaf == "running_var" ? 0.01 + abs(value) : value
        }
        result["\(pair.there).\(leaf)"] = tensor
      }
    }
    return result
  }

  private func deterministic(_ index: Int) -> Float { Float((index &* 7919) % 1013) / 506 - 1 }

  /// A misspelt row would leave a layer without its weights.
  @Test(arguments: names) func tablesHaveEveryModuleOfTheBackbone(name: String) throws {
    let classifier = Classifier.all.first { $0.name == name }!
    let network = try network(of: classifier)
    let here = Set(classifier.modules.map(\.here))
    #expect(Set(classifier.modules.map(\.there)).count == classifier.modules.count)
    let layers = here.map { Int($0.split(separator: ".")[1])! }.max()!
    let backbone = network.parameterSpecs.filter { Int($0.name.split(separator: ".")[1])! <= layers }
    let missing = backbone.filter { spec in
      !here.contains(spec.name.split(separator: ".").dropLast().joined(separator: "."))
    }
    #expect(missing.isEmpty, "\(missing.map(\.name))")
    let adapted = classifier.adapted(parameters(of: classifier, like: network), to: network)
    #expect(classifier.backboneShare(of: adapted, in: network) == 1)
    #expect(
      Classifier.of(parameters(of: classifier, like: network), for: Architecture(.family(classifier.family)))?.name
        == name)
  }

  /// From pictures in 0...1 the stem computes what the classifier's does from normalised ones, except at the border.
  @Test func theStemReadsPicturesAsTheyAre() throws {
    let classifier = Classifier.all[0]
    let network = try network(of: classifier)
    let theirs = parameters(of: classifier, like: network)
    var ours = network.initialParameters(seed: 1)
    ours.tensors.merge(classifier.adapted(theirs, to: network).tensors) { $1 }
    ours.tensors = ours.tensors.filter { name, _ in network.parameterSpecs.contains { $0.name == name } }
    let side = 32
    var images = Tensor(shape: [1, 3, side, side])
    for index in images.values.indices { images.values[index] = abs(deterministic(index)) }
    var executor = try ReferenceExecutor(network, ours)
    let norm = try #require(network.nodes.firstIndex { $0.name == "model.0.bn" })
    let map = try executor.run(images)[norm]

    func value(_ name: String, _ index: Int) -> Double { Double(theirs["features.0.\(name)"]!.values[index]) }
    for channel in 0..<32 {
      for (row, column) in [(1, 1), (7, 4), (14, 15)] {
        var sum = 0.0
        for colour in 0..<3 {
          for y in 0..<3 {
            for x in 0..<3 {
              let pixel = images.values[(colour * side + 2 * row + y - 1) * side + 2 * column + x - 1]
              let normalised = (Double(pixel) - classifier.mean[colour]) / classifier.deviation[colour]
              sum += normalised * value("0.weight", ((channel * 3 + colour) * 3 + y) * 3 + x)
            }
          }
        }
        let scale = value("1.weight", channel) / (value("1.running_var", channel) + 1e-5).squareRoot()
        let expected = (sum - value("1.running_mean", channel)) * scale + value("1.bias", channel)
        let actual = map.values[(channel * 16 + row) * 16 + column]
        #expect(abs(actual - expected) < 1e-4 * max(1, abs(expected)))
      }
    }
  }

  /// Squeeze-excite of another width is left out with its biases; that of the same is a linear layer here.
  @Test func squeezeExciteFitsWhereItIsAsWide() throws {
    let classifier = try #require(Classifier.all.first { $0.name == "timm's mobilenetv3_small_100" })
    let network = try network(of: classifier)
    var theirs = parameters(of: classifier, like: network)
    theirs["blocks.0.0.se.conv_reduce.weight"] = Tensor(shape: [8, 16, 1, 1])
    theirs["blocks.0.0.se.conv_expand.weight"] = Tensor(shape: [16, 8, 1, 1])
    let adapted = classifier.adapted(theirs, to: network)
    let transfer = ParameterTransfer(of: adapted, into: network, initial: network.initialParameters(seed: 1))
    #expect(transfer.misshapen.map(\.name) == ["model.1.conv.3.fc.0.weight", "model.1.conv.3.fc.2.weight"])
    #expect(adapted["model.1.conv.3.fc.2.bias"] == nil)
    let linear = try #require(adapted["model.4.conv.5.fc.0.weight"])
    #expect(linear.shape == [24, 96] && linear.values == theirs["blocks.2.0.se.conv_reduce.weight"]!.values)
    #expect(adapted["model.4.conv.5.fc.0.bias"] == theirs["blocks.2.0.se.conv_reduce.bias"])
  }
}
