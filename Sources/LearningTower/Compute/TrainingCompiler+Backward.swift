internal import CKernels
import Network

/// The gradient of one node's value, as far as its readers have contributed.
private struct GradientSlot {
  /// Memory of the gradient's own, which later contributions are added to.
  var own: MapView?
  /// Gradients of sums and concats that pass through unchanged: read where they are.
  var shared: [MapView] = []
}

/// The second half of a training step, from the heads' gradients to those of the parameters.
///
/// Nodes are taken in reverse, so that a node's gradient is complete when it is its turn. For a batch norm two passes
/// are needed, with the sums over the batch between them: the first runs in the stage in which its gradient arrives,
/// the second in the next one, just before the convolution's own backward. Weight gradients read the activated input;
/// their steps wait until the first pass over that input has recomputed it anyway.
final class BackwardCompiler {
  private let forward: TrainingCompiler
  private let firstStage: Int
  private var slots: [GradientSlot]
  /// Weight-gradient steps by the node whose value they read.
  private var pending: [Int: [PendingStep]] = [:]

  private struct PendingStep {
    var stage: Int
    var emit: (_ input: MapView) -> Void
  }

  private var network: Network { forward.network }
  private var builder: ProgramBuilder { forward.builder }
  private var memory: ParameterMemory { forward.memory }
  private var shapes: [MapShape] { forward.shapes }

  init(_ forward: TrainingCompiler) {
    self.forward = forward
    firstStage = forward.builder.stageCount
    slots = forward.network.nodes.map { _ in GradientSlot() }
  }

  /// - Returns: the maps that take the heads' gradients, and the first stage of the backward pass.
  func compile(heads: [MapView]) throws -> (gradients: [MapView], firstStage: Int) {
    let gradients = zip(network.detect.outputs, heads).map { output, head in
      let gradient = builder.map(shapes[output])
      // Written between the two passes, while the head's values are still needed.
      builder.pin(head, stage: firstStage)
      builder.provide(gradient, stage: firstStage)
      slots[output].shared.append(gradient)
      return gradient
    }
    for index in network.nodes.indices.reversed() { try node(index) }
    return (gradients, firstStage)
  }

  // MARK: Contributions

  /// A gradient that passes through to `node` unchanged.
  private func share(_ gradient: MapView, with node: Int) {
    if forward.needsGradient[node] { slots[node].shared.append(gradient) }
  }

  /// Lets `emit` write the gradient of `node`, or add to what is there.
  /// - Parameter accumulates: whether the step can add by itself; otherwise it writes scratch, which is added.
  private func contribute(
    to node: Int, stage: Int, accumulates: Bool, _ emit: (_ stage: Int, _ target: MapView, _ adds: Bool) -> Void
  ) {
    guard forward.needsGradient[node] else { return }
    if let own = slots[node].own {
      let stage = max(stage, builder.ready(own))
      if accumulates { return emit(stage, own, true) }
      let addend = builder.map(shapes[node])
      emit(stage, addend, false)
      builder.accumulate(addend, into: own, stage: stage)
    } else {
      let own = builder.map(shapes[node])
      slots[node].own = own
      emit(stage, own, false)
    }
  }

  /// The complete gradient of a node's value, nil if nothing depends on it.
  private func gradient(of node: Int) -> MapView? {
    var shared = slots[node].shared[...]
    if slots[node].own == nil {
      guard let first = shared.popFirst() else { return nil }
      guard let second = shared.popFirst() else { return first }
      let sum = builder.map(shapes[node])
      builder.add(first, second, into: sum, stage: max(builder.ready(first), builder.ready(second)))
      slots[node].own = sum
    }
    let own = slots[node].own!
    for addend in shared {
      builder.accumulate(addend, into: own, stage: max(builder.ready(own), builder.ready(addend)))
    }
    return own
  }

  // MARK: Node by node

