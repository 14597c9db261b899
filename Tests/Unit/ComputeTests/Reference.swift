import CKernels
import Network

/// Every operation once more, in double and as plainly as can be: what kernels and backends are held against, and what
/// finite differences are taken of. Maps are `N × H × W × C`, dense.
enum Reference {
  struct Shape {
    var images = 1
    var height: Int
    var width: Int
    var channels: Int

    var pixels: Int { height * width }
    var rows: Int { images * pixels }
    var count: Int { rows * channels }
    func index(_ n: Int, _ h: Int, _ w: Int, _ c: Int) -> Int { ((n * height + h) * width + w) * channels + c }
  }

  static func activation(_ u: Double, _ activation: ck_activation) -> Double {
    let clamped = min(max(u + 3, 0), 6)
    return switch activation {
    case .CK_IDENTITY: u
    case .CK_SILU: u / (1 + exponential(-u))
    case .CK_RELU: max(u, 0)
    case .CK_RELU6: min(max(u, 0), 6)
    case .CK_HARD_SWISH: u * clamped / 6
    case .CK_HARD_SIGMOID: clamped / 6
    case .CK_SIGMOID: 1 / (1 + exponential(-u))
    }
  }

  /// Mean and biased variance of each channel.
  static func statistics(_ x: [Double], channels: Int) -> (mean: [Double], variance: [Double]) {
    let rows = x.count / channels
    var mean = Array(repeating: 0.0, count: channels)
    var variance = mean
    for i in x.indices { mean[i % channels] += x[i] / Double(rows) }
    for i in x.indices {
      let d = x[i] - mean[i % channels]
      variance[i % channels] += d * d / Double(rows)
    }
    return (mean, variance)
  }

  static func batchNorm(
    _ x: [Double], gamma: [Double], beta: [Double], epsilon: Double, _ activation: ck_activation
  ) -> [Double] {
    let channels = gamma.count
    let (mean, variance) = statistics(x, channels: channels)
    return x.indices.map { i in
      let c = i % channels
      let u = gamma[c] * (x[i] - mean[c]) / (variance[c] + epsilon).squareRoot() + beta[c]
      return Reference.activation(u, activation)
    }
  }

  /// `weights` are `O × I/groups × kH × kW`.
  static func convolution(
    _ x: [Double], _ input: Shape, weights: [Double], _ c: Convolution, bias: [Double]? = nil
  ) -> (values: [Double], shape: Shape) {
    let output = Shape(
      images: input.images, height: (input.height + 2 * c.padding - c.kernel) / c.stride + 1,
      width: (input.width + 2 * c.padding - c.kernel) / c.stride + 1, channels: c.outputChannels)
    var y = Array(repeating: 0.0, count: output.count)
    let (groupInputs, groupOutputs) = (c.inputChannels / c.groups, c.outputChannels / c.groups)
    for n in 0..<output.images {
      for oh in 0..<output.height {
        for ow in 0..<output.width {
          for o in 0..<c.outputChannels {
            var sum = bias?[o] ?? 0
            for kh in 0..<c.kernel {
              for kw in 0..<c.kernel {
                let (h, w) = (oh * c.stride - c.padding + kh, ow * c.stride - c.padding + kw)
                guard h >= 0, h < input.height, w >= 0, w < input.width else { continue }
                for i in 0..<groupInputs {
                  let channel = o / groupOutputs * groupInputs + i
                  sum +=
                    x[input.index(n, h, w, channel)]
                    * weights[((o * groupInputs + i) * c.kernel + kh) * c.kernel + kw]
                }
              }
            }
            y[output.index(n, oh, ow, o)] = sum
          }
        }
      }
    }
    return (y, output)
  }

