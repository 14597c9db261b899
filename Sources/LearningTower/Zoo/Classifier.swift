public import Network

/// An image classifier as torchvision or timm publish it, whose layers are those of a family's backbone.
///
/// Its weights are adapted so that the layers compute the same here. Two things differ in every file:
///
/// - Classifiers read normalised images, `(x − mean) / deviation`; networks here read RGB in [0, 1]. With weights
///   divided by the channel's deviation, the first convolution's sums are too large by `Σ w · mean / deviation`, which
///   the running mean of the batch norm behind it takes up. That is exact except at the border of the first map, where
///   zeros stand for black pixels here and for the mean colour there.
/// - Batch norms divide by `√(variance + epsilon)` with another epsilon. The scale takes up the ratio, which is exact
///   for running statistics. (The running variance could take it up too, but not of channels that hardly vary, and it
///   would no longer be the variance that training measures.)
public struct Classifier: Sendable {
  /// The name for messages.
  public let name: String
  let family: String
  /// The epsilon of its batch norms.
  let epsilon: Double
  /// The mean of the images it was trained on, as is the deviation: red, green, blue in [0, 1].
  let mean: [Double]
  let deviation: [Double]
  /// Paths of its modules and of those that are the same here, the first convolution and its batch norm first.
  let modules: [Pair]
  /// Where what is computed differs all the same; nil if nothing does.
  public let difference: String?

  struct Pair: Sendable {
    let there: String
    let here: String
  }
}

// MARK: - The tables

private typealias Pair = Classifier.Pair

/// A block's modules there and here.
private typealias BlockNames = [(there: String, here: String)]

