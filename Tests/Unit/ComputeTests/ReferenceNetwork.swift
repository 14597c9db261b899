import CKernels
import Network

@testable import Compute

/// A network's training forward pass in double, node by node.
struct ReferenceNetwork {
  let network: Network
  let images: Int
  let height: Int
  let width: Int

  typealias Value = (values: [Double], shape: Reference.Shape)

  /// The outputs of all nodes for images `N × H × W × 3`. Those before node `first` are taken from `earlier`.
  func outputs(
    _ image: [Double], _ parameters: [String: [Double]], from first: Int = 0, earlier: [Value] = []
  ) -> [Value] {
    var outputs = Array(earlier[..<first])
    for node in network.nodes[first...] {
      outputs.append(run(node, node.inputs.map { outputs[$0] }, image, parameters))
    }
    return outputs
  }

  private func run(
    _ node: Node, _ inputs: [Value], _ image: [Double], _ parameters: [String: [Double]]
  ) -> Value {
    if case .image(let channels) = node.operation {
      return (image, .init(images: images, height: height, width: width, channels: channels))
    }
    let (x, shape) = inputs[0]
    func parameter(_ name: String) -> [Double] { parameters["\(node.name).\(name)"]! }
    func sized(_ height: Int, _ width: Int, _ channels: Int) -> Reference.Shape {
      .init(images: images, height: height, width: width, channels: channels)
    }
    switch node.operation {
    case .image: preconditionFailure("handled above")
    case .convolution(let c):
      return Reference.convolution(
        x, shape, weights: parameter("weight"), c, bias: c.hasBias ? parameter("bias") : nil)
    case .linear(let l):
      let c = Convolution(l.inputCount, l.outputCount, hasBias: l.hasBias)
      return Reference.convolution(
        x, sized(1, 1, shape.channels), weights: parameter("weight"), c, bias: l.hasBias ? parameter("bias") : nil)
    case .batchNorm(let b):
      let y = Reference.batchNorm(
        x, gamma: parameter("weight"), beta: parameter("bias"), epsilon: Double(b.epsilon), .CK_IDENTITY)
      return (y, shape)
    case .activation(let a): return (x.map { Reference.activation($0, Activation?.some(a).kernel) }, shape)
    case .add:
      return (x.indices.map { i in inputs.reduce(0) { $0 + $1.values[i] } }, shape)
    case .concat:
      let channels = inputs.reduce(0) { $0 + $1.shape.channels }
      let y = (0..<shape.rows).flatMap { row in
        inputs.flatMap { $0.values[(row * $0.shape.channels)..<((row + 1) * $0.shape.channels)] }
      }
      return (y, sized(shape.height, shape.width, channels))
    case .upsample(let factor):
      return (
        Reference.upsample(x, shape, factor: factor), sized(shape.height * factor, shape.width * factor, shape.channels)
      )
    case .maxPool(let p):
      let (y, _, pooled) = Reference.maxPool(x, shape, p)
      return (y, pooled)
    case .averagePool(let p): return Reference.averagePool(x, shape, p)
    case .globalAveragePool: return (Reference.averagePool(x, shape), sized(1, 1, shape.channels))
    case .scale: return (Reference.scaled(x, shape, factors: inputs[1].values), shape)
    case .slice(let start, let count):
      let y = (0..<shape.rows).flatMap { row in
        x[(row * shape.channels + start)..<(row * shape.channels + start + count)]
      }
      return (y, sized(shape.height, shape.width, count))
    case .shuffle(let groups):
      return (Reference.shuffled(x, channels: shape.channels, groups: groups), shape)
    }
  }
}
