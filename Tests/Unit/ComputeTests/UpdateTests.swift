import CKernels
import Foundation
import Network
import Testing
import TestSupport

@testable import Compute

/// Update rules against their formulas in double, over a range inside a buffer.
@Suite struct UpdateTests {
  let count = 40_013
  let range = 5..<40_001

  private func buffer(_ name: String, scale: Float = 1, offset: Float = 0) -> AlignedBuffer {
    let buffer = AlignedBuffer(count: count)
    let values = DeterministicValues.uniform(name, count: count)
    buffer.withMutableSpan { span in
      for i in values.indices { span[i] = values[i] * scale + offset }
    }
    return buffer
  }

  private func doubles(_ buffer: AlignedBuffer) -> [Double] { buffer.values().doubles }

  @Test(arguments: [1, 2]) func sgdFollowsItsFormula(threads: Int) throws {
    let elementwise = Elementwise(try Runtime(threads: threads))
    let (p, m) = (buffer("p"), AlignedBuffer(count: count))
    var (expected, momentum) = (doubles(p), doubles(m))
    for step in 0..<3 {
      let g = buffer("g\(step)", scale: 0.1)
      elementwise.sgd(
        p, momenta: m, gradients: g, range: range, rate: 0.01, momentum: 0.937, decay: 5e-4, isFirstStep: step == 0)
      let gradients = doubles(g)
      for i in range {
        let d = gradients[i] + 5e-4 * expected[i]
        momentum[i] = step == 0 ? d : 0.937 * momentum[i] + d
        expected[i] -= 0.01 * (d + 0.937 * momentum[i])
      }
    }
    expectClose(doubles(p), expected, absolute: 3e-7)
    expectClose(doubles(m), momentum, absolute: 3e-7)
  }

  @Test(arguments: [false, true]) func adamFollowsItsFormula(isDecoupled: Bool) throws {
    let elementwise = Elementwise(try Runtime(threads: 2))
    let (p, m, s) = (buffer("p"), AlignedBuffer(count: count), AlignedBuffer(count: count))
    var (expected, mean, square) = (doubles(p), doubles(m), doubles(s))
    for step in 1...3 {
      let g = buffer("g\(step)", scale: 0.1)
      elementwise.adam(
        p, means: m, squares: s, gradients: g, range: range, rate: 0.001, beta1: 0.937, decay: 0.01,
        isDecayDecoupled: isDecoupled, step: step)
      let gradients = doubles(g)
      let (correction1, correction2) = (1 - pow(0.937, Double(step)), 1 - pow(0.999, Double(step)))
      for i in range {
        if isDecoupled { expected[i] *= 1 - 0.001 * 0.01 }
        let d = gradients[i] + (isDecoupled ? 0 : 0.01 * expected[i])
        mean[i] = 0.937 * mean[i] + (1 - 0.937) * d
        square[i] = 0.999 * square[i] + 0.001 * d * d
        expected[i] -= 0.001 * mean[i] / correction1 / ((square[i] / correction2).squareRoot() + 1e-8)
      }
    }
    expectClose(doubles(p), expected, absolute: 5e-7)
    expectClose(doubles(m), mean, absolute: 1e-7)
    expectClose(doubles(s), square, absolute: 1e-8)
  }

  @Test func averagesSignsAndNorms() throws {
    let elementwise = Elementwise(try Runtime(threads: 2))
    let (p, average, g) = (buffer("p"), buffer("average"), buffer("g"))
    p.withMutableSpan { $0[17] = 0 }
    let (values, before, gradients) = (doubles(p), doubles(average), doubles(g))
    elementwise.average(p, into: average, decay: 0.9)
    expectClose(doubles(average), zip(before, values).map { 0.9 * $0 + 0.1 * $1 }, absolute: 1e-7)

    elementwise.addSign(of: p, to: g, range: range, rate: 0.25)
    let signed = values.indices.map { i in
      let sign = values[i] > 0 ? 1.0 : values[i] < 0 ? -1 : 0
      return gradients[i] + (range.contains(i) ? 0.25 * sign : 0)
    }
    expectClose(doubles(g), signed, absolute: 1e-7)

    let norm = signed.reduce(0) { $0 + $1 * $1 }.squareRoot()
    expectClose(elementwise.norm(g, range: 0..<count), norm, absolute: 0, relative: 1e-7)
    elementwise.multiply(g, range: 0..<count, by: Float(10 / norm))
    expectClose(doubles(g), signed.map { $0 * 10 / norm }, absolute: 1e-7)
  }
}
