internal import CKernels

/// What an optimizer does to ranges of flat buffers: one pass over memory each, on the runtime's threads, with the same
/// result every time for a given thread count.
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
    let (p, m, g) = unsafe (pointer(parameters, range), pointer(momenta, range), pointer(gradients, range))
    // Sound, here and below: the ranges were checked against the buffers, which outlive the call.
    unsafe ck_sgd(p, m, g, range.count, rate, momentum, decay, isFirstStep)
  }

  /// One step of Adam or AdamW.
  public struct AdamStep: Sendable {
    public var rate: Double
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    /// Added to the gradient times the parameter (Adam), or taken off the parameter itself (AdamW).
    public var decay: Double
    public var isDecayDecoupled: Bool
    /// Counted from 1; sets the bias corrections.
    public var step: Int

    public init(
      rate: Double, beta1: Double, beta2: Double = 0.999, epsilon: Double = 1e-8, decay: Double,
      isDecayDecoupled: Bool, step: Int
    ) {
      self.rate = rate
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.decay = decay
      self.isDecayDecoupled = isDecayDecoupled
      self.step = step
    }
  }

  /// Adam and AdamW by PyTorch's formulas, with bias correction.
  public func adam(
    _ parameters: AlignedBuffer, means: AlignedBuffer, squares: AlignedBuffer, gradients: AlignedBuffer,
    range: Range<Int>, _ step: AdamStep
  ) {
    let (p, g) = unsafe (pointer(parameters, range), pointer(gradients, range))
    let (m, s) = unsafe (pointer(means, range), pointer(squares, range))
    unsafe ck_adam(
      p, m, s, g, range.count, step.rate, step.beta1, step.beta2, step.epsilon, step.decay, step.step,
      step.isDecayDecoupled)
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
