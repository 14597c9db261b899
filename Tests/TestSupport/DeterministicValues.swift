public import Network

/// The golden numbers' weights and images: a function of a tensor's name, so that none is stored.
public enum DeterministicValues {
  /// 64-bit FNV-1a of the UTF-8 bytes.
  public static func seed(_ name: String) -> UInt64 {
    name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }

  /// Output number `index` of splitmix64 started at `seed`.
  public static func random(seed: UInt64, _ index: Int) -> UInt64 {
    var z = seed &+ UInt64(index + 1) &* 0x9e37_79b9_7f4a_7c15
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// `u` of the fixtures' README: uniform in [−1, 1).
  public static func uniform(_ name: String, count: Int) -> [Float] {
    let seed = seed(name)
    return (0..<count).map { Float(random(seed: seed, $0) >> 40) / 8_388_608 - 1 }
  }

  /// Images in [0, 1), in the order of `shape` (the fixtures' is `N × C × H × W`).
  public static func images(name: String = "input", shape: [Int] = [2, 3, 64, 64]) -> Tensor {
    Tensor(shape: shape, values: uniform(name, count: shape.reduce(1, *)).map { ($0 + 1) / 2 })
  }

  public static func values(_ spec: ParameterSpec) -> Tensor {
    let u = { uniform(spec.name, count: spec.count) }
    let values: [Float]
    switch spec.role {
    case .weight:
      let fanIn = spec.shape.dropFirst().reduce(1, *)
      let bound = Float((3.0 / Double(fanIn)).squareRoot())
      values = u().map { $0 * bound }
    case .bias, .beta, .runningMean: values = u().map { $0 * 0.1 }
    case .gamma, .runningVariance: values = u().map { 1 + 0.5 * $0 }
    case .batchCount: values = [0]
    case .anchors: preconditionFailure("anchors are the network's, not a formula's")
    }
    return Tensor(shape: spec.shape, values: values)
  }
}

extension Network {
  /// The weights under which the golden numbers were taken.
  public var goldenParameters: Parameters {
    var parameters = Parameters()
    for spec in parameterSpecs {
      parameters[spec.name] = spec.role == .anchors ? detect.anchorsTensor : DeterministicValues.values(spec)
    }
    return parameters
  }
}
