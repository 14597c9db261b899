internal import CKernels

/// The operations of optimizers on ranges of flat buffers: one pass over memory each, on the runtime's threads, with
/// the same result every time for a given thread count.
///
/// Rates are taken in double and rounded to float once, where PyTorch does.
public struct Elementwise: Sendable {
  public let runtime: Runtime

  public init(_ runtime: Runtime) { self.runtime = runtime }

  /// SGD with Nesterov momentum, by PyTorch's formula and without dampening: `d = gradient + decay·parameter`,
  /// `momentum = first ? d : factor·momentum + d`, `parameter −= rate·(d + factor·momentum)`.
  public func sgd(
    _ parameters: AlignedBuffer, momenta: AlignedBuffer, gradients: AlignedBuffer, range: Range<Int>, rate: Double,
    momentum: Double, decay: Double, isFirstStep: Bool
  ) {
    // Sound, here and below: the ranges are checked against the buffers, which outlive the call.
    unsafe ck_sgd(
      ck_sgd_args(
        parameters: pointer(parameters, range), momenta: pointer(momenta, range),
        gradients: pointer(gradients, range), count: range.count, rate: rate, momentum: momentum, decay: decay,
        is_first: isFirstStep))
  }

  /// Adam and AdamW by PyTorch's formulas, with bias correction.
  /// - Parameters:
  ///   - decay: added to the gradient times the parameter, or taken off the parameter itself if decoupled (AdamW).
  ///   - step: counted from 1; sets the bias corrections.
  public func adam(
    _ parameters: AlignedBuffer, means: AlignedBuffer, squares: AlignedBuffer, gradients: AlignedBuffer,
    range: Range<Int>, rate: Double, beta1: Double, beta2: Double = 0.999, epsilon: Double = 1e-8, decay: Double,
    isDecayDecoupled: Bool, step: Int
  ) {
    unsafe ck_adam(
      ck_adam_args(
        parameters: pointer(parameters, range), means: pointer(means, range), squares: pointer(squares, range),
        gradients: pointer(gradients, range), count: range.count, rate: rate, beta1: beta1, beta2: beta2,
        epsilon: epsilon, decay: decay, step: step, is_decoupled: isDecayDecoupled))
  }

  /// `average = decay·average + (1 − decay)·values`, over whole buffers.
  public func average(_ values: AlignedBuffer, into average: AlignedBuffer, decay: Double) {
    precondition(values.count == average.count, "an average of \(average.count) of \(values.count) values")
    let range = 0..<values.count
    unsafe ck_moving_average(pointer(average, range), pointer(values, range), range.count, decay)
  }

  /// Adds `rate·sign(parameter)` to the gradients, sign(0) being 0: the subgradient of `rate·|parameter|`.
  public func addSign(of parameters: AlignedBuffer, to gradients: AlignedBuffer, range: Range<Int>, rate: Float) {
    unsafe ck_add_sign(pointer(gradients, range), pointer(parameters, range), range.count, rate)
  }

  /// `values *= factor`.
  public func multiply(_ values: AlignedBuffer, range: Range<Int>, by factor: Float) {
    unsafe ck_multiply(pointer(values, range), range.count, factor)
  }

  /// The Euclidean norm, summed in double.
  public func norm(_ values: AlignedBuffer, range: Range<Int>) -> Double {
    unsafe ck_sum_of_squares(pointer(values, range), range.count).squareRoot()
  }

  /// Checks `range` and makes the kernels that follow use the runtime's threads.
  private func pointer(_ buffer: AlignedBuffer, _ range: Range<Int>) -> UnsafeMutablePointer<Float> {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= buffer.count, "\(range) lies outside a buffer of \(buffer.count)")
    ck_set_thread_count(Int32(runtime.threads))
    return unsafe buffer.pointer + range.lowerBound
  }
}
