import Foundation
public import Network

/// Runs a network the slow and obvious way, in double precision: the referee for execution plans and for pruning.
/// Made for images of about 64 × 64.
public struct ReferenceExecutor {
  /// `N × C × H × W`.
  public struct Map {
    public var shape: [Int]
    public var values: [Double]

    public init(shape: [Int]) {
      self.shape = shape
      values = Array(repeating: 0, count: shape.reduce(1, *))
    }

    public var floats: [Float] { values.map(Float.init) }
  }

  public enum Mode {
    /// Batch norms normalise with running statistics.
    case evaluation
    /// Batch norms normalise with the batch's own statistics.
    case training
  }

  let network: Network
  let parameters: [String: [Double]]
  /// With `mode: .training`, the running statistics after the last `run`, by `state_dict` name.
  public private(set) var runningStatistics: [String: [Double]] = [:]

  public init(_ network: Network, _ parameters: Parameters) throws {
    self.network = network
    self.parameters = try network.validated(parameters).tensors.mapValues { $0.values.map(Double.init) }
  }

  /// - Parameter images: `N × 3 × H × W`, RGB in [0, 1].
  /// - Returns: The output of every node.
  public mutating func run(_ images: Tensor, mode: Mode = .evaluation) throws -> [Map] {
    _ = try network.shapes(height: images.shape[2], width: images.shape[3])
    var maps: [Map] = []
    for node in network.nodes {
      let inputs = node.inputs.map { maps[$0] }
      maps.append(apply(node, inputs, images, mode))
    }
    return maps
  }

  /// The raw maps of each level, `N × A × H × W × (5 + classes)` as YOLOv5 shapes them in training mode.
  public mutating func heads(_ images: Tensor, mode: Mode = .evaluation) throws -> [Map] {
    let maps = try run(images, mode: mode)
    return network.detect.outputs.enumerated().map { level, output in
      let raw = maps[output]
      let (n, h, w) = (raw.shape[0], raw.shape[2], raw.shape[3])
      let (a, v) = (network.detect.anchors[level].count, network.detect.valuesPerAnchor)
      var head = Map(shape: [n, a, h, w, v])
      for image in 0..<n {
        for channel in 0..<(a * v) {
          for cell in 0..<(h * w) {
            head.values[((image * a + channel / v) * h * w + cell) * v + channel % v] =
              raw.values[(image * a * v + channel) * h * w + cell]
          }
        }
      }
      return head
    }
  }

  /// Boxes (centre x, centre y, width, height, in pixels), objectness and class probabilities, `N × boxes × (5 +
  /// classes)`: what YOLOv5's Detect returns in evaluation mode.
  public func decoded(_ heads: [Map]) -> Map {
    let detect = network.detect
    let n = heads[0].shape[0]
    let v = detect.valuesPerAnchor
    var result = Map(shape: [n, heads.reduce(0) { $0 + $1.shape[1] * $1.shape[2] * $1.shape[3] }, v])
    var next = 0
    for image in 0..<n {
      for (level, head) in heads.enumerated() {
        let (a, h, w) = (head.shape[1], head.shape[2], head.shape[3])
        let stride = Double(detect.strides[level])
        for row in 0..<(a * h * w) {
          let first = (image * a * h * w + row) * v
          let s = (0..<v).map { logistic(head.values[first + $0]) }
          let anchor = detect.anchors[level][row / (h * w)]
          result.values[next] = (s[0] * 2 - 0.5 + Double(row % w)) * stride
          result.values[next + 1] = (s[1] * 2 - 0.5 + Double(row / w % h)) * stride
          result.values[next + 2] = s[2] * s[2] * 4 * Double(anchor.width)
          result.values[next + 3] = s[3] * s[3] * 4 * Double(anchor.height)
          for value in 4..<v { result.values[next + value] = s[value] }
          next += v
        }
      }
    }
    return result
  }

