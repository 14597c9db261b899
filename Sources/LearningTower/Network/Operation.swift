/// The computation of a node. Maps are `N` images × `C` channels × `H` rows × `W` columns.
public enum Operation: Sendable, Hashable, Codable {
  /// The input: RGB in [0, 1].
  case image(channels: Int)
  case convolution(Convolution)
  case batchNorm(BatchNorm)
  case activation(Activation)
  /// Sum of all inputs, of equal shape.
  case add
  /// Channels of all inputs, in order.
  case concat
  /// Nearest-neighbour enlargement.
  case upsample(factor: Int)
  case maxPool(Pool)
  /// Padding counts as zeros (PyTorch's `AvgPool2d`).
  case averagePool(Pool)
  /// Mean over `H × W`; output `C × 1 × 1`.
  case globalAveragePool
  /// A matrix product on a `C × 1 × 1` map.
  case linear(Linear)
  /// Input 0 (`C × H × W`) times input 1 (`C × 1 × 1`), channel by channel (squeeze-excite).
  case scale
  /// Channels `start ..< start + count` of the input.
  case slice(start: Int, count: Int)
  /// `(groups, C/groups)` transposed to `(C/groups, groups)` (ShuffleNet).
  case shuffle(groups: Int)
}

public struct Convolution: Sendable, Hashable, Codable {
  public var inputChannels: Int
  public var outputChannels: Int
  /// Side of the square kernel.
  public var kernel: Int
  public var stride: Int
  public var padding: Int
  public var groups: Int
  public var hasBias: Bool

  /// Padding is `kernel / 2` unless given, as in YOLOv5's `autopad`.
  public init(
    _ inputChannels: Int, _ outputChannels: Int, kernel: Int = 1, stride: Int = 1, padding: Int? = nil, groups: Int = 1,
    hasBias: Bool = false
  ) {
    self.inputChannels = inputChannels
    self.outputChannels = outputChannels
    self.kernel = kernel
    self.stride = stride
    self.padding = padding ?? kernel / 2
    self.groups = groups
    self.hasBias = hasBias
  }

  public var isDepthwise: Bool { groups > 1 && groups == inputChannels && groups == outputChannels }
}

public struct BatchNorm: Sendable, Hashable, Codable {
  public var channels: Int
  public var epsilon: Float
  public var momentum: Float

  /// YOLOv5 sets epsilon 1e-3 and momentum 0.03 on every batch norm (`initialize_weights`).
  public init(_ channels: Int, epsilon: Float = 1e-3, momentum: Float = 0.03) {
    self.channels = channels
    self.epsilon = epsilon
    self.momentum = momentum
  }
}

public enum Activation: String, Sendable, Hashable, Codable, CaseIterable {
  case silu, relu, relu6, hardSwish, hardSigmoid, sigmoid
}

/// A window that is drawn together to one value.
public struct Pool: Sendable, Hashable, Codable {
  public var kernel: Int
  public var stride: Int
  public var padding: Int

  public init(kernel: Int, stride: Int, padding: Int) {
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
  }
}

public struct Linear: Sendable, Hashable, Codable {
  public var inputCount: Int
  public var outputCount: Int
  public var hasBias: Bool

  public init(_ inputCount: Int, _ outputCount: Int, hasBias: Bool = true) {
    self.inputCount = inputCount
    self.outputCount = outputCount
    self.hasBias = hasBias
  }
}
