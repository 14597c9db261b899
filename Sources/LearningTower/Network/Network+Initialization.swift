import Foundation
import Randomness

extension Network {
  /// A newly built YOLOv5 model. Convolution and linear weights and biases are uniform within ±1/√fan-in (PyTorch's
  /// `kaiming_uniform_(a = √5)`), batch norms the identity. Running variances are 0.9 and batch counts 1, as the
  /// forward pass of a black image leaves them with which YOLOv5 finds its strides. The head's biases start at the
  /// odds of objects to be expected.
  ///
  /// Each tensor has a random sequence of its own, from `seed` and its name: a layer's start does not depend on what
  /// else is in the network.
  public func initialParameters(seed: UInt64) -> Parameters {
    var result = Parameters()
    let specs = parameterSpecs
    let fanIn = Dictionary(
      specs.filter { $0.role == .weight }.map { ($0.name.dropLast("weight".count), $0.shape.dropFirst().reduce(1, *)) },
      uniquingKeysWith: { first, _ in first })
    for spec in specs {
      switch spec.role {
      case .weight: result[spec.name] = uniform(spec, fanIn: spec.shape.dropFirst().reduce(1, *), seed: seed)
      case .bias: result[spec.name] = uniform(spec, fanIn: fanIn[spec.name.dropLast("bias".count)] ?? 1, seed: seed)
      case .gamma, .batchCount: result[spec.name] = Tensor(shape: spec.shape, repeating: 1)
      case .beta, .runningMean: result[spec.name] = Tensor(shape: spec.shape, repeating: 0)
      case .runningVariance: result[spec.name] = Tensor(shape: spec.shape, repeating: 0.9)
      case .anchors: result[spec.name] = detect.anchorsTensor
      }
    }
    for level in detect.outputs.indices {
      let name = "\(nodes[detect.outputs[level]].name).bias"
      guard var bias = result[name] else { continue }
      for anchor in detect.anchors[level].indices {
        let first = anchor * detect.valuesPerAnchor
        bias.values[first + 4] += detect.objectnessBias(level: level)
        for value in (first + 5)..<(first + detect.valuesPerAnchor) { bias.values[value] += detect.classBias }
      }
      result[name] = bias
    }
    return result
  }

  private func uniform(_ spec: ParameterSpec, fanIn: Int, seed: UInt64) -> Tensor {
    var random = SplitMix64(seed: seed, stream: spec.name)
    let bound = Float(1 / Double(max(fanIn, 1)).squareRoot())
    return Tensor(shape: spec.shape, values: (0..<spec.count).map { _ in random.nextSignedUnit() * bound })
  }
}

extension Detect {
  /// Added to the objectness biases of a level: the log of 8 objects per 640-pixel image (`_initialize_biases`).
  public func objectnessBias(level: Int) -> Float {
    let cellsPerSide = 640 / Double(strides[level])
    return Float(log(8 / (cellsPerSide * cellsPerSide)))
  }

  /// Added to the class biases: the log of 0.6 classes per object (`_initialize_biases`).
  public var classBias: Float { Float(log(0.6 / (Double(classCount) - 0.999999))) }
}
