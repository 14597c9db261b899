extension Network {
  /// The number YOLOv5 prints as "layers": every module, containers and the model itself included.
  public var moduleCount: Int { modules.count }

  /// Arithmetic for one image of `imageSize × imageSize` pixels, in 10⁹ operations, as YOLOv5 prints it with thop
  /// 0.1.1: counted on a map of one largest stride (32 pixels) and scaled by area, so that squeeze-excite's linear
  /// layers count as often as there are such squares in the image.
  ///
  /// Counted, twice each: convolution = output values × inputs per value (bias free); batch norm 4, nearest upsample
  /// and average pool 1 per value; linear = inputs × outputs; global average pool = (area + 1) per channel. The rest is
  /// free.
  public func gflops(imageSize: Int) throws(NetworkError) -> Double {
    let side = detect.strides.max() ?? 32
    let shapes = try shapes(height: side, width: side)
    // Whole numbers, exact in a double for any network that can be run; a hostile one must not overflow.
    var operations = 0.0
    for (node, shape) in zip(nodes, shapes) {
      switch node.operation {
      case .convolution(let c):
        operations += Double(shape.count) * Double(c.inputChannels / c.groups * c.kernel * c.kernel)
      case .batchNorm: operations += 4 * Double(shape.count)
      case .upsample, .averagePool: operations += Double(shape.count)
      case .linear(let l): operations += Double(l.inputCount) * Double(l.outputCount)
      case .globalAveragePool:
        let input = shapes[node.inputs[0]]
        operations += Double(input.height * input.width + 1) * Double(input.channels)
      case .image, .activation, .add, .concat, .maxPool, .scale, .slice, .shuffle: break
      }
    }
    let scale = Double(imageSize) / Double(side)
    return operations * 2 / 1e9 * scale * scale
  }

  /// One line per top-level layer, `model.0`, `model.1` …: what `model info` prints.
  public func layers(height: Int, width: Int) throws(NetworkError) -> [LayerSummary] {
    let shapes = try shapes(height: height, width: width)
    let counts = Dictionary(
      parameterSpecs.filter(\.isLearned).map { (Self.topLevel($0.name), $0.count) }, uniquingKeysWith: +)
    var outputs: [Substring: [MapShape]] = [:]
    for (index, node) in nodes.enumerated() {
      let layer = Self.topLevel(node.name)
      if layer == detect.path { continue }
      outputs[layer] = [shapes[index]]
    }
    outputs[Substring(detect.path)] = detect.outputs.map { shapes[$0] }
    let types = Dictionary(modules.map { ($0.path, $0.type) }, uniquingKeysWith: { first, _ in first })
    return modules.filter { $0.path.split(separator: ".").count == 2 }.map { module in
      // A repeated block is a Sequential of it.
      let type = module.type == "Sequential" ? types["\(module.path).0"] ?? module.type : module.type
      return LayerSummary(
        path: module.path, type: type, parameterCount: counts[Substring(module.path)] ?? 0,
        outputs: outputs[Substring(module.path)] ?? [])
    }
  }

  /// `model.2.cv1.conv` → `model.2`.
  private static func topLevel(_ path: String) -> Substring {
    var dots = 0
    for index in path.indices where path[index] == "." {
      dots += 1
      if dots == 2 { return path[..<index] }
    }
    return path[...]
  }
}

/// A top-level layer at a glance.
public struct LayerSummary: Sendable, Hashable, Codable {
  public var path: String
  public var type: String
  public var parameterCount: Int
  /// One map, or the detection head's raw maps.
  public var outputs: [MapShape]
}
