import Network

/// The gradient of one node's value, as far as its readers have contributed.
private struct GradientSlot {
  /// Memory of the gradient's own, which later contributions are added to.
  var own: View?
  /// Gradients of sums and concats that pass through unchanged: read where they are.
  var shared: [View] = []
}

/// The second half of a training step, from the heads' gradients to those of the parameters.
///
/// Nodes are taken in reverse, so that a node's gradient is complete when it is its turn. For a batch norm two passes
/// are needed, with the sums over the batch between them: the first runs in the stage in which its gradient arrives,
/// the second in the next one, just before the convolution's own backward. Weight gradients read the activated input;
/// their steps wait until the first pass over that input has recomputed it anyway.
final class BackwardCompiler {
  private let forward: ForwardCompiler
  private let firstStage: Int
  private var slots: [GradientSlot]
  /// Weight gradients, each of a convolution, by the node whose value they read.
  private var pending: [Int: [(stage: Int, convolution: Int, instruction: (_ input: View) -> Instruction)]] = [:]

  private var network: Network { forward.network }
  private var builder: ProgramBuilder { forward.builder }
  private var shapes: [MapShape] { forward.shapes }

  init(_ forward: ForwardCompiler) {
    self.forward = forward
    firstStage = forward.builder.stageCount
    slots = forward.network.nodes.map { _ in GradientSlot() }
  }

  /// - Returns: the maps that take the heads' gradients, and the first stage of the backward pass.
  func compile(heads: [View]) throws -> (gradients: [View], firstStage: Int) {
    let gradients = zip(network.detect.outputs, heads).map { output, head in
      let gradient = builder.map(shapes[output], .float32)
      // Written between the two passes, while the head's values are still needed.
      builder.pin(head, stage: firstStage)
      builder.provide(gradient, stage: firstStage)
      slots[output].shared.append(rounded(gradient, of: output))
      return gradient
    }
    for index in network.nodes.indices.reversed() {
      try node(index)
      emitPending(index)
    }
    return (gradients, firstStage)
  }

  /// A head's gradient in the plan's element.
  private func rounded(_ gradient: View, of output: Int) -> View {
    guard gradient.element != builder.element else { return gradient }
    let rounded = builder.map(gradient.shape)
    builder.emit(.copy(gradient, to: rounded), stage: firstStage, node: output)
    return rounded
  }

  // MARK: Contributions

  /// A gradient that passes through to `node` unchanged.
  private func share(_ gradient: View, with node: Int) {
    if forward.needsGradient[node] { slots[node].shared.append(gradient) }
  }

  /// Lets `instruction` write the gradient of input `number` of a node, or add to what is there.
  /// - Parameter canAdd: whether it can add by itself; otherwise it writes scratch, which is added.
  private func contribute(
    from node: Int, _ number: Int = 0, stage: Int, canAdd: Bool = true,
    _ instruction: (_ stage: Int, _ to: View, _ adds: Bool) -> Instruction
  ) {
    let input = network.nodes[node].inputs[number]
    guard forward.needsGradient[input] else { return }
    if let own = slots[input].own {
      let stage = max(stage, builder.ready(own))
      let target = canAdd ? own : builder.map(shapes[input])
      builder.emit(instruction(stage, target, canAdd), stage: stage, node: node)
      if !canAdd { builder.emit(.add(own, target, to: own), stage: stage, node: node) }
    } else {
      let own = builder.map(shapes[input])
      slots[input].own = own
      builder.emit(instruction(stage, own, false), stage: stage, node: node)
    }
  }

  /// The complete gradient of a node's value, nil if nothing depends on it.
  private func gradient(of node: Int) -> View? {
    var shared = slots[node].shared[...]
    if slots[node].own == nil {
      guard let first = shared.popFirst() else { return nil }
      guard let second = shared.popFirst() else { return first }
      let sum = builder.map(shapes[node])
      builder.emit(
        .add(first, second, to: sum), stage: max(builder.ready(first), builder.ready(second)), node: node)
      slots[node].own = sum
    }
    let own = slots[node].own!
    for addend in shared {
      builder.emit(.add(own, addend, to: own), stage: max(builder.ready(own), builder.ready(addend)), node: node)
    }
    return own
  }

  // MARK: Node by node

