extension Network {
  /// Refuses what could not have been built: a network read from a file is checked before anything relies on it.
  /// - Throws: `NetworkError` naming the node or module at fault.
  public func check() throws(NetworkError) {
    guard case .image(let channels) = nodes.first?.operation, 1...64 ~= channels else {
      throw NetworkError("\(name): node 0 is not an image")
    }
    guard nodes.count <= Self.maximumNodes, modules.count <= Self.maximumNodes else {
      throw NetworkError("\(name): more than \(Self.maximumNodes) nodes or modules")
    }
    var names: Set<String> = []
    for (index, node) in nodes.enumerated() {
      guard names.insert(node.name).inserted else { throw NetworkError("\(node.name): two nodes of this name") }
      if case .image = node.operation, index > 0 { throw NetworkError("\(node.name): a second image") }
      try node.checkBounds()
      guard node.operation.inputCounts.contains(node.inputs.count) else {
        throw NetworkError(
          "\(node.name): "
            + (node.inputs.isEmpty ? "has no input" : "has \(node.inputs.count) inputs, too many or too few"))
      }
    }
    guard Set(modules.map(\.path)).count == modules.count else {
      throw NetworkError("\(name): two modules of the same path")
    }
    try checkDetect()
    let paths = Set(modules.map(\.path))
    for node in nodes where !node.operation.parameterSpecs(owner: node.name).isEmpty && !paths.contains(node.name) {
      throw NetworkError("\(node.name): has parameters and is not among the modules")
    }
  }

  static var maximumNodes: Int { 100_000 }

  private func checkDetect() throws(NetworkError) {
    func fail(_ reason: String) -> NetworkError { NetworkError("\(detect.path): \(reason)") }
    let levels = detect.outputs.count
    guard levels > 0, detect.anchors.count == levels, detect.strides.count == levels,
      detect.strides.allSatisfy({ 1...1024 ~= $0 }), 1...100_000 ~= detect.classCount
    else { throw fail("outputs, anchors and strides do not agree") }
    guard let perLevel = detect.anchors.first?.count, 1...64 ~= perLevel,
      detect.anchors.allSatisfy({ level in
        level.count == perLevel
          && level.allSatisfy { $0.width.isFinite && $0.height.isFinite && min($0.width, $0.height) > 0 }
      })
    else { throw fail("anchors must be positive and as many at every level") }
    guard modules.contains(where: { $0.path == detect.path }) else { throw fail("is not among the modules") }
    guard detect.outputs.allSatisfy(nodes.indices.contains) else { throw fail("reads a node that is not there") }

    let side = detect.strides.max() ?? 32
    let shapes = try shapes(height: side, width: side)
    for (output, stride) in zip(detect.outputs, detect.strides) {
      let expected = MapShape(channels: perLevel * detect.valuesPerAnchor, height: side / stride, width: side / stride)
      guard side % stride == 0, shapes[output] == expected else {
        throw fail("\(nodes[output].name) gives \(shapes[output]) for a \(side)-pixel image, expected \(expected)")
      }
    }
  }
}

extension Node {
  func checkBounds() throws(NetworkError) {
    guard operation.isWithinBounds else {
      throw NetworkError("\(name): a size is not positive or beyond reason: \(operation)")
    }
  }
}

extension Operation {
  /// How many maps it reads.
  fileprivate var inputCounts: ClosedRange<Int> {
    switch self {
    case .image: 0...0
    case .add, .concat: 1...Network.maximumNodes
    case .scale: 2...2
    case .convolution, .batchNorm, .activation, .upsample, .maxPool, .averagePool, .globalAveragePool, .linear, .slice,
      .shuffle:
      1...1
    }
  }

  /// Sizes that neither trap nor overflow in shape arithmetic.
  fileprivate var isWithinBounds: Bool {
    let channels = 1...1_000_000
    let side = 1...1024
    switch self {
    case .image(let count): return channels ~= count
    case .convolution(let c):
      return channels ~= c.inputChannels && channels ~= c.outputChannels && side ~= c.kernel && side ~= c.stride
        && 0...1024 ~= c.padding && channels ~= c.groups
    case .batchNorm(let b): return channels ~= b.channels && b.epsilon > 0 && 0...1 ~= b.momentum
    case .linear(let l): return channels ~= l.inputCount && channels ~= l.outputCount
    case .upsample(let factor): return 1...64 ~= factor
    case .maxPool(let p): return side ~= p.kernel && side ~= p.stride && 0...(p.kernel / 2) ~= p.padding
    case .averagePool(let p): return side ~= p.kernel && side ~= p.stride && 0...(p.kernel / 2) ~= p.padding
    case .slice(let start, let count): return 0...1_000_000 ~= start && channels ~= count
    case .shuffle(let groups): return channels ~= groups
    case .activation, .add, .concat, .globalAveragePool, .scale: return true
    }
  }
}