  private func node(_ index: Int) throws {
    defer { emitPending(index) }
    guard forward.needsGradient[index], let gradient = gradient(of: index) else { return }
    let node = network.nodes[index]
    let stage = builder.ready(gradient)
    if case .normalized(let input, let state, let activation) = forward.forms[index] {
      return normalized(index, input, state, activation, gradient)
    }
    switch node.operation {
    case .image, .batchNorm: break
    case .convolution(let c):
      let input = shapes[node.inputs[0]]
      try convolution(
        index, ConvolutionShape(c, images: 1, inputHeight: input.height, inputWidth: input.width), gradient)
    case .linear(let l): try convolution(index, ConvolutionShape(l, images: 1), gradient)
    case .activation(let a):
      let kernel = Optional(a).kernel
      contribute(to: node.inputs[0], stage: stage, accumulates: true) { stage, target, adds in
        let u = forward.realize(node.inputs[0], stage: stage)
        builder.step(stage, reads: [gradient, u] + (adds ? [target] : []), writes: [target]) { program, chunk in
          unsafe ck_activate_backward(
            program.pointer(target, chunk), target.stride, program.pointer(gradient, chunk), gradient.stride,
            program.pointer(u, chunk), u.stride, chunk.rows(u), u.shape.channels, kernel, adds)
        }
      }
    case .add: for input in node.inputs { share(gradient, with: input) }
    case .concat:
      var start = 0
      for input in node.inputs {
        share(gradient.channels(start..<start + shapes[input].channels), with: input)
        start += shapes[input].channels
      }
    case .upsample(let factor):
      contribute(to: node.inputs[0], stage: stage, accumulates: true) { stage, target, adds in
        builder.step(stage, reads: [gradient] + (adds ? [target] : []), writes: [target]) { program, chunk in
          unsafe ck_upsample_backward(
            program.pointer(target, chunk), target.stride, program.pointer(gradient, chunk), gradient.stride,
            chunk.count, target.shape.height, target.shape.width, target.shape.channels, factor, adds)
        }
      }
    case .maxPool(let p): maxPool(index, p, gradient)
    case .averagePool(let p):
      contribute(to: node.inputs[0], stage: stage, accumulates: true) { stage, target, adds in
        builder.step(stage, reads: [gradient] + (adds ? [target] : []), writes: [target]) { program, chunk in
          unsafe ck_average_windows_backward(
            program.pointer(target, chunk), target.stride, program.pointer(gradient, chunk), gradient.stride,
            chunk.count, target.shape.height, target.shape.width, target.shape.channels, p.kernel, p.stride, p.padding,
            adds)
        }
      }
    case .globalAveragePool:
      let dense = forward.dense(gradient, stage: stage)
      contribute(to: node.inputs[0], stage: stage, accumulates: true) { stage, target, adds in
        builder.step(stage, reads: [dense] + (adds ? [target] : []), writes: [target]) { program, chunk in
          unsafe ck_average_pool_backward(
            program.pointer(target, chunk), target.stride, program.pointer(dense, chunk), chunk.count, target.pixels,
            target.shape.channels, adds)
        }
      }
    case .scale: scale(index, gradient)
    case .slice(let start, let count):
      // Other slices may cover the rest: the whole starts at zero and each adds its part.
      contribute(to: node.inputs[0], stage: stage, accumulates: true) { stage, target, adds in
        if !adds { builder.zero(target, stage: stage) }
        builder.accumulate(gradient, into: target.channels(start..<start + count), stage: stage)
      }
    case .shuffle(let groups):
      contribute(to: node.inputs[0], stage: stage, accumulates: true) { stage, target, adds in
        builder.step(stage, reads: [gradient] + (adds ? [target] : []), writes: [target]) { program, chunk in
          unsafe ck_shuffle_backward(
            program.pointer(target, chunk), target.stride, program.pointer(gradient, chunk), gradient.stride,
            chunk.rows(target), target.shape.channels, groups, adds)
        }
      }
    }
  }

  /// Both passes of a batch norm with its activation. The second leaves the gradient of z.
  private func normalized(
    _ index: Int, _ input: Int, _ state: BatchNormState, _ activation: Activation?, _ gradient: MapView
  ) {
    let stage = builder.ready(gradient)
    let z = forward.realize(input, stage: stage)
    let kernel = activation.kernel
    // In place where the gradient is the node's own; it is not read again.
    let du = activation == nil || slots[index].own == gradient ? gradient : builder.map(shapes[index])
    // The activated map, for the weight gradients that read it in this stage.
    var activated: MapView?
    let key = TrainingCompiler.RealizedKey(node: index, stage: stage)
    if forward.realized[key] == nil, pending[index]?.contains(where: { $0.stage == stage }) == true {
      activated = builder.map(shapes[index])
      forward.realized[key] = activated
    }
    let (activatedMap, writesGradient) = (activated, activation != nil)
    let writes = [activated, writesGradient ? du : nil].compactMap { $0 }
    builder.step(stage, reads: [gradient, z], writes: writes) { program, chunk in
      let (sum, sumCentred) = unsafe state.backwardSums(lane: chunk.lane, isFirst: chunk.isFirst)
      unsafe ck_batch_norm_backward_reduce(
        writesGradient ? program.pointer(du, chunk) : nil, du.stride,
        activatedMap.map { unsafe program.pointer($0, chunk) }, activatedMap?.stride ?? 0, sum, sumCentred,
        program.pointer(gradient, chunk), gradient.stride, program.pointer(z, chunk), z.stride, state.mean,
        state.scale, state.shift, chunk.rows(z), z.shape.channels, kernel)
    }
    let (memory, rows) = (memory, forward.images * z.pixels)
    builder.epilogue(stage) { program in
      state.finishBackward(memory, rows: rows, accumulate: program.accumulates)
    }

    contribute(to: input, stage: stage + 1, accumulates: false) { stage, target, _ in
      let z = forward.realize(input, stage: stage)
      builder.step(stage, reads: [du, z], writes: [target]) { program, chunk in
        unsafe ck_batch_norm_backward_apply(
          program.pointer(target, chunk), target.stride, program.pointer(du, chunk), du.stride,
          program.pointer(z, chunk), z.stride, state.mean, state.byGradient, state.byValue, state.constant,
          chunk.rows(z), z.shape.channels)
      }
    }
  }

