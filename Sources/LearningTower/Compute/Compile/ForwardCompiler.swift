import Network

/// Turns the nodes of a network into the steps of a forward pass, for training and for inference.
///
/// Batch norm and its activation are not steps of their own: the convolution's output z is kept, its statistics are
/// summed while an image of it is in cache, and whoever reads the activated map recomputes it into scratch just before
/// (and again in backward). Cheap rearrangements are recomputed likewise. So a value is known by its `Form`.
///
/// For inference the network is folded, and what training does in each run stage 0 does once: it lays out weights and
/// fixes the coefficients of batch norms that are left. All else is then one stage.
final class ForwardCompiler {
  enum Form {
    case stored(View)
    /// Activation of the batch norm of another node's value.
    case normalized(input: Int, BatchNormViews, Activation?)
    case upsampled(input: Int, factor: Int)
    case sliced(input: Int, start: Int)
    case shuffled(input: Int, groups: Int)
    /// Part of the form of its only reader.
    case absorbed
  }

  let memory: ParameterMemory
  let isTraining: Bool
  let network: Network
  let shapes: [MapShape]
  let builder: ProgramBuilder
  private let readers: [[Int]]
  private(set) var forms: [Form] = []
  private(set) var needsGradient: [Bool] = []
  /// The forms of activations that were absorbed by the node before them.
  private var fused: [Int: Form] = [:]
  /// First stage in which a batch norm's coefficients are known, by the node that stands for the normalised value.
  private var coefficientsReady: [Int: Int] = [:]
  /// Maps computed anew in a stage.
  var realized: [RealizedKey: View] = [:]
  /// The maps in which max pooling keeps which tap won.
  private(set) var winners: [Int: View] = [:]
  /// Copies of weights in other layouts than the parameter memory's.
  private var copies: [(node: Int, layout: WeightLayout, view: View)] = []

  /// Stage 0 is for what depends on parameters alone.
  static let firstStage = 1

  struct RealizedKey: Hashable {
    var node: Int
    var stage: Int
  }

  init(_ memory: ParameterMemory, isTraining: Bool, images: Int, height: Int, width: Int) throws {
    self.memory = memory
    self.isTraining = isTraining
    network = memory.network
    shapes = try network.shapes(height: height, width: width)
    var readers = network.nodes.map { _ in [Int]() }
    for (index, node) in network.nodes.enumerated() {
      for input in node.inputs { readers[input].append(index) }
    }
    self.readers = readers
    builder = ProgramBuilder(network, images: images, runtime: memory.runtime)
  }

  /// - Returns: the head maps, stored.
  func compile() throws -> [View] {
    for index in network.nodes.indices {
      needsGradient.append(
        network.nodes[index].hasParameters || network.nodes[index].inputs.contains { needsGradient[$0] })
      forms.append(try form(of: index))
    }
    return network.detect.outputs.map { output in
      let stage = availability(output)
      var view = realizeDense(output, stage: stage)
      if view.element != .float32 {
        let exact = builder.map(view.shape, .float32)
        builder.emit(.copy(view, to: exact), stage: stage, node: output)
        view = exact
      }
      builder.pin(view, stage: builder.ready(view))
      return view
    }
  }

  // MARK: Values

  /// The first stage in which a node's value can be had.
  func availability(_ node: Int) -> Int {
    switch forms[node] {
    case .stored(let view): builder.ready(view)
    case .normalized(let input, _, _): max(coefficientsReady[node]!, availability(input))
    case .upsampled(let input, _), .sliced(let input, _), .shuffled(let input, _): availability(input)
    case .absorbed: 0
    }
  }

  /// The node's value in a stage: where it is stored, or computed into a map of that stage.
  func realize(_ node: Int, stage: Int) -> View {
    if case .stored(let view) = forms[node] { return view }
    let key = RealizedKey(node: node, stage: stage)
    if let view = realized[key] { return view }
    let view: View
    if case .sliced(let input, let start) = forms[node] {
      view = realize(input, stage: stage).channels(start..<start + shapes[node].channels)
    } else {
      view = builder.map(shapes[node])
      compute(node, into: view, stage: stage)
    }
    realized[key] = view
    return view
  }

  /// The same without gaps between the pixels, as convolutions read it.
  func realizeDense(_ node: Int, stage: Int) -> View { dense(realize(node, stage: stage), stage: stage, node: node) }

  func dense(_ view: View, stage: Int, node: Int) -> View {
    guard !view.isDense else { return view }
    let copy = builder.map(view.shape)
    builder.emit(.copy(view, to: copy), stage: stage, node: node)
    return copy
  }

