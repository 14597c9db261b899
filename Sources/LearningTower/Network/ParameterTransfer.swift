/// The parameters that a new network takes over from pretrained weights: every tensor of the same name and shape, as
/// YOLOv5 does (`intersect_dicts`). Anchors stay: they are the network's.
public struct ParameterTransfer: Sendable, Hashable {
  /// All tensors of the network.
  public private(set) var parameters: Parameters
  public private(set) var tensorCount = 0
  public private(set) var totalTensorCount: Int
  /// The trained numbers that were taken, of those that the network has.
  public private(set) var learnedCount = 0
  public private(set) var totalLearnedCount: Int
  /// Whether the weights of any convolution or linear layer were taken. Biases and batch norms can fit by chance.
  public private(set) var hasWeights = false
  /// The names that the weights do not have.
  public private(set) var missing: [String] = []
  public private(set) var misshapen: [Misfit] = []
  /// How many tensors of the weights have no place in the network.
  public private(set) var leftOverCount: Int

  public struct Misfit: Sendable, Hashable {
    public var name: String
    /// In the weights.
    public var shape: [Int]
    /// In the network.
    public var expected: [Int]
  }

  /// - Parameter initial: what the network begins with where the weights do not fit.
  public init(of weights: Parameters, into network: Network, initial: Parameters) {
    let specs = network.parameterSpecs
    parameters = initial
    totalTensorCount = specs.count
    totalLearnedCount = network.parameterCount
    leftOverCount = weights.tensors.count
    for spec in specs {
      guard let tensor = weights[spec.name] else {
        if spec.role != .anchors { missing.append(spec.name) }
        continue
      }
      leftOverCount -= 1
      guard spec.role != .anchors else { continue }
      guard tensor.shape == spec.shape else {
        misshapen.append(Misfit(name: spec.name, shape: tensor.shape, expected: spec.shape))
        continue
      }
      parameters[spec.name] = tensor
      tensorCount += 1
      if spec.isLearned { learnedCount += spec.count }
      if spec.role == .weight { hasWeights = true }
    }
  }

  /// The share of the network's trained numbers that was taken, in [0, 1].
  public var learnedShare: Double { Double(learnedCount) / Double(max(totalLearnedCount, 1)) }
}

extension ParameterTransfer: CustomStringConvertible {
  /// How much was taken, what was not, and why, in one line.
  public var description: String {
    let percent = (learnedShare * 1000).rounded(.down) / 10
    var parts = ["\(tensorCount) of \(totalTensorCount) tensors fit, with \(percent) % of the parameters"]
    if let first = misshapen.first {
      func text(_ shape: [Int]) -> String { shape.isEmpty ? "1" : shape.map(String.init).joined(separator: "×") }
      let example = "\(first.name) is \(text(first.shape)), not \(text(first.expected))"
      parts.append("\(misshapen.count) have another shape (\(example))")
    }
    if let first = missing.first { parts.append("\(missing.count) are missing (\(first))") }
    if leftOverCount > 0 { parts.append("\(leftOverCount) of the file have no place here") }
    return parts.joined(separator: "; ")
  }
}