extension Classifier {
  private static let imageNet = (mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])

  static let all: [Classifier] = [
    Classifier(
      "torchvision's mobilenet_v2", of: "mobilenetv2", epsilon: 1e-5, stem: ("features.0.0", "features.0.1"),
      blocks: [block("features.1", "model.1", torchvisionV2First)]
        + (2...17).map { block("features.\($0)", "model.\($0)", torchvisionV2) },
      difference: "the first activation is SiLU here and ReLU6 there"),
    Classifier(
      "timm's mobilenetv2_100", of: "mobilenetv2", epsilon: 1e-5, stem: ("conv_stem", "bn1"),
      blocks: timmBlocks([1, 2, 3, 4, 3, 3, 1], first: timmV2First, timmV2),
      difference: "the first activation is SiLU here and ReLU6 there"),
    Classifier(
      "torchvision's mobilenet_v3_small", of: "mobilenetv3-small", epsilon: 1e-3,
      stem: ("features.0.0", "features.0.1"),
      blocks: [block("features.1", "model.1", torchvisionV3First)]
        + (2...11).map { block("features.\($0)", "model.\($0)", torchvisionV3) },
      difference: v3Difference),
    Classifier(
      "timm's mobilenetv3_small_100", of: "mobilenetv3-small", epsilon: 1e-5, stem: ("conv_stem", "bn1"),
      blocks: timmBlocks([1, 2, 3, 2, 3], first: timmV3First, timmV3), difference: v3Difference),
    Classifier(
      "torchvision's mobilenet_v3_large", of: "mobilenetv3-large", epsilon: 1e-3,
      stem: ("features.0.0", "features.0.1"),
      blocks: [block("features.1", "model.1", torchvisionV3First)]
        + (2...15).map { block("features.\($0)", "model.\($0)", torchvisionV3) },
      difference: v3LargeDifference),
    Classifier(
      "timm's mobilenetv3_large_100", of: "mobilenetv3-large", epsilon: 1e-5, stem: ("conv_stem", "bn1"),
      blocks: timmBlocks([1, 2, 3, 4, 2, 3], first: timmV3First, timmV3), difference: v3LargeDifference),
    Classifier(
      "torchvision's shufflenet_v2", of: "shufflenetv2", epsilon: 1e-5, stem: ("conv1.0", "conv1.1"),
      stemHere: ("model.0.conv.0", "model.0.conv.1"),
      blocks: [3, 7, 3].enumerated().flatMap { stage, repeats in
        let (there, here) = ("stage\(stage + 2)", 2 * stage + 1)
        return [block("\(there).0", "model.\(here)", shuffleBlock)]
          + (0..<repeats).map { block("\(there).\($0 + 1)", "model.\(here + 1).\($0)", shuffleBlock) }
      }, difference: nil),
    Classifier(
      "timm's mobilenetv1_100", of: "mobilenetv1", epsilon: 1e-5,
      normalization: ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]), stem: ("conv_stem", "bn1"),
      blocks: (0...12).map { index in
        let stages = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0)] + (1...5).map { (3, $0) } + [(4, 0), (4, 1)]
        let here = index < 6 ? "\(index + 1)" : index < 11 ? "7.\(index - 6)" : "\(index - 3)"
        return block("blocks.\(stages[index].0).\(stages[index].1)", "model.\(here)", timmV1)
      }, difference: "activations are ReLU here and ReLU6 there"),
  ]

  private static let v3Difference =
    "squeeze-excite stands before the activation here and behind it there, with other widths in some blocks"

  private static let v3LargeDifference = "\(v3Difference); the last stride of 2 is one block later here"

  private static let torchvisionV2First: BlockNames = same(["conv.0.0", "conv.0.1", "conv.1", "conv.2"])
  private static let torchvisionV2: BlockNames = same(
    ["conv.0.0", "conv.0.1", "conv.1.0", "conv.1.1", "conv.2", "conv.3"])
  private static let timmV2First: BlockNames = [
    ("conv_dw", "conv.0.0"), ("bn1", "conv.0.1"), ("conv_pw", "conv.1"), ("bn2", "conv.2"),
  ]
  private static let timmV2: BlockNames = [
    ("conv_pw", "conv.0.0"), ("bn1", "conv.0.1"), ("conv_dw", "conv.1.0"), ("bn2", "conv.1.1"),
    ("conv_pwl", "conv.2"), ("bn3", "conv.3"),
  ]
  /// Where squeeze-excite is missing, the projection has its number.
  private static let torchvisionV3First: BlockNames = [
    ("block.0.0", "conv.0"), ("block.0.1", "conv.1"), ("block.1.fc1", "conv.3.fc.0"), ("block.1.fc2", "conv.3.fc.2"),
    ("block.1.0", "conv.4"), ("block.1.1", "conv.5"), ("block.2.0", "conv.4"), ("block.2.1", "conv.5"),
  ]
  private static let torchvisionV3: BlockNames = [
    ("block.0.0", "conv.0"), ("block.0.1", "conv.1"), ("block.1.0", "conv.3"), ("block.1.1", "conv.4"),
    ("block.2.fc1", "conv.5.fc.0"), ("block.2.fc2", "conv.5.fc.2"), ("block.2.0", "conv.7"), ("block.2.1", "conv.8"),
    ("block.3.0", "conv.7"), ("block.3.1", "conv.8"),
  ]
  private static let timmV3First: BlockNames = [
    ("conv_dw", "conv.0"), ("bn1", "conv.1"), ("se.conv_reduce", "conv.3.fc.0"), ("se.conv_expand", "conv.3.fc.2"),
    ("conv_pw", "conv.4"), ("bn2", "conv.5"),
  ]
  private static let timmV3: BlockNames = [
    ("conv_pw", "conv.0"), ("bn1", "conv.1"), ("conv_dw", "conv.3"), ("bn2", "conv.4"),
    ("se.conv_reduce", "conv.5.fc.0"), ("se.conv_expand", "conv.5.fc.2"), ("conv_pwl", "conv.7"), ("bn3", "conv.8"),
  ]
  private static let timmV1: BlockNames = [
    ("conv_dw", "depthwise.conv"), ("bn1", "depthwise.bn"), ("conv_pw", "pointwise.conv"), ("bn2", "pointwise.bn"),
  ]
  private static let shuffleBlock: BlockNames = same(
    [0, 1, 2, 3].map { "branch1.\($0)" } + [0, 1, 3, 4, 5, 6].map { "branch2.\($0)" })

  private static func same(_ names: [String]) -> BlockNames { names.map { ($0, $0) } }

  private static func block(_ there: String, _ here: String, _ names: BlockNames) -> [Pair] {
    names.map { Pair(there: "\(there).\($0.there)", here: "\(here).\($0.here)") }
  }

  /// timm numbers blocks by stage.
  private static func timmBlocks(_ repeats: [Int], first: BlockNames, _ others: BlockNames) -> [[Pair]] {
    let places = repeats.enumerated().flatMap { stage, count in (0..<count).map { "blocks.\(stage).\($0)" } }
    return places.enumerated().map { block($1, "model.\($0 + 1)", $0 == 0 ? first : others) }
  }

  private init(
    _ name: String, of family: String, epsilon: Double,
    normalization: (mean: [Double], deviation: [Double]) = imageNet, stem: (String, String),
    stemHere: (String, String) = ("model.0.conv", "model.0.bn"), blocks: [[Pair]], difference: String?
  ) {
    self.name = name
    self.family = family
    self.epsilon = epsilon
    (mean, deviation) = normalization
    self.difference = difference
    modules =
      [Pair(there: stem.0, here: stemHere.0), Pair(there: stem.1, here: stemHere.1)] + blocks.flatMap { $0 }
  }
}