  /// Emits the step that computes a value which is not stored.
  private func compute(_ node: Int, into destination: View, stage: Int, adding residual: View? = nil) {
    let instruction: Instruction =
      switch forms[node] {
      case .normalized(let input, let norm, let activation):
        .normalize(realize(input, stage: stage), norm, activation, residual: residual, to: destination)
      case .upsampled(let input, let factor): .upsample(realize(input, stage: stage), factor: factor, to: destination)
      case .shuffled(let input, let groups): .shuffle(realize(input, stage: stage), groups: groups, to: destination)
      case .stored, .sliced, .absorbed: .copy(realize(node, stage: stage), to: destination)
      }
    builder.emit(instruction, stage: stage, node: node)
  }

  // MARK: Node by node

  private func form(of index: Int) throws -> Form {
    let node = network.nodes[index]
    let stage = node.inputs.map(availability).max() ?? Self.firstStage
    func input(_ number: Int) -> View { realize(node.inputs[number], stage: stage) }
    /// A map of its own for what one step computes.
    func stored(_ instruction: (_ to: View) -> Instruction) -> Form {
      let view = builder.map(shapes[index])
      builder.emit(instruction(view), stage: stage, node: index)
      return .stored(view)
    }
    switch node.operation {
    case .image: return stored { .input(to: $0) }
    case .convolution, .linear: return try convolve(index, stage: stage)
    case .batchNorm(let b): return try normalize(index, b, stage: stage)
    case .activation(let a): return fused[index] ?? stored { .activate(input(0), a, to: $0) }
    case .add: return .stored(add(node.inputs, of: index, stage: stage))
    case .concat: return .stored(concatenate(node.inputs, of: index))
    case .upsample(let factor): return .upsampled(input: node.inputs[0], factor: factor)
    case .maxPool(let p):
      winners[index] = isTraining ? builder.map(shapes[index], .uint8) : nil
      return stored { .maxPool(input(0), p, winner: winners[index], to: $0) }
    case .averagePool(let p): return stored { .averagePool(input(0), p, to: $0) }
    case .globalAveragePool: return stored { .globalAveragePool(input(0), to: $0) }
    case .scale: return stored { .scale(input(0), by: realizeDense(node.inputs[1], stage: stage), to: $0) }
    case .slice(let start, _): return .sliced(input: node.inputs[0], start: start)
    case .shuffle(let groups): return .shuffled(input: node.inputs[0], groups: groups)
    }
  }

  /// The activation that is a node's only reader.
  private func onlyReader(of index: Int) -> (node: Int, Activation)? {
    guard readers[index].count == 1, !network.detect.outputs.contains(index),
      case .activation(let a) = network.nodes[readers[index][0]].operation
    else { return nil }
    return (readers[index][0], a)
  }

  private func convolve(_ index: Int, stage: Int) throws -> Form {
    let node = network.nodes[index]
    // Backward needs what the activation reads.
    let reader = isTraining ? nil : onlyReader(of: index)
    let (shape, hasBias) = convolution(index)
    // A head's map is read by the loss or the decoding alone, in float32.
    let isHead = network.detect.outputs.contains(index) && readers[index].isEmpty
    let element = isHead ? Element.float32 : builder.element
    let (number, layout) = try builder.convolution(
      .forward(bias: hasBias, activation: reader?.1), shape.with(element: builder.element, output: element))
    let view = builder.map(shapes[index], element)
    let instruction = Instruction.convolve(
      number, realizeDense(node.inputs[0], stage: stage), weights: try weights(of: index, in: layout),
      bias: hasBias ? try parameter(index, "bias") : nil, to: view)
    builder.emit(instruction, stage: stage, node: index)
    guard let reader else { return .stored(view) }
    fused[reader.node] = .stored(view)
    return .absorbed
  }

  /// The shape for one image, of the plan's element, and whether there is a bias.
  func convolution(_ index: Int) -> (ConvolutionShape, hasBias: Bool) {
    let input = shapes[network.nodes[index].inputs[0]]
    switch network.nodes[index].operation {
    case .convolution(let c):
      let shape = ConvolutionShape(c, images: 1, inputHeight: input.height, inputWidth: input.width)
      return (shape.with(element: builder.element), c.hasBias)
    case .linear(let l): return (ConvolutionShape(l, images: 1).with(element: builder.element), l.hasBias)
    default: preconditionFailure("\(network.nodes[index].name) is not a convolution")
    }
  }

