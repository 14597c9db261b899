/// Builds a network block by block. Operations run in the order in which they are added; modules keep the order in
/// which their parent declares them, which may be another one (YOLOv5's C3 declares `cv1, cv2, cv3, m` and runs `cv3`
/// last).
///
/// Paths are PyTorch's: the parent's path, a dot, the child's name. Adding an operation with a module of its own
/// declares that module.
public struct NetworkBuilder {
  /// The side in pixels of the image whose shapes are followed while building: as YOLOv5, which finds its strides so.
  public static let probeSide = 256

  /// The error of the first operation that does not fit its inputs; nil as long as all fit.
  public private(set) var problem: NetworkError?
  /// Learned values and buffers so far.
  public private(set) var parameterCount = 0

  private var nodes: [Node] = []
  private var shapes: [MapShape] = []
  private var types: [String: String] = ["": "Model"]
  private var children: [String: [String]] = [:]

  public init(imageChannels: Int = 3) {
    _ = append("image", .image(channels: imageChannels), of: [], channels: imageChannels)
    module("model", "Sequential")
  }

  /// Channels of a node's output.
  public func channels(_ node: Int) -> Int { shapes[node].channels }

  /// A node's output for the probe.
  public func shape(of node: Int) -> MapShape { shapes[node] }

  /// The node added last.
  public var last: Int { nodes.count - 1 }

  /// Declares a module without an operation of its own, and the order of those of its children that will be added in
  /// another one.
  public mutating func module(_ path: String, _ type: String, children names: [String] = []) {
    precondition(types.updateValue(type, forKey: path) == nil, "\(path) is declared twice")
    let parent = path.contains(".") ? String(path[..<path.lastIndex(of: ".")!]) : ""
    if children[parent]?.contains(path) != true { children[parent, default: []].append(path) }
    if !names.isEmpty { children[path] = names.map { "\(path).\($0)" } }
  }

  // MARK: - Operations that are modules

  public mutating func convolution(
    _ path: String, of input: Int, to outputChannels: Int, kernel: Int = 1, stride: Int = 1, padding: Int? = nil,
    groups: Int = 1, hasBias: Bool = false
  ) -> Int {
    module(path, "Conv2d")
    let convolution = Convolution(
      channels(input), outputChannels, kernel: kernel, stride: stride, padding: padding, groups: groups,
      hasBias: hasBias)
    return append(path, .convolution(convolution), of: [input], channels: outputChannels)
  }

  public mutating func batchNorm(_ path: String, of input: Int) -> Int {
    module(path, "BatchNorm2d")
    return append(path, .batchNorm(BatchNorm(channels(input))), of: [input], channels: channels(input))
  }

  /// Without an activation it declares PyTorch's `Identity` and adds nothing.
  public mutating func activation(_ path: String, _ activation: Activation?, of input: Int) -> Int {
    switch activation {
    case nil:
      module(path, "Identity")
      return input
    case .silu: module(path, "SiLU")
    case .relu: module(path, "ReLU")
    case .relu6: module(path, "ReLU6")
    case .sigmoid: module(path, "Sigmoid")
    case .hardSigmoid:
      module(path, "h_sigmoid")
      module("\(path).relu", "ReLU6")
    case .hardSwish:
      module(path, "h_swish")
      module("\(path).sigmoid", "h_sigmoid")
      module("\(path).sigmoid.relu", "ReLU6")
    }
    return append(path, .activation(activation!), of: [input], channels: channels(input))
  }

  public mutating func linear(_ path: String, of input: Int, to outputCount: Int) -> Int {
    module(path, "Linear")
    return append(path, .linear(Linear(channels(input), outputCount)), of: [input], channels: outputCount)
  }

  public mutating func globalAveragePool(_ path: String, of input: Int) -> Int {
    module(path, "AdaptiveAvgPool2d")
    return append(path, .globalAveragePool, of: [input], channels: channels(input))
  }

  /// Padding is `kernel / 2`.
  public mutating func averagePool(_ path: String, of input: Int, kernel: Int, stride: Int) -> Int {
    module(path, "AvgPool2d")
    let pool = Pool(kernel: kernel, stride: stride, padding: kernel / 2)
    return append(path, .averagePool(pool), of: [input], channels: channels(input))
  }

  public mutating func upsample(_ path: String, of input: Int, factor: Int = 2) -> Int {
    module(path, "Upsample")
    return append(path, .upsample(factor: factor), of: [input], channels: channels(input))
  }

  // MARK: - Operations inside a module

  /// A pooling module may run several times: the module is declared apart.
  public mutating func maxPool(
    _ name: String, of input: Int, kernel: Int, stride: Int = 1, padding: Int? = nil
  ) -> Int {
    let pool = Pool(kernel: kernel, stride: stride, padding: padding ?? kernel / 2)
    return append(name, .maxPool(pool), of: [input], channels: channels(input))
  }

  public mutating func add(_ name: String, of inputs: [Int]) -> Int {
    append(name, .add, of: inputs, channels: channels(inputs[0]))
  }

  public mutating func concat(_ name: String, of inputs: [Int]) -> Int {
    append(name, .concat, of: inputs, channels: inputs.reduce(0) { $0 + channels($1) })
  }

  public mutating func slice(_ name: String, of input: Int, start: Int, count: Int) -> Int {
    append(name, .slice(start: start, count: count), of: [input], channels: count)
  }

  public mutating func shuffle(_ name: String, of input: Int, groups: Int) -> Int {
    append(name, .shuffle(groups: groups), of: [input], channels: channels(input))
  }

  public mutating func scale(_ name: String, _ map: Int, by factors: Int) -> Int {
    append(name, .scale, of: [map, factors], channels: channels(map))
  }

  private mutating func append(_ name: String, _ operation: Operation, of inputs: [Int], channels: Int) -> Int {
    let node = Node(name: name, operation: operation, inputs: inputs)
    var shape = MapShape(channels: channels, height: 1, width: 1)
    do throws(NetworkError) {
      try node.checkBounds()
      shape = try node.boundedShape(
        inputs.map { shapes[$0] }, imageHeight: Self.probeSide, imageWidth: Self.probeSide)
      for spec in operation.parameterSpecs(owner: name) {
        let (sum, isTooLarge) = parameterCount.addingReportingOverflow(spec.count)
        parameterCount = isTooLarge ? .max : sum
      }
    } catch {
      problem = problem ?? error
    }
    nodes.append(node)
    shapes.append(shape)
    return nodes.count - 1
  }

  // MARK: - The end

  /// Adds the detection head: per level a 1×1 convolution to `anchors × (5 + classCount)` channels.
  public consuming func network(
    name: String, detectPath: String, levels: [Int], classCount: Int, anchors: [[Anchor]], strides: [Int]
  ) -> Network {
    precondition(levels.count == anchors.count && levels.count == strides.count, "one set of anchors per level")
    module(detectPath, "Detect")
    module("\(detectPath).m", "ModuleList")
    let outputs = levels.enumerated().map { level, input in
      convolution("\(detectPath).m.\(level)", of: input, to: anchors[level].count * (5 + classCount), hasBias: true)
    }
    let detect = Detect(
      path: detectPath, classCount: classCount, anchors: anchors, strides: strides, outputs: outputs)
    return Network(name: name, nodes: nodes, modules: modules(under: ""), detect: detect)
  }

  private func modules(under path: String) -> [Module] {
    guard let type = types[path] else { preconditionFailure("\(path) is announced and never declared") }
    return [Module(path: path, type: type)] + (children[path] ?? []).flatMap { modules(under: $0) }
  }
}
