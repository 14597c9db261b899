internal import CKernels
import Network

/// Turns a network into the stages of a training step.
///
/// Batch norm and its activation are not steps of their own: the convolution's output z is kept, its statistics are
/// summed while an image of it is in cache, and whoever reads the activated map recomputes it into scratch just before
/// (and again in backward). Cheap rearrangements are recomputed likewise. So a value is known by its `Form`.
final class TrainingCompiler {
  enum Form {
    case stored(MapView)
    /// Activation of the batch norm of another node's value.
    case normalized(input: Int, BatchNormState, Activation?)
    case upsampled(input: Int, factor: Int)
    case sliced(input: Int, start: Int)
    case shuffled(input: Int, groups: Int)
    /// Part of the form of its only reader.
    case absorbed
  }

  let network: Network
  let memory: ParameterMemory
  let images: Int
  let shapes: [MapShape]
  let consumers: [[Int]]
  let builder: ProgramBuilder
  let backends: [any Backend]
  private(set) var forms: [Form] = []
  private(set) var needsGradient: [Bool] = []
  /// First stage in which a batch norm's coefficients are known, by node.
  private var statisticsReady: [Int: Int] = [:]
  /// Maps computed anew in a stage.
  var realized: [RealizedKey: MapView] = [:]
  /// Of max pooling: which tap won.
  var winners: [Int: MapView] = [:]
  var weights: [Int: PlanWeights] = [:]

  /// Weights that a kernel wants in another layout than the parameter memory's are converted in stage 0.
  static let firstStage = 1

  struct RealizedKey: Hashable {
    var node: Int
    var stage: Int
  }

  init(_ memory: ParameterMemory, images: Int, height: Int, width: Int) throws {
    self.memory = memory
    self.images = images
    network = memory.network
    shapes = try network.shapes(height: height, width: width)
    var consumers = network.nodes.map { _ in [Int]() }
    for (index, node) in network.nodes.enumerated() {
      for input in node.inputs { consumers[input].append(index) }
    }
    self.consumers = consumers
    builder = ProgramBuilder(images: images, threads: memory.runtime.threads)
    backends = (0..<builder.lanes).map { _ in memory.runtime.makeBackend() }
  }

  /// - Returns: the head maps, stored.
  func compileForward() throws -> [MapView] {
    for index in network.nodes.indices {
      needsGradient.append(
        network.nodes[index].hasParameters || network.nodes[index].inputs.contains { needsGradient[$0] })
      forms.append(try form(of: index))
    }
    return network.detect.outputs.map { output in
      let view = realize(output, stage: availability(output))
      builder.pin(view, stage: builder.ready(view))
      return view
    }
  }

  /// The first stage in which a node's value can be had.
  func availability(_ node: Int) -> Int {
    switch forms[node] {
    case .stored(let view): builder.ready(view)
    case .normalized(let input, _, _): max(statisticsReady[node]!, availability(input))
    case .upsampled(let input, _), .sliced(let input, _), .shuffled(let input, _): availability(input)
    case .absorbed: preconditionFailure("\(network.nodes[node].name) has no value of its own")
    }
  }

  /// The node's value in a stage: where it is stored, or computed into a map of that stage.
  func realize(_ node: Int, stage: Int) -> MapView {
    if case .stored(let view) = forms[node] { return view }
    let key = RealizedKey(node: node, stage: stage)
    if let view = realized[key] { return view }
    if case .sliced(let input, let start) = forms[node] {
      let view = realize(input, stage: stage).channels(start..<start + shapes[node].channels)
      realized[key] = view
      return view
    }
    let view = builder.map(shapes[node])
    compute(node, into: view, stage: stage)
    realized[key] = view
    return view
  }

  /// The same without gaps between the pixels, as convolutions read it.
  func realizeDense(_ node: Int, stage: Int) -> MapView {
    dense(realize(node, stage: stage), stage: stage)
  }

  func dense(_ view: MapView, stage: Int) -> MapView {
    guard !view.isDense else { return view }
    let copy = builder.map(view.shape)
    builder.copy(view, into: copy, stage: stage)
    return copy
  }

