import CKernels
import Testing
import TestSupport

@Suite struct ActivationTests {
  @Test(arguments: allActivations, elements)
  func agreesWithTheReference(activation: ck_activation, element: ck_element) {
    for (rows, channels, slack) in mapShapes {
      let source = Map("x", rows: rows, channels: channels, slack: slack, scale: 8, element: element)
      let result = Map("y", rows: rows, channels: channels, slack: slack, element: element)
      unsafe ck_activate(result.map, source.map, rows, channels, activation)
      let expected = source.values.map { Reference.activation(Double($0), activation) }
      expectClose(result, expected, absolute: 1e-7, relative: 3e-7, "\(rows) × \(channels)")
      #expect(result.isSlackUntouched)
    }
  }

  @Test(arguments: allActivations, elements)
  func gradientAgreesWithFiniteDifferences(activation: ck_activation, element: ck_element) {
    for (rows, channels, slack) in mapShapes {
      let kinks: [Float] = [0, 6, -3, 3]  // A bfloat16 may be one, where there is no slope.
      let values = Map("x", rows: rows, channels: channels, scale: 8, element: element).values
      let source = Map(
        values.map { kinks.contains($0) ? 1 : $0 }, channels: channels, slack: slack, element: element)
      let gradient = Map("g", rows: rows, channels: channels, slack: slack / 2, element: element)
      let expected = zip(source.values.doubles, gradient.values.doubles).map { u, g in
        g * (Reference.activation(u + 1e-6, activation) - Reference.activation(u - 1e-6, activation)) / 2e-6
      }
      let result = Map("y", rows: rows, channels: channels, slack: slack, element: element)
      let before = result.values.doubles
      for accumulate in [true, false] {
        unsafe ck_activate_backward(
          result.map, gradient.map, source.map, rows, channels, activation, accumulate)
        let sum = accumulate ? zip(before, expected).map { $0 + $1 } : expected
        expectClose(result, sum, absolute: 2e-6, "\(rows) × \(channels)")
      }
      #expect(result.isSlackUntouched)
    }
  }

  @Test func exponentialHoldsOverTheWholeRange() {
    let source = (-8800...8800).map { Float($0) / 100 }
    let result = Map(source, channels: 1)
    unsafe ck_activate(result.map, result.map, source.count, 1, .CK_SIGMOID)
    let expected = source.map { Reference.activation(Double($0), .CK_SIGMOID) }
    expectClose(result.values.doubles, expected, absolute: 1e-37, relative: 2e-6)
  }

  @Test(arguments: allActivations, elements)
  func passesNotANumberOn(activation: ck_activation, element: ck_element) {
    var values = Array(repeating: Float(1), count: 40)
    values[3] = .nan
    values[39] = .nan
    let map = Map(values, channels: 40, element: element)
    unsafe ck_activate(map.map, map.map, 1, 40, activation)
    #expect(values.indices.filter { map.values[$0].isNaN } == [3, 39])
  }

  @Test func kinksTakeTheSideOfPyTorch() {
    let points: [Float] = [0, 6, -3, 3]
    let (source, ones) = (Map(points, channels: 4), Map([1, 1, 1, 1], channels: 4))
    let slopes = source.copy
    for (activation, expected) in [
      (.CK_RELU, [0, 1, 0, 1]), (.CK_RELU6, [0, 0, 0, 1]), (.CK_HARD_SIGMOID, [1 / 6, 0, 0, 0]),
      (.CK_HARD_SWISH, [0.5, 1, 0, 1]),
    ] as [(ck_activation, [Float])] {
      unsafe ck_activate_backward(slopes.map, ones.map, source.map, 1, 4, activation, false)
      #expect(slopes.values == expected)
    }
  }
}
