import CKernels
import Network
import Testing
import TestSupport

/// Copying, adding, rearranging, pooling and scaling maps. All but the poolings are linear, and a linear operation's
/// gradient is its transpose: exact differences of the reference give it.
@Suite struct MapKernelTests {
  @Test(arguments: elements) func bytesBecomeUnits(element: ck_element) {
    let bytes = (0..<5001).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    for slack in [0, 2] {
      let result = Map("y", rows: 1667, channels: 3, slack: slack, element: element)
      unsafe ck_unit_from_bytes(result.map, bytes, 1667, 3)
      #expect(result.values == element.round(bytes.map { Float($0) / 255 }))
      #expect(result.isSlackUntouched)
    }
  }

  /// Every bfloat16 is a float, and every other float becomes the nearest, in whole vectors and in what remains.
  @Test func copyingConverts() {
    let all = (0...UInt16.max).map { Float(bfloat16: $0) }
    let ties = (0...UInt16.max).map { Float(bitPattern: UInt32($0) << 16 | 0x8000) }
    let others = (0..<100_003).map {
      Float(bitPattern: UInt32(truncatingIfNeeded: DeterministicValues.random(seed: 7, $0)))
    }
    for values in [all, ties, others] {
      for channels in [1, 7, values.count] {
        let rows = values.count / channels
        let from = Map(Array(values[..<(rows * channels)]), channels: channels, slack: 1)
        let narrow = Map("n", rows: rows, channels: channels, slack: 2, element: .CK_BFLOAT16)
        unsafe ck_copy(narrow.map, from.map, rows, channels)
        let expected = from.values.map { Float(bfloat16: $0.bfloat16).bitPattern }
        #expect(narrow.values.map(\.bitPattern) == expected)
        let wide = Map("w", rows: rows, channels: channels)
        unsafe ck_copy(wide.map, narrow.map, rows, channels)
        #expect(wide.values.map(\.bitPattern) == expected)
        #expect(narrow.isSlackUntouched)
      }
    }
    #expect(all.allSatisfy { $0.isNaN || Float(bfloat16: $0.bfloat16) == $0 })
  }

  @Test(arguments: [1, 2], elements) func copiesAndAdds(threads: Int, element: ck_element) {
    withThreads(threads) {
      for (rows, channels, slack) in mapShapes {
        let a = Map("a", rows: rows, channels: channels, slack: slack, element: element)
        let b = Map("b", rows: rows, channels: channels, slack: slack / 2, element: element)
        let y = Map("y", rows: rows, channels: channels, slack: slack, element: element)
        unsafe ck_copy(y.map, b.map, rows, channels)
        #expect(y.values == b.values)
        unsafe ck_add(y.map, y.map, a.map, rows, channels)
        #expect(y.values == element.round(zip(b.values, a.values).map { $0 + $1 }))
        unsafe ck_add(y.map, a.map, a.map, rows, channels)
        #expect(y.values == a.values.map { $0 + $0 })
        var sums = Array(repeating: Float(1), count: channels)
        unsafe ck_sum_rows(&sums, a.map, rows, channels, true)
        let mean = Reference.statistics(a.values.doubles, channels: channels).mean
        expectClose(sums.doubles, mean.map { 1 + $0 * Double(rows) }, absolute: 3e-5, "\(rows) × \(channels)")
        unsafe ck_fill(y.map, rows, channels, 2.5)
        #expect(y.values.allSatisfy { $0 == 2.5 })
        #expect(y.isSlackUntouched)
      }
    }
  }

  @Test(arguments: [(4, 2), (6, 3), (116, 2), (10, 5), (24, 4)], elements)
  func shuffles(_ shape: (channels: Int, groups: Int), element: ck_element) {
    let (channels, groups) = shape
    let x = Map("x", rows: 9, channels: channels, slack: 3, element: element)
    let y = Map("y", rows: 9, channels: channels, slack: 1, element: element)
    unsafe ck_shuffle(y.map, x.map, 9, channels, groups)
    #expect(y.values.doubles == Reference.shuffled(x.values.doubles, channels: channels, groups: groups))
    let back = Map("b", rows: 9, channels: channels, element: element)
    unsafe ck_shuffle_backward(back.map, y.map, 9, channels, groups, false)
    #expect(back.values == x.values)
    unsafe ck_shuffle_backward(back.map, y.map, 9, channels, groups, true)
    #expect(back.values == x.values.map { $0 + $0 })
  }