  /// Emits the step that computes a value which is not stored.
  private func compute(_ node: Int, into destination: MapView, stage: Int, adding residual: MapView? = nil) {
    switch forms[node] {
    case .normalized(let input, let state, let activation):
      let z = realize(input, stage: stage)
      let kernel = activation.kernel
      builder.step(stage, reads: [z] + (residual.map { [$0] } ?? []), writes: [destination]) { program, chunk in
        unsafe ck_normalize_activate(
          program.pointer(destination, chunk), destination.stride, program.pointer(z, chunk), z.stride, state.mean,
          state.scale,
          state.shift, residual.map { unsafe UnsafePointer(program.pointer($0, chunk)) }, residual?.stride ?? 0,
          chunk.rows(z), z.shape.channels, kernel)
      }
    case .upsampled(let input, let factor):
      builder.upsample(realize(input, stage: stage), into: destination, factor: factor, stage: stage)
    case .shuffled(let input, let groups):
      builder.shuffle(realize(input, stage: stage), into: destination, groups: groups, stage: stage)
    case .stored, .sliced, .absorbed:
      builder.copy(realize(node, stage: stage), into: destination, stage: stage)
    }
  }

  // MARK: Forward, node by node

  private func form(of index: Int) throws -> Form {
    let node = network.nodes[index]
    let stage = node.inputs.map(availabilityUnlessAbsorbed).max() ?? 0
    let output = { [builder, shapes] in builder.map(shapes[index]) }
    switch node.operation {
    case .image:
      let view = output()
      builder.input(view, stage: Self.firstStage)
      return .stored(view)
    case .convolution(let c):
      let input = shapes[node.inputs[0]]
      let shape = ConvolutionShape(c, images: 1, inputHeight: input.height, inputWidth: input.width)
      return .stored(try convolve(index, shape, hasBias: c.hasBias, stage: stage))
    case .linear(let l):
      return .stored(try convolve(index, ConvolutionShape(l, images: 1), hasBias: l.hasBias, stage: stage))
    case .batchNorm(let b):
      let state = try BatchNormState(b, node: node.name, memory: memory, lanes: builder.lanes)
      sumStatistics(of: node.inputs[0], state, stage: stage)
      let owner = activation(fusedWith: index)
      statisticsReady[owner?.node ?? index] = stage + 1
      normalizedState[owner?.node ?? index] = state
      return owner == nil ? .normalized(input: node.inputs[0], state, nil) : .absorbed
    case .activation(let a):
      if let state = normalizedState[index] {
        return .normalized(input: network.nodes[node.inputs[0]].inputs[0], state, a)
      }
      let view = output()
      builder.activate(realize(node.inputs[0], stage: stage), into: view, a, stage: stage)
      return .stored(view)
    case .add:
      let view = output()
      add(node.inputs, of: index, into: view, stage: stage)
      return .stored(view)
    case .concat:
      let view = output()
      concatenate(node.inputs, of: index, into: view)
      return .stored(view)
    case .upsample(let factor): return .upsampled(input: node.inputs[0], factor: factor)
    case .maxPool(let p):
      let view = output()
      let winner = builder.bytes(shapes[index])
      winners[index] = winner
      builder.maxPool(realize(node.inputs[0], stage: stage), into: view, winner: winner, p, stage: stage)
      return .stored(view)
    case .averagePool(let p):
      let view = output()
      builder.averagePool(realize(node.inputs[0], stage: stage), into: view, p, stage: stage)
      return .stored(view)
    case .globalAveragePool:
      let view = output()
      builder.globalAveragePool(realize(node.inputs[0], stage: stage), into: view, stage: stage)
      return .stored(view)
    case .scale:
      let view = output()
      builder.scale(
        realize(node.inputs[0], stage: stage), by: realizeDense(node.inputs[1], stage: stage), into: view,
        stage: stage)
      return .stored(view)
    case .slice(let start, _): return .sliced(input: node.inputs[0], start: start)
    case .shuffle(let groups): return .shuffled(input: node.inputs[0], groups: groups)
    }
  }

  /// By the node that stands for the normalised value.
  private var normalizedState: [Int: BatchNormState] = [:]

