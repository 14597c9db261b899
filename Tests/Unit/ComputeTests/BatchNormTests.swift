import CKernels
import Testing
import TestSupport

/// One batch norm with its activation, forward and backward, as a plan runs it: image by image.
private final class Layer {
  /// The rows of `vectors`.
  enum Row: Int, CaseIterable {
    case gamma, beta, batchMean, inverse, scale, shift, runningMean, runningVariance
    case gammaGradient, betaGradient, byDu, byZ, constant
  }

  let channels: Int
  let vectors: Map
  var mean: [Double]
  var deviation: [Double]
  static let epsilon: Float = 1e-3

  init(channels: Int) {
    self.channels = channels
    mean = Array(repeating: .nan, count: channels)  // Overwritten by the first image.
    deviation = mean
    let values = Row.allCases.flatMap { row -> [Float] in
      switch row {
      case .gamma: DeterministicValues.uniform("gamma", count: channels).map { 1 + 0.5 * $0 }
      case .beta: DeterministicValues.uniform("beta", count: channels).map { 0.3 * $0 }
      case .runningVariance: Array(repeating: 2, count: channels)
      default: Array(repeating: Float(0.25), count: channels)
      }
    }
    vectors = Map(values, channels: channels)
  }

  subscript(row: Row) -> [Float] { Array(vectors.values[(row.rawValue * channels)..<((row.rawValue + 1) * channels)]) }
  func pointer(_ row: Row) -> UnsafeMutablePointer<Float> {
    unsafe vectors.from(row: row.rawValue).data.assumingMemoryBound(to: Float.self)
  }

  func measure(_ z: Map, images: Int = 1) {
    let rows = z.rows / images
    for image in 0..<images {
      unsafe withMoments(image * rows) { unsafe ck_statistics($0, z.from(row: image * rows), rows, channels) }
    }
    unsafe withMoments(z.rows) { moments in
      unsafe ck_batch_norm_finish(
        ck_batch_norm_finish_args(
          batch_mean: pointer(.batchMean), inverse_deviation: pointer(.inverse), scale: pointer(.scale),
          shift: pointer(.shift), running_mean: pointer(.runningMean), running_variance: pointer(.runningVariance),
          moments: moments, gamma: pointer(.gamma), beta: pointer(.beta), epsilon: Self.epsilon, momentum: 0.03,
          channels: channels))
    }
  }

  func withMoments(_ count: Int, _ body: (ck_moments) -> Void) {
    unsafe mean.withUnsafeMutableBufferPointer { mean in
      unsafe deviation.withUnsafeMutableBufferPointer { deviation in
        unsafe body(ck_moments(mean: mean.baseAddress, deviation: deviation.baseAddress, count: count))
      }
    }
  }

  /// `activation(batch norm of z) (+ residual)` into `y`.
  func normalize(_ z: Map, _ activation: ck_activation, residual: Map? = nil, into y: Map) {
    unsafe ck_normalize_activate(
      ck_normalize_args(
        dst: y.map, src: z.map, residual: residual?.map ?? ck_map(), mean: pointer(.batchMean),
        scale: pointer(.scale), shift: pointer(.shift), rows: z.rows, channels: channels, activation: activation))
  }
}

@Suite struct BatchNormTests {
  @Test(arguments: [1, 2, 3], elements) func forwardAgreesWithTheReference(threads: Int, element: ck_element) {
    withThreads(threads) {
      for (rows, channels, slack) in mapShapes where rows > 1 {
        let z = Map("z", rows: rows, channels: channels, slack: slack, scale: 3, element: element)
        let layer = Layer(channels: channels)
        layer.measure(z)
        let (mean, variance) = Reference.statistics(z.values.doubles, channels: channels)
        let what = "\(rows) × \(channels)"
        expectClose(layer.mean, mean, absolute: 1e-6, what)
        expectClose(layer.deviation, variance.map { $0 * Double(rows) }, absolute: 1e-6, relative: 1e-6, what)
        expectClose(layer[.runningMean].doubles, mean.map { 0.97 * 0.25 + 0.03 * $0 }, absolute: 1e-6, what)
        let unbiased = variance.map { 0.97 * 2 + 0.03 * $0 * Double(rows) / Double(rows - 1) }
        expectClose(layer[.runningVariance].doubles, unbiased, absolute: 1e-6, what)

        for activation in allActivations {
          let residual = Map("r", rows: rows, channels: channels, slack: 1, element: element)
          let y = Map("y", rows: rows, channels: channels, slack: slack, element: element)
          let plain = Reference.batchNorm(
            z.values.doubles, gamma: layer[.gamma].doubles, beta: layer[.beta].doubles, epsilon: 1e-3, activation)
          layer.normalize(z, activation, into: y)
          expectClose(y, plain, absolute: 3e-6, "\(activation) \(what)")
          layer.normalize(z, activation, residual: residual, into: y)
          let sum = zip(plain, residual.values.doubles).map { $0 + $1 }
          expectClose(y, sum, absolute: 3e-6, "\(activation) \(what) residual")
          #expect(y.isSlackUntouched)
        }
      }
    }
  }

