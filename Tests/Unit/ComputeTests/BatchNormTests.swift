import CKernels
import Testing
import TestSupport

/// One batch norm with its activation, forward and backward, as a plan runs it: image by image.
private struct Layer {
  let channels: Int
  let gamma: [Float]
  let beta: [Float]
  var (mean, deviation) = ([Double](), [Double]())
  var (batchMean, inverse, scale, shift) = ([Float](), [Float](), [Float](), [Float]())
  var (runningMean, runningVariance) = ([Float](), [Float]())
  static let epsilon: Float = 1e-3

  init(channels: Int) {
    self.channels = channels
    gamma = DeterministicValues.uniform("gamma", count: channels).map { 1 + 0.5 * $0 }
    beta = DeterministicValues.uniform("beta", count: channels).map { 0.3 * $0 }
    mean = Array(repeating: .nan, count: channels)  // Overwritten by the first image.
    deviation = mean
    runningMean = Array(repeating: 0.25, count: channels)
    runningVariance = Array(repeating: 2, count: channels)
    batchMean = runningMean
    (inverse, scale, shift) = (batchMean, batchMean, batchMean)
  }

  mutating func measure(_ z: Map, images: Int = 1) {
    let rows = z.rows / images
    for image in 0..<images {
      let part = Array(z.memory[(image * rows * z.stride)...])
      unsafe ck_statistics(&mean, &deviation, image * rows, part, z.stride, rows, channels)
    }
    unsafe ck_batch_norm_finish(
      &batchMean, &inverse, &scale, &shift, &runningMean, &runningVariance, mean, deviation, z.rows, gamma, beta,
      Self.epsilon, 0.03, channels)
  }
}

@Suite struct BatchNormTests {
  @Test(arguments: [1, 2, 3]) func forwardAgreesWithTheReference(threads: Int) {
    withThreads(threads) {
      for (rows, channels, slack) in mapShapes where rows > 1 {
        let z = Map("z", rows: rows, channels: channels, slack: slack, scale: 3)
        var layer = Layer(channels: channels)
        layer.measure(z)
        let (mean, variance) = Reference.statistics(z.values.doubles, channels: channels)
        let what = "\(rows) × \(channels)"
        expectClose(layer.mean, mean, absolute: 1e-6, what)
        expectClose(layer.deviation, variance.map { $0 * Double(rows) }, absolute: 1e-6, relative: 1e-6, what)
        expectClose(layer.runningMean.doubles, mean.map { 0.97 * 0.25 + 0.03 * $0 }, absolute: 1e-6, what)
        let unbiased = variance.map { 0.97 * 2 + 0.03 * $0 * Double(rows) / Double(rows - 1) }
        expectClose(layer.runningVariance.doubles, unbiased, absolute: 1e-6, what)

        for activation in allActivations {
          let residual = Map("r", rows: rows, channels: channels, slack: 1)
          var y = Map("y", rows: rows, channels: channels, slack: slack)
          let plain = Reference.batchNorm(
            z.values.doubles, gamma: layer.gamma.doubles, beta: layer.beta.doubles, epsilon: 1e-3, activation)
          unsafe ck_normalize_activate(
            &y.memory, y.stride, z.memory, z.stride, layer.batchMean, layer.scale, layer.shift, nil, 0, rows, channels,
            activation)
          expectClose(y.values.doubles, plain, absolute: 3e-6, "\(activation) \(what)")
          unsafe ck_normalize_activate(
            &y.memory, y.stride, z.memory, z.stride, layer.batchMean, layer.scale, layer.shift, residual.memory,
            residual.stride, rows, channels, activation)
          let sum = zip(plain, residual.values.doubles).map { $0 + $1 }
          expectClose(y.values.doubles, sum, absolute: 3e-6, "\(activation) \(what) residual")
          #expect(y.isSlackUntouched)
        }
      }
    }
  }

  @Test func statisticsOfImagesJoin() {
    let z = Map("z", rows: 6 * 391, channels: 21, scale: 2)
    var whole = Layer(channels: 21)
    var byImage = whole
    whole.measure(z)
    byImage.measure(z, images: 6)
    expectClose(byImage.mean, whole.mean, absolute: 1e-7)
    expectClose(byImage.deviation, whole.deviation, absolute: 0, relative: 1e-6)
  }