  private func availabilityUnlessAbsorbed(_ node: Int) -> Int {
    if case .absorbed = forms[node] { 0 } else { availability(node) }
  }

  /// The activation that is a batch norm's only reader.
  private func activation(fusedWith index: Int) -> (node: Int, Activation)? {
    guard consumers[index].count == 1, !network.detect.outputs.contains(index),
      case .activation(let a) = network.nodes[consumers[index][0]].operation
    else { return nil }
    return (consumers[index][0], a)
  }

  private func convolve(_ index: Int, _ shape: ConvolutionShape, hasBias: Bool, stage: Int) throws -> MapView {
    let node = network.nodes[index]
    let runner = try ConvolutionRunner(
      .forward(bias: hasBias, activation: nil), shape, backends: backends,
      threads: builder.threadsPerLane)
    let weights = try PlanWeights(node: node.name, hasBias: hasBias, memory: memory)
    self.weights[index] = weights
    let operand = try weights.operand(runner.weightLayout)
    let input = realizeDense(node.inputs[0], stage: stage)
    let output = builder.map(shapes[index])
    builder.step(stage, reads: [input], writes: [output], convolution: runner) { program, chunk in
      unsafe runner.kernel(chunk).run(
        input: program.pointer(input, chunk), weights: operand.pointer, bias: weights.bias,
        output: program.pointer(output, chunk))
    }
    return output
  }

  private func sumStatistics(of node: Int, _ state: BatchNormState, stage: Int) {
    let z = realize(node, stage: stage)
    builder.step(stage, reads: [z], writes: []) { program, chunk in
      unsafe state.addStatistics(
        program.pointer(z, chunk), stride: z.stride, rows: chunk.rows(z), lane: chunk.lane, isFirst: chunk.isFirst)
    }
    let memory = memory
    builder.epilogue(stage) { _ in state.finishForward(memory) }
  }

  /// Whether nobody else needs a value that is not stored, so that it can be computed straight into its reader's
  /// memory.
  private func isOnlyRead(_ node: Int, by reader: Int) -> Bool {
    if case .stored = forms[node] { return false }
    if case .sliced = forms[node] { return false }
    return consumers[node] == [reader] && !network.detect.outputs.contains(node)
  }

  private func add(_ inputs: [Int], of index: Int, into view: MapView, stage: Int) {
    if inputs.count == 2, let own = inputs.firstIndex(where: { isNormalized($0) && isOnlyRead($0, by: index) }) {
      compute(inputs[own], into: view, stage: stage, adding: realize(inputs[1 - own], stage: stage))
      return
    }
    let first = realize(inputs[0], stage: stage)
    guard inputs.count > 1 else { return builder.copy(first, into: view, stage: stage) }
    builder.add(first, realize(inputs[1], stage: stage), into: view, stage: stage)
    for input in inputs.dropFirst(2) {
      builder.accumulate(realize(input, stage: stage), into: view, stage: stage)
    }
  }

  private func isNormalized(_ node: Int) -> Bool {
    if case .normalized = forms[node] { true } else { false }
  }

  /// Each input goes to its place as soon as it is there.
  private func concatenate(_ inputs: [Int], of index: Int, into view: MapView) {
    var start = 0
    for input in inputs {
      let stage = availability(input)
      let part = view.channels(start..<start + shapes[input].channels)
      if isOnlyRead(input, by: index) {
        compute(input, into: part, stage: stage)
      } else {
        builder.copy(realize(input, stage: stage), into: part, stage: stage)
      }
      start += shapes[input].channels
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

extension TrainingCompiler {
  /// Converts the weights that some kernel wants in a layout of its own, before the first step: largest first, each by
  /// the lane that has least to do.
  func convertWeights() {
    var load = Array(repeating: 0, count: builder.lanes)
    let operands = weights.sorted { $0.key < $1.key }.flatMap(\.value.operands).filter(\.isCopy)
    for operand in operands.sorted(by: { $0.count > $1.count }) {
      let least = load.indices.min { load[$0] < load[$1] }!
      load[least] += operand.count
      builder.prologue(0) { _, lane in
        if lane == least { operand.refresh() }
      }
    }
  }
}
