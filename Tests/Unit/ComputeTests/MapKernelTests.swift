import CKernels
import Network
import Testing
import TestSupport

/// Copying, adding, rearranging, pooling and scaling maps. All but the poolings are linear, and a linear operation's
/// gradient is its transpose: exact differences of the reference give it.
@Suite struct MapKernelTests {
  @Test func bytesBecomeUnits() {
    let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var result = Array(repeating: Float.nan, count: bytes.count)
    unsafe ck_unit_from_bytes(&result, bytes, bytes.count)
    #expect(result == bytes.map { Float($0) / 255 })
  }

  @Test(arguments: [1, 2]) func copiesAndAdds(threads: Int) {
    withThreads(threads) {
      for (rows, channels, slack) in mapShapes {
        let a = Map("a", rows: rows, channels: channels, slack: slack)
        let b = Map("b", rows: rows, channels: channels, slack: slack / 2)
        let y = Map("y", rows: rows, channels: channels, slack: slack)
        unsafe ck_copy(y.map, b.map, rows, channels)
        #expect(y.values == b.values)
        unsafe ck_add(y.map, y.map, a.map, rows, channels)
        #expect(y.values == zip(b.values, a.values).map { $0 + $1 })
        unsafe ck_add(y.map, a.map, a.map, rows, channels)
        #expect(y.values == a.values.map { $0 + $0 })
        var sums = Array(repeating: Float(1), count: channels)
        unsafe ck_sum_rows(&sums, a.map, rows, channels, true)
        let mean = Reference.statistics(a.values.doubles, channels: channels).mean
        expectClose(sums.doubles, mean.map { 1 + $0 * Double(rows) }, absolute: 3e-5, "\(rows) × \(channels)")
        #expect(y.isSlackUntouched)
      }
      var filled = Array(repeating: Float(0), count: 3001)
      unsafe ck_fill(&filled, 3001, 2.5)
      #expect(filled == Array(repeating: 2.5, count: 3001))
    }
  }

  @Test(arguments: [(4, 2), (6, 3), (116, 2), (10, 5), (24, 4)]) func shuffles(channels: Int, groups: Int) {
    let x = Map("x", rows: 9, channels: channels, slack: 3)
    let y = Map("y", rows: 9, channels: channels, slack: 1)
    unsafe ck_shuffle(y.map, x.map, 9, channels, groups)
    #expect(y.values.doubles == Reference.shuffled(x.values.doubles, channels: channels, groups: groups))
    let back = Map("b", rows: 9, channels: channels)
    unsafe ck_shuffle_backward(back.map, y.map, 9, channels, groups, false)
    #expect(back.values == x.values)
    unsafe ck_shuffle_backward(back.map, y.map, 9, channels, groups, true)
    #expect(back.values == x.values.map { $0 + $0 })
  }

  @Test(arguments: [1, 2, 3]) func upsamples(factor: Int) {
    let shape = Reference.Shape(images: 2, height: 3, width: 5, channels: 11)
    let x = Map("x", rows: shape.rows, channels: 11, slack: 2)
    let y = Map("y", rows: shape.rows * factor * factor, channels: 11, slack: 4)
    unsafe ck_upsample(y.map, x.map, 2 * 3, 5, 11, factor)
    #expect(y.values.doubles == Reference.upsample(x.values.doubles, shape, factor: factor))
    let g = Map("g", rows: y.rows, channels: 11, slack: 1)
    let expected = finiteDifferences(
      of: { Reference.upsample($0, shape, factor: factor) }, at: x.values.doubles, weights: g.values.doubles, step: 1)
    let dx = Map("dx", rows: shape.rows, channels: 11, slack: 2)
    for times in 1...2 {
      unsafe ck_upsample_backward(dx.map, g.map, 2 * 3, 5, 11, factor, times == 2)
      expectClose(dx.values.doubles, expected.map { $0 * Double(times) }, absolute: 2e-6)
    }
    #expect(y.isSlackUntouched && dx.isSlackUntouched)
  }