  private func convolution(_ index: Int, _ shape: ConvolutionShape, _ gradient: MapView) throws {
    let input = network.nodes[index].inputs[0]
    let weights = forward.weights[index]!  // Made by the forward pass.
    let stage = builder.ready(gradient)
    let output = forward.dense(gradient, stage: stage)
    if forward.needsGradient[input] {
      let runner = try self.runner(.backwardData, shape)
      let operand = try weights.operand(runner.weightLayout)
      contribute(to: input, stage: stage, accumulates: false) { stage, target, _ in
        builder.step(stage, reads: [output], writes: [target], convolution: runner) { program, chunk in
          unsafe runner.kernel(chunk).run(
            input: program.pointer(target, chunk), weights: operand.pointer, bias: nil,
            output: program.pointer(output, chunk))
        }
      }
    }
    let runner = try self.runner(.backwardWeights, shape)
    let sum = WeightGradient(weights, layout: runner.weightLayout, memory: memory, builder: builder)
    try sum.finish(after: stage)
    pending[input, default: []].append(
      PendingStep(stage: stage) { [builder] input in
        builder.step(
          stage, reads: [input, output], writes: [], laneBuffers: sum.laneBuffers, convolution: runner
        ) { program, chunk in
          unsafe sum.add(program, chunk) { target in
            unsafe runner.kernel(chunk).run(
              input: program.pointer(input, chunk), weights: target, bias: nil, output: program.pointer(output, chunk))
          }
          unsafe sum.addBias(program, chunk, output: program.pointer(output, chunk), rows: chunk.rows(output))
        }
      })
  }

  private func runner(_ pass: ConvolutionPass, _ shape: ConvolutionShape) throws -> ConvolutionRunner {
    try ConvolutionRunner(
      pass, shape, backends: forward.backends, threads: builder.threadsPerLane)
  }

  private func emitPending(_ node: Int) {
    for step in pending.removeValue(forKey: node) ?? [] {
      step.emit(forward.realizeDense(node, stage: step.stage))
    }
  }

  private func maxPool(_ index: Int, _ pool: Pool, _ gradient: MapView) {
    let winner = forward.winners[index]!  // Made by the forward pass.
    contribute(to: network.nodes[index].inputs[0], stage: builder.ready(gradient), accumulates: true) {
      stage, target, adds in
      builder.step(stage, reads: [gradient, winner] + (adds ? [target] : []), writes: [target]) { program, chunk in
        for image in chunk.images {
          unsafe ck_max_pool_backward(
            program.pointer(target, image), target.stride, program.pointer(gradient, image), gradient.stride,
            program.bytes(winner, image), 1, target.shape.height, target.shape.width, target.shape.channels,
            pool.kernel, pool.stride, pool.padding, adds)
        }
      }
    }
  }

  private func scale(_ index: Int, _ gradient: MapView) {
    let (map, factor) = (network.nodes[index].inputs[0], network.nodes[index].inputs[1])
    let stage = builder.ready(gradient)
    // One kernel computes both; each goes to a map of its own first.
    contribute(to: map, stage: stage, accumulates: false) { stage, target, _ in
      contribute(to: factor, stage: stage, accumulates: false) { stage, factorTarget, _ in
        let x = forward.realize(map, stage: stage)
        let factors = forward.realizeDense(factor, stage: stage)
        builder.step(stage, reads: [gradient, x, factors], writes: [target, factorTarget]) { program, chunk in
          unsafe ck_scale_channels_backward(
            program.pointer(target, chunk), target.stride, program.pointer(factorTarget, chunk),
            program.pointer(gradient, chunk), gradient.stride, program.pointer(x, chunk), x.stride,
            program.pointer(factors, chunk), chunk.count, x.pixels, x.shape.channels, false, false)
        }
      }
    }
  }
}