  @Test(arguments: [(1, 11), (2, 11), (2, 70), (3, 11)], elements)
  func upsamples(_ example: (factor: Int, channels: Int), element: ck_element) {
    let (factor, channels) = example
    let shape = Reference.Shape(images: 2, height: 3, width: 5, channels: channels)
    let x = Map("x", rows: shape.rows, channels: channels, slack: 2, element: element)
    let y = Map("y", rows: shape.rows * factor * factor, channels: channels, slack: 4, element: element)
    unsafe ck_upsample(y.map, x.map, 2 * 3, 5, channels, factor)
    #expect(y.values.doubles == Reference.upsample(x.values.doubles, shape, factor: factor))
    let g = Map("g", rows: y.rows, channels: channels, slack: 1, element: element)
    let expected = finiteDifferences(
      of: { Reference.upsample($0, shape, factor: factor) }, at: x.values.doubles, weights: g.values.doubles, step: 1)
    let dx = Map("dx", rows: shape.rows, channels: channels, slack: 2, element: element)
    for accumulate in [false, true] {
      let before = accumulate ? dx.values.doubles : Array(repeating: 0, count: shape.count)
      unsafe ck_upsample_backward(dx.map, g.map, 2 * 3, 5, channels, factor, accumulate)
      expectClose(dx, zip(before, expected).map { $0 + $1 }, absolute: 2e-6)
    }
    #expect(y.isSlackUntouched && dx.isSlackUntouched)
  }

  typealias Pooling = (kernel: Int, stride: Int, padding: Int, height: Int, width: Int, channels: Int)

