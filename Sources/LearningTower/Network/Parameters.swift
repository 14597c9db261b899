/// The tensors of a network under their `state_dict` names. Convolution weights are `O × I/groups × kH × kW`, linear
/// weights `O × I`; batch norms have `weight` (gamma), `bias` (beta), `running_mean`, `running_var` and
/// `num_batches_tracked`.
public struct Parameters: Sendable, Hashable {
  public var tensors: [String: Tensor]

  public init(_ tensors: [String: Tensor] = [:]) { self.tensors = tensors }

  public subscript(name: String) -> Tensor? {
    get { tensors[name] }
    set { tensors[name] = newValue }
  }
}

/// The tensor that a network expects under one name.
public struct ParameterSpec: Sendable, Hashable, Codable {
  public enum Role: String, Sendable, Hashable, Codable {
    /// Convolution or linear weight: the only ones that are decayed.
    case weight
    /// Convolution or linear bias.
    case bias
    /// Batch norm's scale.
    case gamma
    /// Batch norm's shift; in YOLOv5 it belongs to the group of biases.
    case beta
    case runningMean, runningVariance
    /// `num_batches_tracked`, an integer.
    case batchCount
    /// The detection head's anchors in cells (pixels / stride).
    case anchors
  }

  public var name: String
  public var shape: [Int]
  public var role: Role

  public init(name: String, shape: [Int], role: Role) {
    self.name = name
    self.shape = shape
    self.role = role
  }

  public var count: Int { shape.reduce(1, *) }
  /// Trained by the optimizer, as opposed to a buffer.
  public var isLearned: Bool {
    switch role {
    case .weight, .bias, .gamma, .beta: true
    case .runningMean, .runningVariance, .batchCount, .anchors: false
    }
  }
}