  private func node(_ index: Int) throws {
    guard forward.needsGradient[index], let gradient = gradient(of: index) else { return }
    let node = network.nodes[index]
    let stage = builder.ready(gradient)
    if case .normalized(let input, let norm, let activation) = forward.forms[index] {
      return normalized(index, input, norm, activation, gradient)
    }
    switch node.operation {
    case .image, .batchNorm: break
    case .convolution, .linear: try convolution(index, gradient)
    case .activation(let a):
      contribute(from: index, stage: stage) { stage, target, adds in
        .activateBackward(
          gradient: gradient, forward.realize(node.inputs[0], stage: stage), a, to: target, adds: adds)
      }
    case .add: for input in node.inputs { share(gradient, with: input) }
    case .concat:
      var start = 0
      for input in node.inputs {
        share(gradient.channels(start..<start + shapes[input].channels), with: input)
        start += shapes[input].channels
      }
    case .upsample(let factor):
      contribute(from: index, stage: stage) { .upsampleBackward(gradient: gradient, factor: factor, to: $1, adds: $2) }
    case .maxPool(let p):
      let winner = forward.winners[index]!  // Made by the forward pass.
      contribute(from: index, stage: stage) {
        .maxPoolBackward(gradient: gradient, winner: winner, p, to: $1, adds: $2)
      }
    case .averagePool(let p):
      contribute(from: index, stage: stage) { .averagePoolBackward(gradient: gradient, p, to: $1, adds: $2) }
    case .globalAveragePool:
      let dense = forward.dense(gradient, stage: stage, node: index)
      contribute(from: index, stage: stage) { .globalAveragePoolBackward(gradient: dense, to: $1, adds: $2) }
    case .scale:
      contribute(from: index, 1, stage: stage, canAdd: false) { stage, target, _ in
        .factorGradient(gradient: gradient, forward.realize(node.inputs[0], stage: stage), to: target)
      }
      contribute(from: index, 0, stage: stage, canAdd: false) { stage, target, _ in
        .scale(gradient, by: forward.realizeDense(node.inputs[1], stage: stage), to: target)
      }
    case .slice(let start, let count):
      // Other slices may cover the rest: the whole starts at zero and each adds its part.
      let input = node.inputs[0]
      if forward.needsGradient[input], slots[input].own == nil {
        contribute(from: index, stage: stage) { _, whole, _ in .zero(whole) }
      }
      if let whole = slots[input].own {
        let part = whole.channels(start..<start + count)
        builder.emit(.add(part, gradient, to: part), stage: max(stage, builder.ready(whole)), node: index)
      }
    case .shuffle(let groups):
      contribute(from: index, stage: stage) { .shuffleBackward(gradient: gradient, groups: groups, to: $1, adds: $2) }
    }
  }

  /// Both passes of a batch norm with its activation. The second leaves the gradient of z.
  private func normalized(
    _ index: Int, _ input: Int, _ norm: BatchNormViews, _ activation: Activation?, _ gradient: View
  ) {
    let stage = builder.ready(gradient)
    let z = forward.realize(input, stage: stage)
    // In place where the gradient is the node's own; it is not read again.
    let du = activation == nil || slots[index].own == gradient ? gradient : builder.map(shapes[index])
    // The activated map, for the weight gradients that read it in this stage.
    var activated: View?
    let key = ForwardCompiler.RealizedKey(node: index, stage: stage)
    if forward.realized[key] == nil, pending[index]?.contains(where: { $0.stage == stage }) == true {
      activated = builder.map(shapes[index])
      forward.realized[key] = activated
    }
    let pass = Instruction.normalizeBackward(
      gradient: gradient, z: z, norm, activation, du: activation == nil ? nil : du, activated: activated)
    builder.emit(pass, stage: stage, node: index)
    builder.emit(.finishNormalizeBackward(norm, pixels: z.pixels), stage: stage, node: index)

    // The batch norm's own input, which is not that of the activation it may stand in front of.
    let batchNorm = network.nodes[index].inputs[0] == input ? index : network.nodes[index].inputs[0]
    contribute(from: batchNorm, stage: stage + 1, canAdd: false) { stage, target, _ in
      .normalizeBackwardApply(du: du, z: forward.realize(input, stage: stage), norm, to: target)
    }
  }

  private func convolution(_ index: Int, _ gradient: View) throws {
    let input = network.nodes[index].inputs[0]
    let (shape, hasBias) = forward.convolution(index)
    let stage = builder.ready(gradient)
    let gradient = forward.dense(gradient, stage: stage, node: index)
    if forward.needsGradient[input] {
      let (number, layout) = try builder.convolution(.backwardData, shape)
      let weights = try forward.weights(of: index, in: layout)
      contribute(from: index, stage: stage, canAdd: false) { _, target, _ in
        .convolveBackward(number, gradient: gradient, weights: weights, to: target)
      }
    }
    let (number, layout) = try builder.convolution(.backwardWeights, shape)
    let sum = builder.vector(layout.count, each: .lane)
    try joinLanes(sum, layout, of: index, stage: stage + 1)
    let addend = builder.vector(layout.count, each: .lane)
    pending[input, default: []].append(
      (stage, index, { .weightGradient(number, $0, gradient: gradient, sum: sum, addend: addend) }))
    if hasBias {
      let bias = try forward.parameter(index, "bias").gradient
      let sum = builder.vector(bias.channels, each: .lane)
      builder.emit(.biasGradient(gradient, sum: sum), stage: stage, node: index)
      builder.emit(.joinLanes(sum, to: bias), stage: stage + 1, node: index)
    }
  }

  /// Joins what the lanes have summed, in their order, into the parameter memory.
  private func joinLanes(_ sum: View, _ layout: WeightLayout, of node: Int, stage: Int) throws {
    let (own, gradient) = (forward.weightLayout(node), try forward.parameter(node, "weight").gradient)
    guard own.identity != layout.identity else {
      return builder.emit(.joinLanes(sum, to: gradient), stage: stage, node: node)
    }
    let instruction = Instruction.joinLanesConverting(
      builder.conversion(from: layout, to: own), sum, total: builder.vector(layout.count, each: .plan),
      converted: builder.vector(own.count, each: .plan), to: gradient)
    builder.emit(instruction, stage: stage, node: node)
  }

  private func emitPending(_ node: Int) {
    for (stage, convolution, instruction) in pending.removeValue(forKey: node) ?? [] {
      let input = forward.realizeDense(node, stage: stage)
      builder.emit(instruction(input), stage: stage, node: convolution)
    }
  }
}
