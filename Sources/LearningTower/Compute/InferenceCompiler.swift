internal import CKernels
import Network

/// Turns a folded network into the steps of an inference plan.
final class InferenceCompiler {
  private let network: Network
  private let shapes: [MapShape]
  private let readers: [[Int]]
  private let backends: [any Backend]
  private var views: [MapView?]
  let builder: ProgramBuilder
  private(set) var constants: [InferenceConstant] = []

  init(_ network: Network, images: Int, height: Int, width: Int, runtime: Runtime) throws {
    self.network = network
    shapes = try network.shapes(height: height, width: width)
    readers = network.nodes.indices.map { index in
      network.nodes.indices.filter { network.nodes[$0].inputs.contains(index) }
    }
    views = network.nodes.map { _ in nil }
    builder = ProgramBuilder(images: images, threads: runtime.threads)
    backends = (0..<builder.lanes).map { _ in runtime.makeBackend() }
  }

  /// - Returns: the head maps, stored.
  func compile() throws -> [MapView] {
    for index in network.nodes.indices where views[index] == nil { try node(index) }
    return network.detect.outputs.map { output in
      let view = views[output]!  // Every node has been computed.
      builder.pin(view, stage: 0)
      return view
    }
  }

  private func node(_ index: Int) throws {
    let node = network.nodes[index]
    let inputs = node.inputs.map { views[$0]! }  // Inputs stand before their readers.
    let output = builder.map(shapes[index])
    views[index] = output
    switch node.operation {
    case .image: builder.input(output, stage: 0)
    case .convolution(let c):
      let shape = ConvolutionShape(
        c, images: 1, inputHeight: inputs[0].shape.height, inputWidth: inputs[0].shape.width)
      try convolve(index, shape, hasBias: c.hasBias, inputs[0], output)
    case .linear(let l):
      try convolve(index, ConvolutionShape(l, images: 1), hasBias: l.hasBias, inputs[0], output)
    case .batchNorm(let b): normalize(index, b, inputs[0], output)
    case .activation(let a): builder.activate(inputs[0], into: output, a, stage: 0)
    case .add:
      guard inputs.count > 1 else { return builder.copy(inputs[0], into: output, stage: 0) }
      builder.add(inputs[0], inputs[1], into: output, stage: 0)
      for input in inputs.dropFirst(2) { builder.accumulate(input, into: output, stage: 0) }
    case .concat:
      var start = 0
      for input in inputs {
        builder.copy(input, into: output.channels(start..<start + input.shape.channels), stage: 0)
        start += input.shape.channels
      }
    case .upsample(let factor): builder.upsample(inputs[0], into: output, factor: factor, stage: 0)
    case .maxPool(let p): builder.maxPool(inputs[0], into: output, winner: nil, p, stage: 0)
    case .averagePool(let p): builder.averagePool(inputs[0], into: output, p, stage: 0)
    case .globalAveragePool: builder.globalAveragePool(inputs[0], into: output, stage: 0)
    case .scale: builder.scale(inputs[0], by: inputs[1], into: output, stage: 0)
    case .slice(let start, let count):
      builder.copy(inputs[0].channels(start..<start + count), into: output, stage: 0)
    case .shuffle(let groups): builder.shuffle(inputs[0], into: output, groups: groups, stage: 0)
    }
  }

  private func convolve(
    _ index: Int, _ shape: ConvolutionShape, hasBias: Bool, _ input: MapView, _ output: MapView
  ) throws {
    let name = network.nodes[index].name
    let runner = try ConvolutionRunner(
      .forward(bias: hasBias, activation: absorbActivation(of: index, into: output)), shape, backends: backends,
      threads: builder.threadsPerLane)
    let weights = InferenceConstant(weight: "\(name).weight", layout: runner.weightLayout)
    let bias = hasBias ? InferenceConstant(bias: "\(name).bias", count: shape.outputChannels) : nil
    constants += [weights] + (bias.map { [$0] } ?? [])
    builder.step(0, reads: [input], writes: [output], convolution: runner) { program, chunk in
      unsafe runner.kernel(chunk).run(
        input: program.pointer(input, chunk), weights: weights.buffer.pointer,
        bias: bias.map { unsafe UnsafePointer($0.buffer.pointer) }, output: program.pointer(output, chunk))
    }
  }

  private func normalize(_ index: Int, _ operation: BatchNorm, _ input: MapView, _ output: MapView) {
    let coefficients = InferenceConstant(batchNorm: network.nodes[index].name, operation)
    constants.append(coefficients)
    let kernel = absorbActivation(of: index, into: output).kernel
    builder.step(0, reads: [input], writes: [output]) { program, chunk in
      let scale = unsafe coefficients.buffer.pointer
      unsafe ck_normalize_activate(
        program.pointer(output, chunk), output.stride, program.pointer(input, chunk), input.stride, nil, scale,
        scale + operation.channels, nil, 0, chunk.rows(input), operation.channels, kernel)
    }
  }

  /// The activation that is a node's only reader; its value is then the node's own map.
  private func absorbActivation(of index: Int, into output: MapView) -> Activation? {
    guard readers[index].count == 1, !network.detect.outputs.contains(index),
      case .activation(let a) = network.nodes[readers[index][0]].operation
    else { return nil }
    views[readers[index][0]] = output
    return a
  }
}