// MARK: - Reading

extension Classifier {
  /// Returns the classifier of the architecture's family that has most of the tensors; nil if none has any.
  public static func of(_ parameters: Parameters, for architecture: Architecture) -> Classifier? {
    guard case .family(let family) = architecture.source else { return nil }
    let candidates = all.filter { $0.family == family }.map { ($0, $0.pairs(in: parameters).count) }
    return candidates.filter { $0.1 > 0 }.max { $0.1 < $1.1 }?.0
  }

  private func pairs(in parameters: Parameters) -> [Pair] {
    modules.filter { parameters["\($0.there).weight"] != nil }
  }

  /// Returns the tensors under the network's names, adapted to it. Those that have no place in a backbone keep their
  /// own names.
  public func adapted(_ parameters: Parameters, to network: Network) -> Parameters {
    var result = parameters
    let shapes = Dictionary(uniqueKeysWithValues: network.parameterSpecs.map { ($0.name, $0.shape) })
    for pair in pairs(in: parameters) {
      for leaf in ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"] {
        guard var tensor = result.tensors.removeValue(forKey: "\(pair.there).\(leaf)") else { continue }
        // A linear layer of squeeze-excite is a 1 × 1 convolution there.
        if let shape = shapes["\(pair.here).\(leaf)"], shape.count == 2, tensor.shape == shape + [1, 1] {
          tensor.shape = shape
        }
        result["\(pair.here).\(leaf)"] = tensor
      }
      // A bias means nothing without its weights.
      if let weight = result["\(pair.here).weight"], weight.shape != shapes["\(pair.here).weight"] {
        result["\(pair.here).bias"] = nil
      }
    }
    for case (let name, .batchNorm(let norm)) in network.nodes.map({ ($0.name, $0.operation) }) {
      guard var gamma = result["\(name).weight"], let variance = result["\(name).running_var"],
        gamma.shape == variance.shape, modules.contains(where: { $0.here == name })
      else { continue }
      for (channel, value) in variance.values.enumerated() {
        let ratio = (Double(value) + Double(norm.epsilon)) / (Double(value) + epsilon)
        gamma.values[channel] = Float(Double(gamma.values[channel]) * ratio.squareRoot())
      }
      result["\(name).weight"] = gamma
    }
    foldNormalization(into: &result)
    return result
  }

  private func foldNormalization(into parameters: inout Parameters) {
    let (weightName, meanName) = ("\(modules[0].here).weight", "\(modules[1].here).running_mean")
    guard var weight = parameters[weightName], var means = parameters[meanName], weight.shape.count == 4,
      weight.shape[1] == mean.count, means.shape == [weight.shape[0]]
    else { return }
    let taps = weight.shape[2] * weight.shape[3]
    for output in means.values.indices {
      var shift = 0.0
      for colour in mean.indices {
        for index in ((output * mean.count + colour) * taps)..<((output * mean.count + colour + 1) * taps) {
          let value = Double(weight.values[index]) / deviation[colour]
          shift += value * mean[colour]
          weight.values[index] = Float(value)
        }
      }
      means.values[output] += Float(shift)
    }
    (parameters[weightName], parameters[meanName]) = (weight, means)
  }

  /// Returns the share of the backbone's trained numbers that tensors of the right shape stand for, in [0, 1].
  public func backboneShare(of parameters: Parameters, in network: Network) -> Double {
    func layer(_ name: String) -> String { name.split(separator: ".").prefix(2).joined(separator: ".") }
    let layers = Set(modules.map { layer($0.here) })
    let specs = network.parameterSpecs.filter { $0.isLearned && layers.contains(layer($0.name)) }
    let taken = specs.filter { parameters[$0.name]?.shape == $0.shape }
    return Double(taken.reduce(0) { $0 + $1.count }) / Double(max(specs.reduce(0) { $0 + $1.count }, 1))
  }
}
