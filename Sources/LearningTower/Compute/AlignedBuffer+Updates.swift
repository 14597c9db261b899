internal import CKernels

/// What optimizers and averages do to whole ranges of parameters. All buffers are of one length and order; `range`
/// selects the same values in each. Work is spread over the threads set for the calling thread.
extension AlignedBuffer {
  /// PyTorch's SGD with Nesterov momentum on these parameters: with d = g + decay·p, velocity = momentum·velocity + d
  /// (d itself when `isFirst`), p −= rate·(d + momentum·velocity).
  public func updateBySGD(
    _ range: Range<Int>, velocity: AlignedBuffer, gradients: AlignedBuffer, rate: Double, momentum: Double,
    decay: Double, isFirst: Bool
  ) {
    unsafe ck_sgd(
      start(of: range), velocity.start(of: range), gradients.start(of: range), range.count, rate, momentum, decay,
      isFirst)
  }

  /// PyTorch's Adam on these parameters, or AdamW when `isDecoupled`; `step` counts from 1.
  public func updateByAdam(
    _ range: Range<Int>, mean: AlignedBuffer, square: AlignedBuffer, gradients: AlignedBuffer, rate: Double,
    beta1: Double, beta2: Double, epsilon: Double, decay: Double, step: Int, isDecoupled: Bool
  ) {
    unsafe ck_adam(
      start(of: range), mean.start(of: range), square.start(of: range), gradients.start(of: range), range.count, rate,
      beta1, beta2, epsilon, decay, step, isDecoupled)
  }

  /// Every value becomes `decay`·value + (1 − `decay`)·new value.
  public func average(with values: AlignedBuffer, decay: Double) {
    unsafe ck_moving_average(start(of: 0..<count), values.start(of: 0..<count), count, decay)
  }

  public func multiply(_ range: Range<Int>, by factor: Float) {
    unsafe ck_multiply(start(of: range), range.count, factor)
  }

  /// In double precision.
  public func sumOfSquares(_ range: Range<Int>) -> Double {
    unsafe ck_sum_of_squares(start(of: range), range.count)
  }

  /// Adds `rate`·sign(value), sign(0) = 0, of the corresponding values.
  public func addSign(_ range: Range<Int>, of values: AlignedBuffer, rate: Float) {
    unsafe ck_add_sign(start(of: range), values.start(of: range), range.count, rate)
  }

  /// The first value of a range that is checked to lie inside the buffer, which lives as long as the call it is for.
  private func start(of range: Range<Int>) -> UnsafeMutablePointer<Float> {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) lies outside a buffer of \(count)")
    return unsafe pointer + range.lowerBound
  }
}