  /// Squares minus squared mean would leave no digit of these, z·scale − mean·scale four.
  @Test func aMeanFarFromZeroCostsNoDigits() {
    let small = DeterministicValues.uniform("z", count: 5000 * 19)
    let z = Map(small.map { 4096 + ($0 * 1024).rounded() / 1024 }, channels: 19)
    var layer = Layer(channels: 19)
    layer.measure(z)
    let (mean, variance) = Reference.statistics(z.values.doubles, channels: 19)
    expectClose(layer.mean, mean, absolute: 0, relative: 1e-9)
    expectClose(layer.deviation, variance.map { $0 * 5000 }, absolute: 0, relative: 1e-5)
    var y = z
    unsafe ck_normalize_activate(
      &y.memory, y.stride, z.memory, z.stride, layer.batchMean, layer.scale, layer.shift, nil, 0, 5000, 19, .CK_IDENTITY
    )
    let plain = Reference.batchNorm(
      z.values.doubles, gamma: layer.gamma.doubles, beta: layer.beta.doubles, epsilon: 1e-3, .CK_IDENTITY)
    expectClose(y.values.doubles, plain, absolute: 3e-6)
  }

  @Test func aConstantChannelHasNoVariance() {
    var layer = Layer(channels: 3)
    layer.measure(Map(Array(repeating: 0.1, count: 300), channels: 3))
    #expect(layer.deviation == [0, 0, 0])
    var broken = Layer(channels: 3)
    broken.measure(Map(Array(repeating: .nan, count: 300), channels: 3))
    #expect(broken.batchMean.allSatisfy { $0.isNaN })
    #expect(broken.inverse.allSatisfy { $0.isNaN })
  }

  @Test(arguments: allActivations) func backwardAgreesWithFiniteDifferences(activation: ck_activation) {
    for (rows, channels, slack) in [(6, 1, 0), (7, 3, 1), (12, 5, 0), (20, 4, 0)] {
      let z = Map("z\(rows)", rows: rows, channels: channels, slack: slack, scale: 2)
      let gradient = Map("g", rows: rows, channels: channels)
      var layer = Layer(channels: channels)
      layer.measure(z)
      let (dz, dGamma, dBeta) = gradients(layer, z, gradient, activation)
      let (x, r) = (z.values.doubles, gradient.values.doubles)
      let (gamma, beta) = (layer.gamma.doubles, layer.beta.doubles)
      func run(_ x: [Double], _ gamma: [Double], _ beta: [Double]) -> [Double] {
        Reference.batchNorm(x, gamma: gamma, beta: beta, epsilon: 1e-3, activation)
      }
      let what = "\(rows) × \(channels)"
      expectClose(
        dz.doubles, finiteDifferences(of: { run($0, gamma, beta) }, at: x, weights: r), absolute: 1e-5, what)
      expectClose(dGamma, finiteDifferences(of: { run(x, $0, beta) }, at: gamma, weights: r), absolute: 1e-5, what)
      expectClose(dBeta, finiteDifferences(of: { run(x, gamma, $0) }, at: beta, weights: r), absolute: 1e-5, what)
    }
  }

  /// Large maps against the formula in double (whose truth the small ones established).
  @Test(arguments: [1, 2, 3]) func backwardAgreesWithTheFormula(threads: Int) {
    withThreads(threads) {
      for (rows, channels, slack) in mapShapes where rows > 2 {
        let z = Map("z", rows: rows, channels: channels, slack: slack, scale: 3)
        let gradient = Map("g", rows: rows, channels: channels, slack: slack / 2)
        var layer = Layer(channels: channels)
        layer.measure(z)
        let (dz, dGamma, dBeta) = gradients(layer, z, gradient, .CK_SILU)
        let (mean, variance) = Reference.statistics(z.values.doubles, channels: channels)
        let inverse = variance.map { 1 / ($0 + 1e-3).squareRoot() }
        let x = z.values.enumerated().map { (Double($1) - mean[$0 % channels]) * inverse[$0 % channels] }
        let g = gradient.values.doubles
        let du = x.indices.map { i in
          let u = x[i] * Double(layer.gamma[i % channels]) + Double(layer.beta[i % channels])
          let s = Reference.activation(u, .CK_SIGMOID)
          return g[i] * s * (1 + u * (1 - s))
        }
        var (sumX, sum) = (Array(repeating: 0.0, count: channels), Array(repeating: 0.0, count: channels))
        for i in du.indices {
          sum[i % channels] += du[i]
          sumX[i % channels] += du[i] * x[i]
        }
        let expected = du.indices.map { i in
          let c = i % channels
          return Double(layer.gamma[c]) * inverse[c] * (du[i] - (sum[c] + x[i] * sumX[c]) / Double(rows))
        }
        let what = "\(rows) × \(channels)"
        expectClose(dBeta, sum, absolute: 1e-5, relative: 1e-6, what)
        expectClose(dGamma, sumX, absolute: 1e-5, relative: 1e-6, what)
        expectClose(dz.doubles, expected, absolute: 2e-6, what)
      }
    }
  }

