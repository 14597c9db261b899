import Network

/// An operation on views of a plan's memory. An instruction is a value: it can be printed, compared and costed, and an
/// executor is a switch over it.
///
/// `adds` says that the result is added to what `to` holds.
enum Instruction: Hashable, Sendable {
  // MARK: For each chunk of images

  /// The images of the run, as values in [0, 1].
  case input(to: View)
  /// A forward pass; the number is that of the program's convolution, as in the next two.
  case convolve(Int, View, weights: View, bias: View?, to: View)
  case convolveBackward(Int, gradient: View, weights: View, to: View)
  /// Adds to the lane's sum, by way of `addend` from its second chunk on.
  case weightGradient(Int, View, gradient: View, sum: View, addend: View)
  case biasGradient(View, sum: View)
  /// Adds to the lane's statistics of a batch norm's input.
  case statistics(View, BatchNormViews)
  /// `activation(batch norm) (+ residual)`.
  case normalize(View, BatchNormViews, Activation?, residual: View?, to: View)
  /// The gradient in front of the activation into `du`, the activated map into `activated`, and the lane's sums.
  case normalizeBackward(gradient: View, z: View, BatchNormViews, Activation?, du: View?, activated: View?)
  /// The gradient of a batch norm's input, once the sums over the batch are known.
  case normalizeBackwardApply(du: View, z: View, BatchNormViews, to: View)
  case activate(View, Activation, to: View)
  case activateBackward(gradient: View, View, Activation, to: View, adds: Bool)
  case copy(View, to: View)
  case add(View, View, to: View)
  case zero(View)
  case upsample(View, factor: Int, to: View)
  case upsampleBackward(gradient: View, factor: Int, to: View, adds: Bool)
  case shuffle(View, groups: Int, to: View)
  case shuffleBackward(gradient: View, groups: Int, to: View, adds: Bool)
  /// `winner` keeps which tap of each window won, for the backward pass.
  case maxPool(View, Pool, winner: View?, to: View)
  case maxPoolBackward(gradient: View, winner: View, Pool, to: View, adds: Bool)
  case averagePool(View, Pool, to: View)
  case averagePoolBackward(gradient: View, Pool, to: View, adds: Bool)
  case globalAveragePool(View, to: View)
  case globalAveragePoolBackward(gradient: View, to: View, adds: Bool)
  case scale(View, by: View, to: View)
  /// The gradient of the factors: `Σ over pixels of gradient · map`.
  case factorGradient(gradient: View, View, to: View)

  // MARK: Once in a stage before its chunks, shared out among the lanes

  /// Lays weights out for a kernel; the first number is that of the program's conversion.
  case convertWeights(Int, View, to: View, lane: Int)
  /// Sums what the lanes have into a gradient.
  case joinLanes(View, to: View)
  /// The same where the layout of the sums is not the gradient's, by way of `total` and `converted`.
  case joinLanesConverting(Int, View, total: View, converted: View, to: View)
  /// A batch norm's coefficients from its running statistics.
  case fixBatchNorm(BatchNormViews)

  // MARK: Once in a stage, when all lanes are done with its chunks

  /// A batch norm's coefficients from the statistics of all lanes; moves its running statistics.
  case finishStatistics(BatchNormViews, pixels: Int)
  /// The gradients of a batch norm's parameters, and what `normalizeBackwardApply` reads.
  case finishNormalizeBackward(BatchNormViews, pixels: Int)

  enum Phase: Int, Hashable, Sendable { case before, chunks, after }

  var phase: Phase {
    switch self {
    case .convertWeights, .joinLanes, .joinLanesConverting, .fixBatchNorm: .before
    case .finishStatistics, .finishNormalizeBackward: .after
    default: .chunks
    }
  }

  /// The program's convolution.
  var convolution: Int? {
    switch self {
    case .convolve(let index, _, _, _, _), .convolveBackward(let index, _, _, _),
      .weightGradient(let index, _, _, _, _):
      index
    default: nil
    }
  }

