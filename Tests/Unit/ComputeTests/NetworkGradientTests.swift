import Network
import Testing
import TestSupport

@testable import Compute

/// One small network with every operation, trained through a plan: its heads and the gradients of all its parameters
/// against the plain network in double and that one's finite differences.
@Suite struct NetworkGradientTests {
  static let images = 3
  static let side = 12

  /// Maps read by several nodes, a sum that continues, a concat of slices, a squeeze-excite block, two levels.
  static let network: Network = {
    var b = NetworkBuilder()
    func block(
      _ name: String, of input: Int, to channels: Int, kernel: Int = 1, stride: Int = 1, padding: Int? = nil,
      groups: Int = 1, _ activation: Activation?
    ) -> Int {
      b.module("model.\(name)", "Conv")
      let z = b.convolution(
        "model.\(name).conv", of: input, to: channels, kernel: kernel, stride: stride, padding: padding,
        groups: groups)
      return b.activation("model.\(name).act", activation, of: b.batchNorm("model.\(name).bn", of: z))
    }
    let stem = block("0", of: 0, to: 6, kernel: 6, stride: 2, padding: 2, .silu)
    let depthwise = block("1", of: stem, to: 6, kernel: 3, groups: 6, .relu6)
    let projected = block("2", of: depthwise, to: 6, nil)
    let residual = b.add("model.3.add", of: [stem, projected])
    let small = block("4", of: residual, to: 8, kernel: 3, stride: 2, .hardSwish)
    let left = b.slice("model.5.left", of: small, start: 0, count: 3)
    let right = b.slice("model.5.right", of: small, start: 3, count: 5)
    let branch = block("6", of: left, to: 4, .relu)
    let joined = b.concat("model.7.concat", of: [right, branch])
    let shuffled = b.shuffle("model.7.shuffle", of: joined, groups: 3)
    b.module("model.8", "SELayer")
    let mean = b.globalAveragePool("model.8.pool", of: shuffled)
    let squeezed = b.activation("model.8.relu", .relu, of: b.linear("model.8.fc1", of: mean, to: 5))
    let factors = b.activation("model.8.gate", .hardSigmoid, of: b.linear("model.8.fc2", of: squeezed, to: 9))
    let scaled = b.scale("model.8.scale", shuffled, by: factors)
    let pooled = b.maxPool("model.9.pool", of: scaled, kernel: 5)
    let again = b.maxPool("model.9.again", of: pooled, kernel: 5)
    let pyramid = b.concat("model.9.concat", of: [scaled, pooled, again, scaled])
    let mixed = block("10", of: pyramid, to: 8, kernel: 3, groups: 2, .sigmoid)
    let large = b.upsample("model.11", of: mixed)
    let merged = b.concat("model.12.concat", of: [large, residual])
    b.module("model.13", "Sequential")
    let biased = b.convolution("model.13.0", of: merged, to: 5, kernel: 3, hasBias: true)
    let fine = b.activation("model.13.1", .silu, of: biased)
    let down = block("14", of: fine, to: 4, kernel: 5, stride: 2, groups: 1, .silu)
    let averaged = b.averagePool("model.14.pool", of: fine, kernel: 3, stride: 2)
    let coarse = b.concat("model.15.concat", of: [down, mixed, averaged])
    let anchor = [Anchor(width: 3, height: 5)]
    return b.network(
      name: "every operation", detectPath: "model.16", levels: [fine, coarse], classCount: 1,
      anchors: [anchor, anchor], strides: [2, 4])
  }()

  static let parameters: Parameters = {
    var parameters = Parameters()
    for spec in network.parameterSpecs {
      parameters[spec.name] = spec.role == .anchors ? network.detect.anchorsTensor : DeterministicValues.values(spec)
    }
    return parameters
  }()

  static let image = DeterministicValues.images(shape: [images, side, side, 3]).values
  static let reference = ReferenceNetwork(network: network, images: images, height: side, width: side)
  static let learned = network.parameterSpecs.filter(\.isLearned)
  static let doubles = parameters.tensors.mapValues { $0.values.doubles }
  static let outputs = reference.outputs(image.doubles, doubles)
  static let heads = network.detect.outputs.map { outputs[$0].values }
  static let headGradients = heads.enumerated().map { level, head in
    DeterministicValues.uniform("head.\(level)", count: head.count)
  }

  /// dL/d parameter of L = Σ head gradient · head, by central differences.
  static let gradients: [String: [Double]] = {
    let pixels = image.doubles
    /// Returns the loss of a network that differs from node `first` on.
    func loss(_ parameters: [String: [Double]], from first: Int) -> Double {
      let outputs = reference.outputs(pixels, parameters, from: first, earlier: outputs)
      return zip(network.detect.outputs, headGradients).reduce(0) { sum, level in
        sum + zip(outputs[level.0].values, level.1).reduce(0) { $0 + $1.0 * Double($1.1) }
      }
    }
    let step = 1e-5
    var result: [String: [Double]] = [:]
    var moved = doubles
    for spec in learned {
      let owner = network.nodes.firstIndex { spec.name.hasPrefix($0.name + ".") }!
      result[spec.name] = (0..<spec.count).map { i in
        let value = doubles[spec.name]![i]
        moved[spec.name]![i] = value + step
        let up = loss(moved, from: owner)
        moved[spec.name]![i] = value - step
        let down = loss(moved, from: owner)
        moved[spec.name]![i] = value
        return (up - down) / (2 * step)
      }
    }
    return result
  }()

  @Test(arguments: Runtime.Backend.allCases, [1, 2, 3])
  func everyGradientAgreesWithFiniteDifferences(backend: Runtime.Backend, threads: Int) throws {
    let runtime = try Runtime(backend: backend, threads: threads)
    let memory = try ParameterMemory(Self.network, Self.parameters, runtime: runtime)
    let plan = try TrainingPlan(memory, batchSize: Self.images, imageHeight: Self.side, imageWidth: Self.side)
    for times in 1...2 {
      plan.forward(Self.image)
      for level in Self.heads.indices {
        let head = plan.withHead(level) { head in head.indices.map { head[$0] } }
        expectClose(head.doubles, Self.heads[level], absolute: 2e-5, "head \(level)")
      }
      for level in Self.heads.indices {
        plan.withHeadGradient(level) { gradient in
          for i in gradient.indices { gradient[i] = Self.headGradients[level][i] }
        }
      }
      plan.backward(accumulate: times == 2)
      let tensors = memory.tensors(in: memory.gradients)
      #expect(Set(tensors.keys) == Set(Self.learned.map(\.name)))
      for spec in Self.learned {
        let expected = Self.gradients[spec.name]!.map { $0 * Double(times) }
        // Sums over 27 or 108 positions of a map, whose terms reach 1: rounding of the forward pass shows in them.
        expectClose(
          tensors[spec.name]!.values.doubles, expected, absolute: 2e-4 * Double(times), relative: 2e-4, spec.name)
      }
    }
  }
}