  @Test(
    arguments: [
      (5, 1, 2, 7, 9, 3), (5, 1, 2, 3, 1, 70), (3, 2, 1, 8, 7, 24), (2, 2, 0, 6, 6, 5), (13, 1, 6, 4, 5, 2),
      (5, 1, 2, 20, 20, 64), (1, 1, 0, 2, 2, 130),
    ], elements)
  func poolsMaxima(_ example: Pooling, element: ck_element) {
    let (kernel, stride, padding, height, width, channels) = example
    let shape = Reference.Shape(images: 2, height: height, width: width, channels: channels)
    let pool = Pool(kernel: kernel, stride: stride, padding: padding)
    // Few different values, so that there are ties: the first in row-major order wins.
    let coarse = DeterministicValues.uniform("x", count: shape.count).map { ($0 * 4).rounded() / 4 }
    let x = Map(coarse, channels: channels, slack: 2, element: element)
    let expected = Reference.maxPool(x.values.doubles, shape, pool)
    for threads in 1...2 {
      withThreads(threads) {
        let y = Map("y", rows: expected.shape.rows, channels: channels, slack: 1, element: element)
        var winners = Array(repeating: UInt8(255), count: expected.shape.count)
        let window = pool.window(shape, expected.shape)
        unsafe ck_max_pool(y.map, &winners, x.map, window)
        #expect(y.values.doubles == expected.values)
        #expect(winners == expected.winners)
        let withoutWinners = Map("z", rows: expected.shape.rows, channels: channels, element: element)
        unsafe ck_max_pool(withoutWinners.map, nil, x.map, window)
        #expect(withoutWinners.values == y.values)

        let g = Map("g", rows: expected.shape.rows, channels: channels, slack: 3, element: element)
        let dx = Map("dx", rows: shape.rows, channels: channels, slack: 2, element: element)
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
          expectClose(dx, sum, absolute: 4e-6)
        }
        #expect(y.isSlackUntouched && dx.isSlackUntouched)
      }
    }
  }

  @Test(arguments: elements) func maximumOfNotANumberIsNotANumber(element: ck_element) {
    var x = Array(repeating: Float(1), count: 25 * 8)
    x[12 * 8 + 3] = .nan
    let (map, y) = (Map(x, channels: 8, element: element), Map(x, channels: 8, element: element))
    var winners = Array(repeating: UInt8(0), count: 25 * 8)
    let shape = Reference.Shape(height: 5, width: 5, channels: 8)
    let window = Pool(kernel: 5, stride: 1, padding: 2).window(shape, shape)
    unsafe ck_max_pool(y.map, &winners, map.map, window)
    #expect(y.values.indices.allSatisfy { y.values[$0].isNaN == ($0 % 8 == 3) })
    unsafe ck_max_pool(y.map, nil, map.map, window)
    #expect(y.values.indices.allSatisfy { y.values[$0].isNaN == ($0 % 8 == 3) })
  }

  @Test(
    arguments: [
      (3, 2, 1, 8, 7, 24), (3, 2, 1, 1, 1, 3), (2, 2, 0, 6, 6, 5), (5, 1, 2, 7, 9, 11), (5, 1, 2, 3, 4, 70),
      (3, 3, 1, 10, 4, 13),
    ], elements)
  func averagesWindows(_ example: Pooling, element: ck_element) {
    let (kernel, stride, padding, height, width, channels) = example
    let shape = Reference.Shape(images: 2, height: height, width: width, channels: channels)
    let pool = Pool(kernel: kernel, stride: stride, padding: padding)
    let x = Map("x", rows: shape.rows, channels: channels, slack: 2, element: element)
    let expected = Reference.averagePool(x.values.doubles, shape, pool)
    let g = Map("g", rows: expected.shape.rows, channels: channels, slack: 3, element: element)
    // The function is linear, so any step is exact.
    let byInput = finiteDifferences(
      of: { Reference.averagePool($0, shape, pool).values }, at: x.values.doubles, weights: g.values.doubles, step: 1)
    for threads in 1...2 {
      withThreads(threads) {
        let y = Map("y", rows: expected.shape.rows, channels: channels, slack: 1, element: element)
        let window = pool.window(shape, expected.shape)
        unsafe ck_average_windows(y.map, x.map, window)
        expectClose(y, expected.values, absolute: 4e-7)
        let dx = Map("dx", rows: shape.rows, channels: channels, slack: 2, element: element)
        let before = dx.values.doubles
        for accumulate in [true, false] {
          unsafe ck_average_windows_backward(dx.map, g.map, window, accumulate)
          expectClose(dx, accumulate ? zip(before, byInput).map { $0 + $1 } : byInput, absolute: 1e-6)
        }
        #expect(y.isSlackUntouched && dx.isSlackUntouched)
      }
    }
  }

  @Test(arguments: [(1, 1, 5), (3, 4, 70), (13, 7, 24), (40, 41, 16)], elements)
  func poolsAveragesAndScales(_ size: (height: Int, width: Int, channels: Int), element: ck_element) {
    let (height, width, channels) = size
    let shape = Reference.Shape(images: 3, height: height, width: width, channels: channels)
    let x = Map("x", rows: shape.rows, channels: channels, slack: 2, element: element)
    let means = Map("m", rows: 3, channels: channels, slack: 1, element: element)
    unsafe ck_average_pool(means.map, x.map, 3, shape.pixels, channels)
    expectClose(means, Reference.averagePool(x.values.doubles, shape), absolute: 1e-6)

    let y = Map("y", rows: shape.rows, channels: channels, slack: 1, element: element)
    let factors = Map("factors", rows: 3, channels: channels, element: element)
    unsafe ck_scale_channels(y.map, x.map, factors.map, 3, shape.pixels, channels)
    let expected = Reference.scaled(x.values.doubles, shape, factors: factors.values.doubles)
    expectClose(y, expected, absolute: 1e-7)

    // d factors = images' sums of g·x; d x = g·factors; the average's gradient is shared out evenly.
    let g = Map("g", rows: shape.rows, channels: channels, element: element)
    let products = zip(g.values.doubles, x.values.doubles).map { $0 * $1 }
    let sums = Reference.averagePool(products, shape).map { $0 * Double(shape.pixels) }
    let through = Reference.scaled(g.values.doubles, shape, factors: factors.values.doubles)
    let dx = Map("dx", rows: shape.rows, channels: channels, slack: 2, element: element)
    let dFactors = Map("df", rows: 3, channels: channels, slack: 3, element: element)
    unsafe ck_scale_channels(dx.map, g.map, factors.map, 3, shape.pixels, channels)
    expectClose(dx, through, absolute: 1e-6)
    unsafe ck_sum_products(dFactors.map, g.map, x.map, 3, shape.pixels, channels)
    expectClose(dFactors, sums, absolute: 2e-5)
    for accumulate in [false, true] {
      let before = accumulate ? dx.values.doubles : Array(repeating: 0, count: shape.count)
      unsafe ck_average_pool_backward(dx.map, factors.map, 3, shape.pixels, channels, accumulate)
      let even = Reference.scaled(
        Array(repeating: 1 / Double(shape.pixels), count: shape.count), shape, factors: factors.values.doubles)
      expectClose(dx, zip(before, even).map { $0 + $1 }, absolute: 1e-7, relative: 1e-6)
    }
    #expect(means.isSlackUntouched && y.isSlackUntouched && dx.isSlackUntouched && dFactors.isSlackUntouched)
  }

  @Test func squeezeExciteAgreesWithFiniteDifferences() {
    let shape = Reference.Shape(images: 2, height: 3, width: 2, channels: 3)
    let x = Map("x", rows: shape.rows, channels: 3)
    let factors = Map("factors", rows: 2, channels: 3)
    let g = Map("g", rows: shape.rows, channels: 3)
    let (dx, dFactors) = (x.copy, factors.copy)
    unsafe ck_scale_channels(dx.map, g.map, factors.map, 2, 6, 3)
    unsafe ck_sum_products(dFactors.map, g.map, x.map, 2, 6, 3)
    let values = factors.values.doubles
    let byInput = finiteDifferences(
      of: { Reference.scaled($0, shape, factors: values) }, at: x.values.doubles, weights: g.values.doubles)
    let byFactor = finiteDifferences(
      of: { Reference.scaled(x.values.doubles, shape, factors: $0) }, at: values, weights: g.values.doubles)
    expectClose(dx, byInput, absolute: 1e-6)
    expectClose(dFactors, byFactor, absolute: 1e-6)
    unsafe ck_average_pool_backward(dx.map, factors.map, 2, 6, 3, false)
    let byMean = finiteDifferences(
      of: { Reference.averagePool($0, shape) }, at: x.values.doubles, weights: values)
    expectClose(dx, byMean, absolute: 1e-6)
  }

  @Test(
    arguments: [
      (3, 1, 1, 6, 9, 29), (3, 2, 1, 7, 8, 16), (5, 1, 2, 5, 12, 41), (5, 2, 2, 6, 6, 3), (7, 1, 3, 4, 4, 8),
      (3, 3, 0, 9, 10, 24), (3, 1, 4, 4, 3, 9),
    ], elements)
  func convolvesDepthwise(_ example: Pooling, element: ck_element) {
    let (kernel, stride, padding, height, width, channels) = example
    let shape = Reference.Shape(images: 2, height: height, width: width, channels: channels)
    let taps = kernel * kernel
    let convolution = Convolution(
      channels, channels, kernel: kernel, stride: stride, padding: padding, groups: channels, hasBias: true)
    let w = DeterministicValues.uniform("w", count: channels * taps)
    let bias = DeterministicValues.uniform("b", count: channels)
    func tapMajor<T>(_ plain: [T]) -> [T] { plain.indices.map { plain[$0 % channels * taps + $0 / channels] } }
    let x = Map("x", rows: shape.rows, channels: channels, slack: 2, element: element)
    let expected = Reference.convolution(
      x.values.doubles, shape, weights: w.doubles, convolution, bias: bias.doubles)
    let window = Pool(kernel: kernel, stride: stride, padding: padding).window(shape, expected.shape)
    let y = Map("y", rows: expected.shape.rows, channels: channels, slack: 3, element: element)
    unsafe ck_depthwise(y.map, x.map, tapMajor(w), bias, window)
    expectClose(y, expected.values, absolute: 3e-6)

    let g = Map("g", rows: expected.shape.rows, channels: channels, slack: 1, element: element)
    let gradients = Reference.convolutionGradients(
      x.values.doubles, shape, weights: w.doubles, convolution, gradient: g.values.doubles)
    let dx = Map("dx", rows: shape.rows, channels: channels, slack: 1, element: element)
    unsafe ck_depthwise_backward_input(dx.map, g.map, tapMajor(w), window)
    expectClose(dx, gradients.input, absolute: 3e-6)
    for threads in 1...2 {
      withThreads(threads) {
        var dw = Array(repeating: Float.nan, count: w.count)
        unsafe ck_depthwise_backward_weights(&dw, g.map, x.map, window)
        expectClose(dw.doubles, tapMajor(gradients.weights), absolute: 2e-5)
      }
    }
    #expect(y.isSlackUntouched && dx.isSlackUntouched)
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
}

extension Pool {
  fileprivate func window(_ input: Reference.Shape, _ output: Reference.Shape) -> ck_window {
    ck_window(
      images: input.images, height: input.height, width: input.width, channels: input.channels,
      out_height: output.height, out_width: output.width, kernel: kernel, stride: stride, padding: padding)
  }
}