  /// The views it reads and those it writes; what it adds to is among both.
  var operands: (reads: [View], writes: [View]) {
    func adding(_ reads: [View], _ to: View, _ adds: Bool) -> (reads: [View], writes: [View]) {
      (reads + (adds ? [to] : []), [to])
    }
    switch self {
    case .input(let to), .zero(let to): return ([], [to])
    case .convolve(_, let x, let weights, let bias, let to): return ([x, weights] + bias.asArray, [to])
    case .convolveBackward(_, let gradient, let weights, let to): return ([gradient, weights], [to])
    case .weightGradient(_, let x, let gradient, let sum, let addend): return ([x, gradient], [sum, addend])
    case .biasGradient(let gradient, let sum): return ([gradient], [sum])
    case .statistics(let x, let norm): return ([x], [norm.sums])
    case .normalize(let x, let norm, _, let residual, let to): return ([x, norm.coefficients] + residual.asArray, [to])
    case .normalizeBackward(let gradient, let z, let norm, _, let du, let activated):
      return ([gradient, z, norm.coefficients], [norm.sums] + du.asArray + activated.asArray)
    case .normalizeBackwardApply(let du, let z, let norm, let to):
      return ([du, z, norm.coefficients, norm.factors], [to])
    case .activate(let x, _, let to), .copy(let x, let to), .upsample(let x, _, let to), .shuffle(let x, _, let to),
      .averagePool(let x, _, let to), .globalAveragePool(let x, let to), .convertWeights(_, let x, let to, _),
      .joinLanes(let x, let to):
      return ([x], [to])
    case .add(let a, let b, let to), .scale(let a, let b, let to), .factorGradient(let a, let b, let to):
      return ([a, b], [to])
    case .activateBackward(let gradient, let x, _, let to, let adds): return adding([gradient, x], to, adds)
    case .maxPoolBackward(let gradient, let winner, _, let to, let adds): return adding([gradient, winner], to, adds)
    case .upsampleBackward(let gradient, _, let to, let adds), .shuffleBackward(let gradient, _, let to, let adds),
      .averagePoolBackward(let gradient, _, let to, let adds),
      .globalAveragePoolBackward(let gradient, let to, let adds):
      return adding([gradient], to, adds)
    case .maxPool(let x, _, let winner, let to): return ([x], [to] + winner.asArray)
    case .joinLanesConverting(_, let sums, let total, let converted, let to): return ([sums], [total, converted, to])
    case .fixBatchNorm(let norm): return ([norm.gamma, norm.beta, norm.mean, norm.variance], [norm.coefficients])
    case .finishStatistics(let norm, _):
      return ([norm.sums, norm.gamma, norm.beta], [norm.coefficients, norm.mean, norm.variance])
    case .finishNormalizeBackward(let norm, _):
      return ([norm.sums, norm.gamma, norm.coefficients], [norm.factors, norm.gamma.gradient, norm.beta.gradient])
    }
  }
}

/// The parameters of a batch norm, and the memory that a plan has for it between stages.
struct BatchNormViews: Hashable, Sendable {
  var operation: BatchNorm
  var gamma: View
  var beta: View
  /// The running mean and variance.
  var mean: View
  var variance: View
  /// `2 × C` doubles of each lane: means and sums of squared deviations in forward, Σ du and Σ du·(z − mean) in
  /// backward.
  var sums: View
  /// `4 × C`, in the order of `Coefficient`: read by the forward pass and its recomputation.
  var coefficients: View
  /// `3 × C`, in the order of `Factor`: read by the second pass backward.
  var factors: View

  enum Coefficient: Int, CaseIterable { case mean, inverseDeviation, scale, shift }
  /// The factors of du and of z − mean, and a constant.
  enum Factor: Int, CaseIterable { case byGradient, byValue, constant }
}

extension BatchNormViews: CustomStringConvertible {
  var description: String { "\(operation) in \(coefficients)" }
}

extension View {
  /// The view of a parameter's gradient.
  var gradient: View {
    var view = self
    view.buffer = ProgramBuilder.gradients
    return view
  }
}

extension Optional {
  fileprivate var asArray: [Wrapped] { map { [$0] } ?? [] }
}
