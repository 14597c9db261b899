import Network

/// The memory traffic and the arithmetic of a step in one run.
struct StepCost: Hashable, Sendable {
  /// Bytes of its operands, each counted once a run, wherever they come from. Parameters, coefficients and sums of a
  /// lane count once for each lane at most, not for each chunk.
  var bytes: Int
  /// Additions, multiplications, divisions, comparisons, roots and exponentials. Those on single channels, of which a
  /// stage has few, count as none.
  var operations: Int
}

extension Program {
  func cost(of step: Step) -> StepCost {
    let (reads, writes) = step.instruction.operands
    return StepCost(
      bytes: (reads + writes).reduce(0) { $0 + $1.shape.count * $1.element.bytes * times(buffers[$1.buffer].scope) },
      operations: operations(step.instruction))
  }

  private func times(_ scope: Buffer.Scope) -> Int {
    switch scope {
    case .image: images
    case .lane: lanes.count
    case .plan: 1
    }
  }

  private func operations(_ instruction: Instruction) -> Int {
    func each(_ view: View, _ operations: Int) -> Int { view.shape.count * images * operations }
    switch instruction {
    case .convolve(let index, _, _, let bias, let to):
      let convolution = convolutions[index]
      return convolution.shape.operations * images
        + each(to, (bias == nil ? 0 : 1) + (convolution.pass.activation?.operations ?? 0))
    case .convolveBackward(let index, _, _, _), .weightGradient(let index, _, _, _, _):
      return convolutions[index].shape.operations * images
    case .input(let to): return each(to, 1)
    case .biasGradient(let gradient, _): return each(gradient, 1)
    case .statistics(let x, _): return each(x, 4)
    case .normalize(let x, _, let activation, let residual, _):
      return each(x, 3 + (activation?.operations ?? 0) + (residual == nil ? 0 : 1))
    case .normalizeBackward(let gradient, _, _, let activation, _, let activated):
      // u, the slope, the two sums, and the value where it is kept.
      let value = activated == nil ? 0 : activation?.operations ?? 0
      return each(gradient, 3 + (activation?.slopeOperations ?? 0) + 4 + value)
    case .normalizeBackwardApply(let du, _, _, _): return each(du, 5)
    case .activate(let x, let activation, _): return each(x, activation.operations)
    case .activateBackward(_, let x, let activation, _, let adds):
      return each(x, activation.slopeOperations + (adds ? 1 : 0))
    case .add(_, _, let to), .scale(_, _, let to), .globalAveragePoolBackward(_, let to, _): return each(to, 1)
    case .upsampleBackward(let gradient, _, _, _), .maxPoolBackward(let gradient, _, _, _, _): return each(gradient, 1)
    case .maxPool(_, let pool, _, let to): return each(to, pool.kernel * pool.kernel)
    case .averagePool(_, let pool, let to): return each(to, pool.kernel * pool.kernel + 1)
    case .averagePoolBackward(let gradient, let pool, _, _): return each(gradient, 2 * pool.kernel * pool.kernel)
    case .globalAveragePool(let x, _): return each(x, 1)
    case .factorGradient(let gradient, _, _): return each(gradient, 2)
    case .shuffleBackward(_, _, let to, let adds): return adds ? each(to, 1) : 0
    case .joinLanes(let sums, _), .joinLanesConverting(_, let sums, _, _, _): return sums.shape.count * lanes.count
    case .copy, .zero, .upsample, .shuffle, .convertWeights, .fixBatchNorm, .finishStatistics, .finishNormalizeBackward:
      return 0
    }
  }
}

extension ConvolutionShape {
  /// A multiplication and an addition for every weight at every output pixel of one image, in each of the passes.
  var operations: Int { 2 * outputHeight * outputWidth * weightCount }
}

extension Activation {
  fileprivate var operations: Int {
    switch self {
    case .relu: 1
    case .relu6: 2
    case .sigmoid, .silu: 3
    case .hardSigmoid: 4
    case .hardSwish: 5
    }
  }

  /// The operations of the slope times a gradient.
  fileprivate var slopeOperations: Int {
    switch self {
    case .relu: 2
    case .relu6, .hardSigmoid: 3
    case .hardSwish: 5
    case .sigmoid: 6
    case .silu: 8
    }
  }
}

extension ConvolutionPass {
  fileprivate var activation: Activation? {
    if case .forward(_, let activation) = self { activation } else { nil }
  }
}

extension Instruction {
  /// The kind of work, for people: the name of the case in words.
  var name: String {
    switch self {
    case .convolve: "convolution"
    case .convolveBackward: "convolution: input gradient"
    case .weightGradient: "convolution: weight gradient"
    case .biasGradient: "bias gradient"
    default:
      String(describing: self).prefix { $0 != "(" }.reduce(into: "") { name, letter in
        name += letter.isUppercase ? " " + letter.lowercased() : String(letter)
      }
    }
  }
}
