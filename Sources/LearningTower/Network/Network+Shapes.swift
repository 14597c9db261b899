/// The shape of one image's map: `C × H × W`.
public struct MapShape: Sendable, Hashable, Codable {
  public var channels: Int
  public var height: Int
  public var width: Int

  public init(channels: Int, height: Int, width: Int) {
    self.channels = channels
    self.height = height
    self.width = width
  }

  public var count: Int { channels * height * width }
}

extension Network {
  /// The output shape of every node for an image of `height × width` pixels.
  /// - Throws: `NetworkError` naming the node whose inputs do not fit it.
  public func shapes(height: Int, width: Int) throws(NetworkError) -> [MapShape] {
    var shapes: [MapShape] = []
    shapes.reserveCapacity(nodes.count)
    for (index, node) in nodes.enumerated() {
      for input in node.inputs where input < 0 || input >= index {
        throw NetworkError("\(node.name): reads node \(input), which does not stand before it")
      }
      let inputs = node.inputs.map { shapes[$0] }
      shapes.append(try node.boundedShape(inputs, imageHeight: height, imageWidth: width))
    }
    return shapes
  }
}

extension Node {
  /// - Throws: `NetworkError` also where the output would be too large to compute with.
  func boundedShape(_ inputs: [MapShape], imageHeight: Int, imageWidth: Int) throws(NetworkError) -> MapShape {
    let shape = try outputShape(inputs, imageHeight: imageHeight, imageWidth: imageWidth)
    guard max(shape.height, shape.width) <= 1 << 16, shape.channels <= 1 << 24 else {
      throw NetworkError("\(name): a map of \(shape.channels) × \(shape.height) × \(shape.width) is beyond reason")
    }
    return shape
  }

  private func outputShape(_ inputs: [MapShape], imageHeight: Int, imageWidth: Int) throws(NetworkError) -> MapShape {
    func fail(_ reason: String) -> NetworkError { NetworkError("\(name): \(reason)") }
    if case .image(let channels) = operation {
      return MapShape(channels: channels, height: imageHeight, width: imageWidth)
    }
    guard let first = inputs.first else { throw fail("has no input") }
    switch operation {
    case .image: return first
    case .convolution(let c):
      guard c.inputChannels == first.channels else {
        throw fail("expects \(c.inputChannels) channels and gets \(first.channels)")
      }
      guard c.groups > 0, c.inputChannels % c.groups == 0, c.outputChannels % c.groups == 0 else {
        throw fail("\(c.inputChannels) → \(c.outputChannels) channels do not divide into \(c.groups) groups")
      }
      return try resized(first, kernel: c.kernel, stride: c.stride, padding: c.padding, channels: c.outputChannels)
    case .batchNorm(let b):
      guard b.channels == first.channels else {
        throw fail("expects \(b.channels) channels and gets \(first.channels)")
      }
      return first
    case .activation: return first
    case .add:
      guard inputs.allSatisfy({ $0 == first }) else { throw fail("adds maps of different shapes") }
      return first
    case .concat:
      guard inputs.allSatisfy({ $0.height == first.height && $0.width == first.width }) else {
        throw fail("concatenates maps of different sizes")
      }
      return MapShape(channels: inputs.reduce(0) { $0 + $1.channels }, height: first.height, width: first.width)
    case .upsample(let factor):
      return MapShape(channels: first.channels, height: first.height * factor, width: first.width * factor)
    case .maxPool(let p):
      return try resized(first, kernel: p.kernel, stride: p.stride, padding: p.padding, channels: first.channels)
    case .averagePool(let p):
      return try resized(first, kernel: p.kernel, stride: p.stride, padding: p.padding, channels: first.channels)
    case .globalAveragePool: return MapShape(channels: first.channels, height: 1, width: 1)
    case .linear(let l):
      guard first == MapShape(channels: l.inputCount, height: 1, width: 1) else {
        throw fail("expects \(l.inputCount) × 1 × 1 values and gets \(first)")
      }
      return MapShape(channels: l.outputCount, height: 1, width: 1)
    case .scale:
      guard inputs.count == 2, inputs[1] == MapShape(channels: first.channels, height: 1, width: 1) else {
        throw fail("needs a map and one factor per channel of it")
      }
      return first
    case .slice(let start, let count):
      guard start >= 0, count > 0, start + count <= first.channels else {
        throw fail("takes channels \(start) ..< \(start + count) of \(first.channels)")
      }
      return MapShape(channels: count, height: first.height, width: first.width)
    case .shuffle(let groups):
      guard groups > 0, first.channels % groups == 0 else {
        throw fail("shuffles \(first.channels) channels in \(groups) groups")
      }
      return first
    }
  }

  private func resized(
    _ input: MapShape, kernel: Int, stride: Int, padding: Int, channels: Int
  ) throws(NetworkError) -> MapShape {
    let height = (input.height + 2 * padding - kernel) / stride + 1
    let width = (input.width + 2 * padding - kernel) / stride + 1
    guard input.height + 2 * padding >= kernel, input.width + 2 * padding >= kernel else {
      throw NetworkError(
        "\(name): a map of \(input.height) × \(input.width) is smaller than its \(kernel) × \(kernel) kernel")
    }
    return MapShape(channels: channels, height: height, width: width)
  }
}