  @Test func statisticsOfImagesJoin() {
    let z = Map("z", rows: 6 * 391, channels: 21, scale: 2)
    let whole = Layer(channels: 21)
    let byImage = Layer(channels: 21)
    whole.measure(z)
    byImage.measure(z, images: 6)
    expectClose(byImage.mean, whole.mean, absolute: 1e-7)
    expectClose(byImage.deviation, whole.deviation, absolute: 0, relative: 1e-6)
  }

  /// Squares minus squared mean would leave no digit of these, z·scale − mean·scale four.
  @Test func aMeanFarFromZeroCostsNoDigits() {
    let small = DeterministicValues.uniform("z", count: 5000 * 19)
    let z = Map(small.map { 4096 + ($0 * 1024).rounded() / 1024 }, channels: 19)
    let layer = Layer(channels: 19)
    layer.measure(z)
    let (mean, variance) = Reference.statistics(z.values.doubles, channels: 19)
    expectClose(layer.mean, mean, absolute: 0, relative: 1e-9)
    expectClose(layer.deviation, variance.map { $0 * 5000 }, absolute: 0, relative: 1e-5)
    let y = z.copy
    layer.normalize(z, .CK_IDENTITY, into: y)
    let plain = Reference.batchNorm(
      z.values.doubles, gamma: layer[.gamma].doubles, beta: layer[.beta].doubles, epsilon: 1e-3, .CK_IDENTITY)
    expectClose(y.values.doubles, plain, absolute: 3e-6)
  }

  @Test func aConstantChannelHasNoVariance() {
    let layer = Layer(channels: 3)
    layer.measure(Map(Array(repeating: 0.1, count: 300), channels: 3))
    #expect(layer.deviation == [0, 0, 0])
    let broken = Layer(channels: 3)
    broken.measure(Map(Array(repeating: .nan, count: 300), channels: 3))
    #expect(broken[.batchMean].allSatisfy { $0.isNaN })
    #expect(broken[.inverse].allSatisfy { $0.isNaN })
  }

  @Test(arguments: allActivations) func backwardAgreesWithFiniteDifferences(activation: ck_activation) {
    for (rows, channels, slack) in [(6, 1, 0), (7, 3, 1), (12, 5, 0), (20, 4, 0)] {
      let z = Map("z\(rows)", rows: rows, channels: channels, slack: slack, scale: 2)
      let gradient = Map("g", rows: rows, channels: channels)
      let layer = Layer(channels: channels)
      layer.measure(z)
      let (_, dz, dGamma, dBeta) = gradients(layer, z, gradient, activation)
      let (x, r) = (z.values.doubles, gradient.values.doubles)
      let (gamma, beta) = (layer[.gamma].doubles, layer[.beta].doubles)
      func run(_ x: [Double], _ gamma: [Double], _ beta: [Double]) -> [Double] {
        Reference.batchNorm(x, gamma: gamma, beta: beta, epsilon: 1e-3, activation)
      }
      let what = "\(rows) × \(channels)"
      expectClose(
        dz, finiteDifferences(of: { run($0, gamma, beta) }, at: x, weights: r), absolute: 1e-5, what)
      expectClose(dGamma, finiteDifferences(of: { run(x, $0, beta) }, at: gamma, weights: r), absolute: 1e-5, what)
      expectClose(dBeta, finiteDifferences(of: { run(x, gamma, $0) }, at: beta, weights: r), absolute: 1e-5, what)
    }
  }

  /// Large maps against the formula in double (whose truth the small ones established).
  @Test(arguments: [1, 2, 3], elements) func backwardAgreesWithTheFormula(threads: Int, element: ck_element) {
    withThreads(threads) {
      for (rows, channels, slack) in mapShapes where rows > 2 {
        let z = Map("z", rows: rows, channels: channels, slack: slack, scale: 3, element: element)
        let gradient = Map("g", rows: rows, channels: channels, slack: slack / 2, element: element)
        let layer = Layer(channels: channels)
        layer.measure(z)
        let (stored, dz, dGamma, dBeta) = gradients(layer, z, gradient, .CK_SILU)
        let (mean, variance) = Reference.statistics(z.values.doubles, channels: channels)
        let inverse = variance.map { 1 / ($0 + 1e-3).squareRoot() }
        let x = z.values.enumerated().map { (Double($1) - mean[$0 % channels]) * inverse[$0 % channels] }
        let g = gradient.values.doubles
        let du = x.indices.map { i in
          let u = x[i] * Double(layer[.gamma][i % channels]) + Double(layer[.beta][i % channels])
          let s = Reference.activation(u, .CK_SIGMOID)
          return g[i] * s * (1 + u * (1 - s))
        }
        var (sumX, sum) = (Array(repeating: 0.0, count: channels), Array(repeating: 0.0, count: channels))
        for i in du.indices {
          sum[i % channels] += du[i]
          sumX[i % channels] += du[i] * x[i]
        }
        // The sums are of du as it was computed, the rest of it as it was stored.
        let rounded = element == .CK_FLOAT32 ? du : stored.values.doubles
        let gamma = layer[.gamma].doubles
        let expected = du.indices.map { i in
          let c = i % channels
          return gamma[c] * inverse[c] * (rounded[i] - (sum[c] + x[i] * sumX[c]) / Double(rows))
        }
        let what = "\(rows) × \(channels)"
        expectClose(dBeta, sum, absolute: 1e-5, relative: 1e-6, what)
        expectClose(dGamma, sumX, absolute: 1e-5, relative: 1e-6, what)
        expectClose(stored, du, absolute: 2e-6, what)
        expectClose(dz, expected, absolute: 2e-6, what)
      }
    }
  }