  @Test(arguments: [
    (5, 1, 2, 7, 9, 3), (5, 1, 2, 3, 1, 70), (3, 2, 1, 8, 7, 24), (2, 2, 0, 6, 6, 5), (13, 1, 6, 4, 5, 2),
    (5, 1, 2, 20, 20, 64), (1, 1, 0, 2, 2, 130),
  ])
  func poolsMaxima(kernel: Int, stride: Int, padding: Int, height: Int, width: Int, channels: Int) {
    let shape = Reference.Shape(images: 2, height: height, width: width, channels: channels)
    let pool = Pool(kernel: kernel, stride: stride, padding: padding)
    // Few different values, so that there are ties: the first in row-major order wins.
    let coarse = DeterministicValues.uniform("x", count: shape.count).map { ($0 * 4).rounded() / 4 }
    let x = Map(coarse, channels: channels, slack: 2)
    let expected = Reference.maxPool(x.values.doubles, shape, pool)
    for threads in 1...2 {
      withThreads(threads) {
        let y = Map("y", rows: expected.shape.rows, channels: channels, slack: 1)
        var winners = Array(repeating: UInt8(255), count: expected.shape.count)
        let window = pool.window(shape, expected.shape)
        unsafe ck_max_pool(y.map, &winners, x.map, window)
        #expect(y.values.doubles == expected.values)
        #expect(winners == expected.winners)
        let withoutWinners = Map("z", rows: expected.shape.rows, channels: channels)
        unsafe ck_max_pool(withoutWinners.map, nil, x.map, window)
        #expect(withoutWinners.values == y.values)

        let g = Map("g", rows: expected.shape.rows, channels: channels, slack: 3)
        let dx = Map("dx", rows: shape.rows, channels: channels, slack: 2)
        let (before, gradients) = (dx.values.doubles, g.values.doubles)
        var routed = Array(repeating: 0.0, count: shape.count)
        for at in expected.values.indices {
          let (pixel, c) = (at / channels, at % channels)
          let (line, ow) = (pixel / expected.shape.width, pixel % expected.shape.width)
          let (n, oh) = (line / expected.shape.height, line % expected.shape.height)
          let tap = Int(expected.winners[at])
          let (h, w) = (oh * stride - padding + tap / kernel, ow * stride - padding + tap % kernel)
          routed[shape.index(n, h, w, c)] += gradients[at]
        }
        for accumulate in [true, false] {
          unsafe ck_max_pool_backward(dx.map, g.map, winners, window, accumulate)
          let sum = accumulate ? zip(before, routed).map { $0 + $1 } : routed
          expectClose(dx.values.doubles, sum, absolute: 4e-6)
        }
        #expect(y.isSlackUntouched && dx.isSlackUntouched)
      }
    }
  }

  @Test func maximumOfNotANumberIsNotANumber() {
    var x = Array(repeating: Float(1), count: 25 * 8)
    x[12 * 8 + 3] = .nan
    let (map, y) = (Map(x, channels: 8), Map(x, channels: 8))
    var winners = Array(repeating: UInt8(0), count: 25 * 8)
    let shape = Reference.Shape(height: 5, width: 5, channels: 8)
    let window = Pool(kernel: 5, stride: 1, padding: 2).window(shape, shape)
    unsafe ck_max_pool(y.map, &winners, map.map, window)
    #expect(y.values.indices.allSatisfy { y.values[$0].isNaN == ($0 % 8 == 3) })
    unsafe ck_max_pool(y.map, nil, map.map, window)
    #expect(y.values.indices.allSatisfy { y.values[$0].isNaN == ($0 % 8 == 3) })
  }

  @Test(arguments: [
    (3, 2, 1, 8, 7, 24), (3, 2, 1, 1, 1, 3), (2, 2, 0, 6, 6, 5), (5, 1, 2, 7, 9, 70), (3, 3, 1, 10, 4, 13),
  ])
  func averagesWindows(kernel: Int, stride: Int, padding: Int, height: Int, width: Int, channels: Int) {
    let shape = Reference.Shape(images: 2, height: height, width: width, channels: channels)
    let pool = Pool(kernel: kernel, stride: stride, padding: padding)
    let x = Map("x", rows: shape.rows, channels: channels, slack: 2)
    let expected = Reference.averagePool(x.values.doubles, shape, pool)
    let g = Map("g", rows: expected.shape.rows, channels: channels, slack: 3)
    // Of a linear function: any step is exact.
    let byInput = finiteDifferences(
      of: { Reference.averagePool($0, shape, pool).values }, at: x.values.doubles, weights: g.values.doubles, step: 1)
    for threads in 1...2 {
      withThreads(threads) {
        let y = Map("y", rows: expected.shape.rows, channels: channels, slack: 1)
        let window = pool.window(shape, expected.shape)
        unsafe ck_average_windows(y.map, x.map, window)
        expectClose(y.values.doubles, expected.values, absolute: 4e-7)
        let dx = Map("dx", rows: shape.rows, channels: channels, slack: 2)
        let before = dx.values.doubles
        for accumulate in [true, false] {
          unsafe ck_average_windows_backward(dx.map, g.map, window, accumulate)
          expectClose(
            dx.values.doubles, accumulate ? zip(before, byInput).map { $0 + $1 } : byInput, absolute: 1e-6)
        }
        #expect(y.isSlackUntouched && dx.isSlackUntouched)
      }
    }
  }

