internal import CKernels
import Network

/// What one batch norm of a training plan keeps between stages: each lane's share of the sums, and what follows from
/// all of them.
@safe final class BatchNormState {
  let operation: BatchNorm
  private let lanes: Int
  private let gamma: Int
  private let beta: Int
  private let runningMean: Int
  private let runningVariance: Int

  /// Per lane `2 × C`: means and sums of squared deviations in forward, Σ du and Σ du·(z − mean) in backward.
  private let sums: UnsafeMutablePointer<Double>
  /// Rows that each lane's sums stand for.
  private let rows: UnsafeMutablePointer<Int>
  /// `7 × C`: mean, inverse deviation, scale, shift; factors of du and z and a constant for backward.
  private let coefficients: AlignedBuffer

  private var channels: Int { operation.channels }
  var mean: UnsafeMutablePointer<Float> { unsafe coefficients.pointer }
  var inverseDeviation: UnsafeMutablePointer<Float> { unsafe coefficients.pointer + channels }
  var scale: UnsafeMutablePointer<Float> { unsafe coefficients.pointer + 2 * channels }
  var shift: UnsafeMutablePointer<Float> { unsafe coefficients.pointer + 3 * channels }
  var byGradient: UnsafeMutablePointer<Float> { unsafe coefficients.pointer + 4 * channels }
  var byValue: UnsafeMutablePointer<Float> { unsafe coefficients.pointer + 5 * channels }
  var constant: UnsafeMutablePointer<Float> { unsafe coefficients.pointer + 6 * channels }

  init(_ operation: BatchNorm, node: String, memory: ParameterMemory, lanes: Int) throws(ComputeError) {
    guard
      let gamma = memory.range(of: "\(node).weight"), let beta = memory.range(of: "\(node).bias"),
      let mean = memory.statisticsRange(of: "\(node).running_mean"),
      let variance = memory.statisticsRange(of: "\(node).running_var")
    else { throw ComputeError("\(node) is not in the parameter memory") }
    self.operation = operation
    self.lanes = lanes
    self.gamma = gamma.lowerBound
    self.beta = beta.lowerBound
    runningMean = mean.lowerBound
    runningVariance = variance.lowerBound
    coefficients = AlignedBuffer(count: 7 * operation.channels)
    unsafe rows = .allocate(capacity: lanes)
    unsafe rows.initialize(repeating: 0, count: lanes)
    unsafe sums = .allocate(capacity: 2 * operation.channels * lanes)
    unsafe sums.initialize(repeating: 0, count: 2 * operation.channels * lanes)
  }

  deinit {
    unsafe sums.deallocate()
    unsafe rows.deallocate()
  }

  private func first(_ lane: Int) -> UnsafeMutablePointer<Double> { unsafe sums + 2 * channels * lane }
  private func second(_ lane: Int) -> UnsafeMutablePointer<Double> { unsafe sums + 2 * channels * lane + channels }

  // MARK: Forward

  /// Adds `rows` rows of `z` to the lane's statistics; the lane's first chunk starts them anew.
  func addStatistics(_ z: UnsafePointer<Float>, stride: Int, rows count: Int, lane: Int, isFirst: Bool) {
    let before = unsafe isFirst ? 0 : rows[lane]
    unsafe ck_statistics(first(lane), second(lane), before, z, stride, count, channels)
    unsafe rows[lane] = before + count
  }

  func finishForward(_ memory: ParameterMemory) {
    var total = unsafe rows[0]
    for lane in 1..<lanes {
      unsafe ck_merge_statistics(first(0), second(0), total, first(lane), second(lane), rows[lane], channels)
      unsafe total += rows[lane]
    }
    unsafe ck_batch_norm_finish(
      mean, inverseDeviation, scale, shift, memory.statistics.pointer + runningMean,
      memory.statistics.pointer + runningVariance, first(0), second(0), total, memory.values.pointer + gamma,
      memory.values.pointer + beta, operation.epsilon, operation.momentum, channels)
  }

  // MARK: Backward

  /// The lane's Σ du and Σ du·(z − mean), zeroed before its first chunk.
  func backwardSums(lane: Int, isFirst: Bool) -> (UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>) {
    if isFirst { unsafe first(lane).update(repeating: 0, count: 2 * channels) }
    return unsafe (first(lane), second(lane))
  }

  func finishBackward(_ memory: ParameterMemory, rows: Int, accumulate: Bool) {
    for lane in 1..<lanes {
      for c in 0..<2 * channels { unsafe first(0)[c] += first(lane)[c] }
    }
    unsafe ck_batch_norm_backward_finish(
      memory.gradients.pointer + gamma, memory.gradients.pointer + beta, byGradient, byValue, constant, first(0),
      second(0), rows, memory.values.pointer + gamma, inverseDeviation, channels, accumulate)
  }
}