  /// As a plan takes them: two lanes of rows, the activated map recomputed on the way.
  private func gradients(
    _ layer: Layer, _ z: Map, _ gradient: Map, _ activation: ck_activation
  ) -> (du: Map, dz: Map, dGamma: [Double], dBeta: [Double]) {
    let channels = z.channels
    var (sum, sumCentred) = ([Double](repeating: 0, count: channels), [Double](repeating: 0, count: channels))
    let du = gradient.copy  // In place.
    let activated = Map("a", rows: z.rows, channels: channels, slack: 2, element: z.element)
    for (first, count) in [(0, z.rows / 2), (z.rows / 2, z.rows - z.rows / 2)] {
      unsafe sum.withUnsafeMutableBufferPointer { sum in
        unsafe sumCentred.withUnsafeMutableBufferPointer { sumCentred in
          unsafe ck_batch_norm_backward_reduce(
            ck_batch_norm_reduce_args(
              du: du.from(row: first), activated: first == 0 ? activated.map : ck_map(), sum_du: sum.baseAddress,
              sum_du_centred: sumCentred.baseAddress, gradient: du.from(row: first), z: z.from(row: first),
              mean: layer.pointer(.batchMean), scale: layer.pointer(.scale), shift: layer.pointer(.shift),
              rows: count, channels: channels, activation: activation))
        }
      }
    }
    for accumulate in [false, true] {
      unsafe sum.withUnsafeBufferPointer { sum in
        unsafe sumCentred.withUnsafeBufferPointer { sumCentred in
          unsafe ck_batch_norm_backward_finish(
            ck_batch_norm_backward_finish_args(
              gamma_gradient: layer.pointer(.gammaGradient), beta_gradient: layer.pointer(.betaGradient),
              by_du: layer.pointer(.byDu), by_z: layer.pointer(.byZ), constant: layer.pointer(.constant),
              sum_du: sum.baseAddress, sum_du_centred: sumCentred.baseAddress, count: z.rows,
              gamma: layer.pointer(.gamma), inverse_deviation: layer.pointer(.inverse), channels: channels,
              accumulate: accumulate))
        }
      }
    }
    let expected = Map(z.values, channels: channels)
    layer.normalize(expected, activation, into: expected)
    let half = z.rows / 2 * channels
    expectClose(
      Array(activated.values[..<half]), Array(expected.values[..<half]), absolute: 1e-6, relative: z.element.rounding)
    let dz = Map("dz", rows: z.rows, channels: channels, slack: 1, element: z.element)
    unsafe ck_batch_norm_backward_apply(
      ck_batch_norm_apply_args(
        dst: dz.map, du: du.map, z: z.map, mean: layer.pointer(.batchMean), by_du: layer.pointer(.byDu),
        by_z: layer.pointer(.byZ), constant: layer.pointer(.constant), rows: z.rows, channels: channels))
    let (dGamma, dBeta) = (layer[.gammaGradient], layer[.betaGradient])
    #expect(dz.isSlackUntouched && du.isSlackUntouched && activated.isSlackUntouched)
    return (du, dz, dGamma.map { Double($0) / 2 }, dBeta.map { Double($0) / 2 })
  }

  @Test func statisticsOfLanesMerge() {
    let z = Map("z", rows: 600, channels: 5, scale: 2)
    let whole = Layer(channels: 5)
    whole.measure(z)
    let (first, second) = (Layer(channels: 5), Layer(channels: 5))
    first.measure(Map(Array(z.values[..<1250]), channels: 5))
    second.measure(Map(Array(z.values[1250...]), channels: 5))
    unsafe first.withMoments(250) { moments in
      unsafe second.withMoments(350) { unsafe ck_merge_statistics(moments, $0, 5) }
    }
    expectClose(first.mean, whole.mean, absolute: 1e-7)
    expectClose(first.deviation, whole.deviation, absolute: 0, relative: 1e-6)
  }

  @Test func resultsRepeatForAThreadCount() {
    let z = Map("z", rows: 4099, channels: 33)
    for threads in 1...4 {
      withThreads(threads) {
        let first = Layer(channels: 33)
        first.measure(z)
        for _ in 0..<5 {
          let again = Layer(channels: 33)
          again.measure(z)
          #expect(again.mean == first.mean && again.deviation == first.deviation)
        }
      }
    }
  }
}