  @Test(arguments: [(1, 1, 5), (3, 4, 70), (13, 7, 24), (40, 41, 16)])
  func poolsAveragesAndScales(height: Int, width: Int, channels: Int) {
    let shape = Reference.Shape(images: 3, height: height, width: width, channels: channels)
    let x = Map("x", rows: shape.rows, channels: channels, slack: 2)
    var means = Array(repeating: Float.nan, count: 3 * channels)
    unsafe ck_average_pool(&means, x.map, 3, shape.pixels, channels)
    expectClose(means.doubles, Reference.averagePool(x.values.doubles, shape), absolute: 1e-6)

    let y = Map("y", rows: shape.rows, channels: channels, slack: 1)
    let factors = DeterministicValues.uniform("factors", count: 3 * channels)
    unsafe ck_scale_channels(y.map, x.map, factors, 3, shape.pixels, channels)
    let expected = Reference.scaled(x.values.doubles, shape, factors: factors.doubles)
    expectClose(y.values.doubles, expected, absolute: 1e-7)

    // d factors = images' sums of g·x; d x = g·factors; the average's gradient is shared out evenly.
    let g = Map("g", rows: shape.rows, channels: channels)
    let products = zip(g.values.doubles, x.values.doubles).map { $0 * $1 }
    let sums = Reference.averagePool(products, shape).map { $0 * Double(shape.pixels) }
    let through = Reference.scaled(g.values.doubles, shape, factors: factors.doubles)
    let dx = Map("dx", rows: shape.rows, channels: channels, slack: 2)
    var dFactors = Array(repeating: Float(0), count: 3 * channels)
    unsafe ck_scale_channels(dx.map, g.map, factors, 3, shape.pixels, channels)
    expectClose(dx.values.doubles, through, absolute: 1e-6)
    unsafe ck_sum_products(&dFactors, g.map, x.map, 3, shape.pixels, channels)
    expectClose(dFactors.doubles, sums, absolute: 2e-5)
    for times in 1...2 {
      unsafe ck_average_pool_backward(dx.map, factors, 3, shape.pixels, channels, times == 2)
      let even = Reference.scaled(
        Array(repeating: Double(times) / Double(shape.pixels), count: shape.count), shape, factors: factors.doubles)
      expectClose(dx.values.doubles, even, absolute: 1e-7, relative: 1e-6)
    }
    #expect(y.isSlackUntouched && dx.isSlackUntouched)
  }

  @Test func squeezeExciteAgreesWithFiniteDifferences() {
    let shape = Reference.Shape(images: 2, height: 3, width: 2, channels: 3)
    let x = Map("x", rows: shape.rows, channels: 3)
    let factors = DeterministicValues.uniform("factors", count: 6)
    let g = Map("g", rows: shape.rows, channels: 3)
    let dx = x.copy
    var dFactors = factors
    unsafe ck_scale_channels(dx.map, g.map, factors, 2, 6, 3)
    unsafe ck_sum_products(&dFactors, g.map, x.map, 2, 6, 3)
    let byInput = finiteDifferences(
      of: { Reference.scaled($0, shape, factors: factors.doubles) }, at: x.values.doubles, weights: g.values.doubles)
    let byFactor = finiteDifferences(
      of: { Reference.scaled(x.values.doubles, shape, factors: $0) }, at: factors.doubles, weights: g.values.doubles)
    expectClose(dx.values.doubles, byInput, absolute: 1e-6)
    expectClose(dFactors.doubles, byFactor, absolute: 1e-6)
    unsafe ck_average_pool_backward(dx.map, factors, 2, 6, 3, false)
    let byMean = finiteDifferences(
      of: { Reference.averagePool($0, shape) }, at: x.values.doubles, weights: factors.doubles)
    expectClose(dx.values.doubles, byMean, absolute: 1e-6)
  }

  @Test(arguments: [1, 2, 3]) func joinsParts(count: Int) {
    let parts = DeterministicValues.uniform("parts", count: count * 1000)
    var sum = Array(repeating: Float(0), count: 999)
    let expected = sum.indices.map { i in (0..<count).reduce(Float(0)) { $0 + parts[$1 * 1000 + i] } }
    unsafe ck_join_parts(&sum, parts, 1000, Int32(count), 999, false)
    #expect(sum == expected)
    unsafe ck_join_parts(&sum, parts, 1000, Int32(count), 999, true)
    #expect(sum == expected.map { $0 * 2 })
  }

  @Test func transposes() {
    let x = DeterministicValues.uniform("x", count: 3 * 37 * 9)
    var y = x
    unsafe ck_transpose(&y, x, 3, 37, 9, false)
    for m in 0..<3 {
      for i in 0..<37 {
        for j in 0..<9 { #expect(y[m * 333 + j * 37 + i] == x[m * 333 + i * 9 + j]) }
      }
    }
    let once = y
    unsafe ck_transpose(&y, x, 3, 37, 9, true)
    #expect(y == once.map { $0 * 2 })
  }
}

extension Pool {
  fileprivate func window(_ input: Reference.Shape, _ output: Reference.Shape) -> ck_window {
    ck_window(
      images: input.images, height: input.height, width: input.width, channels: input.channels,
      out_height: output.height, out_width: output.width, kernel: kernel, stride: stride, padding: padding)
  }
}