  private func normalize(_ index: Int, _ operation: BatchNorm, stage: Int) throws -> Form {
    let input = network.nodes[index].inputs[0]
    let norm = BatchNormViews(
      operation: operation, gamma: try parameter(index, "weight"), beta: try parameter(index, "bias"),
      mean: try parameter(index, "running_mean", .statistics),
      variance: try parameter(index, "running_var", .statistics),
      sums: builder.vector(2 * operation.channels, .float64, each: .lane),
      coefficients: builder.vector(
        BatchNormViews.Coefficient.allCases.count * operation.channels, each: .plan),
      factors: builder.vector(BatchNormViews.Factor.allCases.count * operation.channels, each: .plan))
    let reader = onlyReader(of: index)
    if isTraining {
      let z = realize(input, stage: stage)
      builder.emit(.statistics(z, norm), stage: stage, node: index)
      builder.emit(.finishStatistics(norm, pixels: z.pixels), stage: stage, node: index)
      coefficientsReady[reader?.node ?? index] = stage + 1
    } else {
      builder.emit(.fixBatchNorm(norm), stage: 0, node: index)
      coefficientsReady[reader?.node ?? index] = Self.firstStage
    }
    guard let reader else { return .normalized(input: input, norm, nil) }
    fused[reader.node] = .normalized(input: input, norm, reader.1)
    return .absorbed
  }

  /// Whether nobody else needs a value that is not stored, so that it can be computed straight into its reader's
  /// memory.
  private func isOnlyRead(_ node: Int, by reader: Int) -> Bool {
    switch forms[node] {
    case .stored, .sliced: false
    default: readers[node] == [reader] && !network.detect.outputs.contains(node)
    }
  }

  private func add(_ inputs: [Int], of index: Int, stage: Int) -> View {
    let view = builder.map(shapes[index])
    if inputs.count == 2, let own = inputs.firstIndex(where: { isNormalized($0) && isOnlyRead($0, by: index) }) {
      compute(inputs[own], into: view, stage: stage, adding: realize(inputs[1 - own], stage: stage))
      return view
    }
    let first = realize(inputs[0], stage: stage)
    if inputs.count == 1 { builder.emit(.copy(first, to: view), stage: stage, node: index) }
    for (number, input) in inputs.enumerated().dropFirst() {
      let sum = number == 1 ? first : view
      builder.emit(.add(sum, realize(input, stage: stage), to: view), stage: stage, node: index)
    }
    return view
  }

  private func isNormalized(_ node: Int) -> Bool {
    if case .normalized = forms[node] { true } else { false }
  }

  /// Each input goes to its place as soon as it is there.
  private func concatenate(_ inputs: [Int], of index: Int) -> View {
    let view = builder.map(shapes[index])
    var start = 0
    for input in inputs {
      let stage = availability(input)
      let part = view.channels(start..<start + shapes[input].channels)
      if isOnlyRead(input, by: index) {
        compute(input, into: part, stage: stage)
      } else {
        builder.emit(.copy(realize(input, stage: stage), to: part), stage: stage, node: index)
      }
      start += shapes[input].channels
    }
    return view
  }
}

// MARK: Parameters

extension ForwardCompiler {
  /// A parameter in the order in which the memory holds it.
  func parameter(_ node: Int, _ name: String, _ home: Buffer.Home = .values) throws(ComputeError) -> View {
    let name = "\(network.nodes[node].name).\(name)"
    guard let range = home == .values ? memory.range(of: name) : memory.statisticsRange(of: name) else {
      throw ComputeError("\(name) is not in the parameter memory")
    }
    return builder.parameter(range, in: home)
  }

  /// The layout in which the memory holds the weights of a node.
  func weightLayout(_ node: Int) -> WeightLayout {
    memory.slot("\(network.nodes[node].name).weight")!.layout!  // A node that convolves has weights in a layout.
  }

  /// The weights of a node in a layout: the parameter memory's own, or a copy that stage 0 makes.
  func weights(of node: Int, in layout: WeightLayout) throws(ComputeError) -> View {
    let weights = try parameter(node, "weight")
    guard weightLayout(node).identity != layout.identity else { return weights }
    if let known = copies.first(where: { $0.node == node && $0.layout.identity == layout.identity }) {
      return known.view
    }
    let copy = builder.vector(layout.count, layout.element, each: .plan)
    copies.append((node, layout, copy))
    return copy
  }

  /// Makes the copies of weights: largest first, each by the lane that has least to do.
  func convertWeights() throws(ComputeError) {
    var load = Array(repeating: 0, count: builder.lanes)
    for (node, layout, copy) in copies.sorted(by: { $0.layout.count > $1.layout.count }) {
      let least = load.indices.min { load[$0] < load[$1] }!
      load[least] += layout.count
      let conversion = builder.conversion(from: weightLayout(node), to: layout)
      builder.emit(
        .convertWeights(conversion, try parameter(node, "weight"), to: copy, lane: least), stage: 0, node: node)
    }
  }
}

extension Node {
  var hasParameters: Bool {
    switch operation {
    case .convolution, .batchNorm, .linear: true
    default: false
    }
  }
}