  /// Gradients of Σ gradient · convolution(x): a convolution is linear in the input and in the weights, so each follows
  /// from visiting the same products.
  static func convolutionGradients(
    _ x: [Double], _ input: Shape, weights: [Double], _ c: Convolution, gradient: [Double]
  ) -> (input: [Double], weights: [Double]) {
    var (dx, dw) = (Array(repeating: 0.0, count: x.count), Array(repeating: 0.0, count: weights.count))
    let output = Shape(
      images: input.images, height: (input.height + 2 * c.padding - c.kernel) / c.stride + 1,
      width: (input.width + 2 * c.padding - c.kernel) / c.stride + 1, channels: c.outputChannels)
    let (groupInputs, groupOutputs) = (c.inputChannels / c.groups, c.outputChannels / c.groups)
    for n in 0..<output.images {
      for oh in 0..<output.height {
        for ow in 0..<output.width {
          for kh in 0..<c.kernel {
            for kw in 0..<c.kernel {
              let (h, w) = (oh * c.stride - c.padding + kh, ow * c.stride - c.padding + kw)
              guard h >= 0, h < input.height, w >= 0, w < input.width else { continue }
              for o in 0..<c.outputChannels {
                let g = gradient[output.index(n, oh, ow, o)]
                for i in 0..<groupInputs {
                  let at = input.index(n, h, w, o / groupOutputs * groupInputs + i)
                  let weight = ((o * groupInputs + i) * c.kernel + kh) * c.kernel + kw
                  dx[at] += g * weights[weight]
                  dw[weight] += g * x[at]
                }
              }
            }
          }
        }
      }
    }
    return (dx, dw)
  }

  static func maxPool(
    _ x: [Double], _ input: Shape, _ p: Pool
  ) -> (values: [Double], winners: [UInt8], shape: Shape) {
    let output = Shape(
      images: input.images, height: (input.height + 2 * p.padding - p.kernel) / p.stride + 1,
      width: (input.width + 2 * p.padding - p.kernel) / p.stride + 1, channels: input.channels)
    var y = Array(repeating: -Double.infinity, count: output.count)
    var winners = Array(repeating: UInt8(0), count: output.count)
    for n in 0..<output.images {
      for oh in 0..<output.height {
        for ow in 0..<output.width {
          for c in 0..<output.channels {
            let at = output.index(n, oh, ow, c)
            for kh in 0..<p.kernel {
              for kw in 0..<p.kernel {
                let (h, w) = (oh * p.stride - p.padding + kh, ow * p.stride - p.padding + kw)
                guard h >= 0, h < input.height, w >= 0, w < input.width else { continue }
                guard x[input.index(n, h, w, c)] > y[at] else { continue }
                y[at] = x[input.index(n, h, w, c)]
                winners[at] = UInt8(kh * p.kernel + kw)
              }
            }
          }
        }
      }
    }
    return (y, winners, output)
  }

  /// Padding counts as zeros.
  static func averagePool(_ x: [Double], _ input: Shape, _ p: Pool) -> (values: [Double], shape: Shape) {
    let ones = Array(repeating: 1 / Double(p.kernel * p.kernel), count: input.channels * p.kernel * p.kernel)
    return convolution(
      x, input, weights: ones,
      Convolution(
        input.channels, input.channels, kernel: p.kernel, stride: p.stride, padding: p.padding, groups: input.channels))
  }

  static func upsample(_ x: [Double], _ input: Shape, factor: Int) -> [Double] {
    var y: [Double] = []
    for n in 0..<input.images {
      for h in 0..<input.height * factor {
        for w in 0..<input.width * factor {
          for c in 0..<input.channels { y.append(x[input.index(n, h / factor, w / factor, c)]) }
        }
      }
    }
    return y
  }

  static func averagePool(_ x: [Double], _ input: Shape) -> [Double] {
    var y = Array(repeating: 0.0, count: input.images * input.channels)
    for i in x.indices {
      y[i / (input.pixels * input.channels) * input.channels + i % input.channels] += x[i] / Double(input.pixels)
    }
    return y
  }

  static func scaled(_ x: [Double], _ input: Shape, factors: [Double]) -> [Double] {
    x.indices.map { x[$0] * factors[$0 / (input.pixels * input.channels) * input.channels + $0 % input.channels] }
  }

  static func shuffled(_ x: [Double], channels: Int, groups: Int) -> [Double] {
    x.indices.map { at in
      let (row, c) = (at / channels, at % channels)
      return x[row * channels + c % groups * (channels / groups) + c / groups]
    }
  }
}

/// Central differences of `Σ weights · function(x)`.
func finiteDifferences(
  of function: ([Double]) -> [Double], at x: [Double], weights: [Double], step: Double = 1e-5
) -> [Double] {
  func loss(_ x: [Double]) -> Double { zip(function(x), weights).reduce(0) { $0 + $1.0 * $1.1 } }
  return x.indices.map { i in
    var (up, down) = (x, x)
    up[i] += step
    down[i] -= step
    return (loss(up) - loss(down)) / (2 * step)
  }
}