  private mutating func apply(_ node: Node, _ inputs: [Map], _ images: Tensor, _ mode: Mode) -> Map {
    switch node.operation {
    case .image:
      var map = Map(shape: images.shape)
      map.values = images.values.map(Double.init)
      return map
    case .convolution(let c): return convolve(node.name, c, inputs[0])
    case .batchNorm(let b): return normalize(node.name, b, inputs[0], mode)
    case .activation(let activation):
      var map = inputs[0]
      for index in map.values.indices { map.values[index] = activation.reference(map.values[index]) }
      return map
    case .add:
      var map = inputs[0]
      for other in inputs.dropFirst() {
        for index in map.values.indices { map.values[index] += other.values[index] }
      }
      return map
    case .linear(let l): return multiply(node.name, l, inputs[0])
    case .maxPool(let p):
      return pooled(inputs[0], kernel: p.kernel, stride: p.stride, padding: p.padding) { $0.max()! }
    case .averagePool(let p):
      let area = Double(p.kernel * p.kernel)
      return pooled(inputs[0], kernel: p.kernel, stride: p.stride, padding: p.padding) { $0.reduce(0, +) / area }
    case .globalAveragePool:
      let s = inputs[0].shape
      var map = Map(shape: [s[0], s[1], 1, 1])
      let area = s[2] * s[3]
      for plane in map.values.indices {
        map.values[plane] = inputs[0].values[(plane * area)..<((plane + 1) * area)].reduce(0, +) / Double(area)
      }
      return map
    case .upsample(let factor):
      return enlarged(inputs[0], factor: factor)
    case .scale:
      var map = inputs[0]
      let area = map.shape[2] * map.shape[3]
      for index in map.values.indices { map.values[index] *= inputs[1].values[index / area] }
      return map
    case .concat: return gathered(inputs.flatMap { input in (0..<input.shape[1]).map { (input, $0) } })
    case .slice(let start, let count):
      return gathered((start..<(start + count)).map { (inputs[0], $0) })
    case .shuffle(let groups):
      let perGroup = inputs[0].shape[1] / groups
      return gathered((0..<inputs[0].shape[1]).map { (inputs[0], $0 % groups * perGroup + $0 / groups) })
    }
  }

  private func convolve(_ name: String, _ c: Convolution, _ input: Map) -> Map {
    let (n, h, w) = (input.shape[0], input.shape[2], input.shape[3])
    let outH = (h + 2 * c.padding - c.kernel) / c.stride + 1
    let outW = (w + 2 * c.padding - c.kernel) / c.stride + 1
    let weight = parameters["\(name).weight"]!
    let bias = parameters["\(name).bias"]
    let (inPerGroup, outPerGroup) = (c.inputChannels / c.groups, c.outputChannels / c.groups)
    var output = Map(shape: [n, c.outputChannels, outH, outW])
    var values = output.values
    for image in 0..<n {
      for o in 0..<c.outputChannels {
        let plane = (image * c.outputChannels + o) * outH * outW
        if let bias { for cell in 0..<(outH * outW) { values[plane + cell] = bias[o] } }
        for i in 0..<inPerGroup {
          let source = (image * c.inputChannels + o / outPerGroup * inPerGroup + i) * h * w
          for ky in 0..<c.kernel {
            for kx in 0..<c.kernel {
              let factor = weight[((o * inPerGroup + i) * c.kernel + ky) * c.kernel + kx]
              // Outputs whose tap lies inside the input.
              let columns = taps(kx, c, size: w, count: outW)
              for y in taps(ky, c, size: h, count: outH) {
                let row = source + (y * c.stride + ky - c.padding) * w
                for x in columns {
                  values[plane + y * outW + x] += factor * input.values[row + x * c.stride + kx - c.padding]
                }
              }
            }
          }
        }
      }
    }
    output.values = values
    return output
  }

  /// The outputs `o` in `0 ..< count` with `0 ≤ o·stride + tap − padding < size`.
  private func taps(_ tap: Int, _ c: Convolution, size: Int, count: Int) -> Range<Int> {
    let first = max(0, (c.padding - tap + c.stride - 1) / c.stride)
    let last = size - 1 + c.padding - tap
    return first..<max(first, last < 0 ? 0 : min(count, last / c.stride + 1))
  }