  /// As a plan takes them: two lanes of rows, the activated map recomputed on the way.
  private func gradients(
    _ layer: Layer, _ z: Map, _ gradient: Map, _ activation: ck_activation
  ) -> (dz: [Float], dGamma: [Double], dBeta: [Double]) {
    let channels = z.channels
    var (sum, sumCentred) = ([Double](repeating: 0, count: channels), [Double](repeating: 0, count: channels))
    var du = gradient  // In place.
    var activated = Map("a", rows: z.rows, channels: channels, slack: 2)
    for (first, count) in [(0, z.rows / 2), (z.rows / 2, z.rows - z.rows / 2)] {
      unsafe du.memory.withUnsafeMutableBufferPointer { du in
        unsafe activated.memory.withUnsafeMutableBufferPointer { memory in
          unsafe z.memory.withUnsafeBufferPointer { z0 in
            let du = unsafe du.baseAddress! + first * gradient.stride
            unsafe ck_batch_norm_backward_reduce(
              du, gradient.stride, first == 0 ? memory.baseAddress! : nil, activated.stride, &sum, &sumCentred, du,
              gradient.stride, z0.baseAddress! + first * z.stride, z.stride, layer.batchMean, layer.scale,
              layer.shift, count, channels, activation)
          }
        }
      }
    }
    var (dGamma, dBeta) = ([Float](repeating: 1, count: channels), [Float](repeating: 1, count: channels))
    var (byDu, byZ, constant) = (dGamma, dGamma, dGamma)
    for accumulate in [false, true] {
      unsafe ck_batch_norm_backward_finish(
        &dGamma, &dBeta, &byDu, &byZ, &constant, sum, sumCentred, z.rows, layer.gamma, layer.inverse, channels,
        accumulate)
    }
    var expected = Map(z.values, channels: channels)
    unsafe ck_normalize_activate(
      &expected.memory, channels, z.memory, z.stride, layer.batchMean, layer.scale, layer.shift, nil, 0, z.rows,
      channels, activation)
    let half = z.rows / 2 * channels
    expectClose(Array(activated.values[..<half]), Array(expected.values[..<half]), absolute: 1e-6)
    var dz = Map("dz", rows: z.rows, channels: channels, slack: 1)
    unsafe ck_batch_norm_backward_apply(
      &dz.memory, dz.stride, du.memory, du.stride, z.memory, z.stride, layer.batchMean, byDu, byZ, constant, z.rows,
      channels)
    #expect(dz.isSlackUntouched && du.isSlackUntouched && activated.isSlackUntouched)
    return (dz.values, dGamma.map { Double($0) / 2 }, dBeta.map { Double($0) / 2 })
  }

  @Test func statisticsOfLanesMerge() {
    let z = Map("z", rows: 600, channels: 5, scale: 2)
    var whole = Layer(channels: 5)
    whole.measure(z)
    var (first, second) = (Layer(channels: 5), Layer(channels: 5))
    first.measure(Map(Array(z.memory[..<1250]), channels: 5))
    second.measure(Map(Array(z.memory[1250...]), channels: 5))
    unsafe ck_merge_statistics(&first.mean, &first.deviation, 250, second.mean, second.deviation, 350, 5)
    expectClose(first.mean, whole.mean, absolute: 1e-7)
    expectClose(first.deviation, whole.deviation, absolute: 0, relative: 1e-6)
  }

  @Test func resultsRepeatForAThreadCount() {
    let z = Map("z", rows: 4099, channels: 33)
    for threads in 1...4 {
      withThreads(threads) {
        var first = Layer(channels: 33)
        first.measure(z)
        for _ in 0..<5 {
          var again = Layer(channels: 33)
          again.measure(z)
          #expect(again.mean == first.mean && again.deviation == first.deviation)
        }
      }
    }
  }
}