  /// Running statistics move by `momentum` towards the batch's mean and unbiased variance, as PyTorch's do.
  private mutating func normalize(_ name: String, _ b: BatchNorm, _ input: Map, _ mode: Mode) -> Map {
    var output = input
    let (n, area) = (input.shape[0], input.shape[2] * input.shape[3])
    var runningMean = parameters["\(name).running_mean"]!
    var runningVariance = parameters["\(name).running_var"]!
    for channel in 0..<b.channels {
      let planes = (0..<n).map { ($0 * b.channels + channel) * area }
      var (mean, variance) = (runningMean[channel], runningVariance[channel])
      if mode == .training {
        let count = Double(n * area)
        mean = planes.reduce(0) { sum, plane in input.values[plane..<(plane + area)].reduce(sum, +) } / count
        let squares = planes.reduce(0.0) { sum, plane in
          input.values[plane..<(plane + area)].reduce(sum) { $0 + ($1 - mean) * ($1 - mean) }
        }
        variance = squares / count
        let momentum = Double(b.momentum)
        runningMean[channel] += momentum * (mean - runningMean[channel])
        runningVariance[channel] += momentum * (squares / (count - 1) - runningVariance[channel])
      }
      let scale = parameters["\(name).weight"]![channel] / (variance + Double(b.epsilon)).squareRoot()
      let shift = parameters["\(name).bias"]![channel]
      for plane in planes {
        for index in plane..<(plane + area) { output.values[index] = (input.values[index] - mean) * scale + shift }
      }
    }
    if mode == .training {
      runningStatistics["\(name).running_mean"] = runningMean
      runningStatistics["\(name).running_var"] = runningVariance
    }
    return output
  }

  private func multiply(_ name: String, _ l: Linear, _ input: Map) -> Map {
    let n = input.shape[0]
    var output = Map(shape: [n, l.outputCount, 1, 1])
    let weight = parameters["\(name).weight"]!
    for image in 0..<n {
      for o in 0..<l.outputCount {
        var sum = parameters["\(name).bias"]?[o] ?? 0
        for i in 0..<l.inputCount { sum += weight[o * l.inputCount + i] * input.values[image * l.inputCount + i] }
        output.values[image * l.outputCount + o] = sum
      }
    }
    return output
  }

  /// - Parameter reduce: of the values in a window that lie inside the map.
  private func pooled(
    _ input: Map, kernel: Int, stride: Int, padding: Int, _ reduce: ([Double]) -> Double
  ) -> Map {
    let (n, c, h, w) = (input.shape[0], input.shape[1], input.shape[2], input.shape[3])
    let (outH, outW) = ((h + 2 * padding - kernel) / stride + 1, (w + 2 * padding - kernel) / stride + 1)
    var output = Map(shape: [n, c, outH, outW])
    for plane in 0..<(n * c) {
      for y in 0..<outH {
        for x in 0..<outW {
          let rows = max(y * stride - padding, 0)..<min(y * stride - padding + kernel, h)
          let columns = max(x * stride - padding, 0)..<min(x * stride - padding + kernel, w)
          output.values[(plane * outH + y) * outW + x] = reduce(
            rows.flatMap { row in columns.map { input.values[(plane * h + row) * w + $0] } })
        }
      }
    }
    return output
  }

  private func enlarged(_ input: Map, factor: Int) -> Map {
    let (n, c, h, w) = (input.shape[0], input.shape[1], input.shape[2] * factor, input.shape[3] * factor)
    var output = Map(shape: [n, c, h, w])
    for index in output.values.indices {
      let (plane, y, x) = (index / (h * w), index / w % h, index % w)
      output.values[index] = input.values[(plane * (h / factor) + y / factor) * (w / factor) + x / factor]
    }
    return output
  }

  /// A map of the channels listed, in order.
  private func gathered(_ channels: [(Map, Int)]) -> Map {
    let (n, h, w) = (channels[0].0.shape[0], channels[0].0.shape[2], channels[0].0.shape[3])
    var output = Map(shape: [n, channels.count, h, w])
    output.values.removeAll(keepingCapacity: true)
    for image in 0..<n {
      for (map, channel) in channels {
        let plane = (image * map.shape[1] + channel) * h * w
        output.values += map.values[plane..<(plane + h * w)]
      }
    }
    return output
  }
}

extension Activation {
  fileprivate func reference(_ x: Double) -> Double {
    switch self {
    case .silu: x * logistic(x)
    case .relu: max(x, 0)
    case .relu6: min(max(x, 0), 6)
    case .hardSigmoid: min(max(x + 3, 0), 6) / 6
    case .hardSwish: x * min(max(x + 3, 0), 6) / 6
    case .sigmoid: logistic(x)
    }
  }
}

private func logistic(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
