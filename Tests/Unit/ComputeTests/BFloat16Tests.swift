import Network
import Testing
import TestSupport
import Zoo

@testable import Compute

/// Plans and convolutions in bfloat16: 8 significant bits, so that a rounded value is off by 2⁻⁸ of itself at most.
@Suite struct BFloat16Tests {
  static let rounding = 1.0 / 256

  // MARK: Convolutions

  /// oneDNN multiplies bfloat16 where the processor does; the others compute the same from the rounded values.
  static var libraries: [any ConvolutionLibrary] {
    [RoundingLibrary(OpenBLAS()), RoundingLibrary(OneDNN())] + (OneDNN.hasBFloat16Kernels ? [OneDNN()] : [])
  }

  @Test(arguments: ConvolutionTests.cases) func convolutionsRoundTheirResultsOnce(_ example: ConvolutionTests.Case)
    throws
  {
    let c = example.convolution
    let shape = example.shape.with(element: .bfloat16)
    let x = rounded(DeterministicValues.uniform("x", count: example.input.count))
    let w = rounded(DeterministicValues.uniform("w", count: shape.weightCount))
    let (plain, output) = Reference.convolution(x.doubles, example.input, weights: w.doubles, c)
    let g = rounded(DeterministicValues.uniform("g", count: output.count))
    let gradients = Reference.convolutionGradients(x.doubles, example.input, weights: w.doubles, c, gradient: g.doubles)
    // Sums in float32, in whatever order.
    let sums = 3e-6 * Double(max(shape.weightCount / c.outputChannels, output.rows)).squareRoot()

    for library in Self.libraries {
      for outputElement in [Element.bfloat16, .float32] {
        let shape = shape.with(element: .bfloat16, output: outputElement)
        let forward = try library.convolution(.forward(bias: false, activation: nil), shape, threads: 1)
        let y = run(
          forward, input: packed(x), weights: laidOut(w, forward), output: nil, count: output.count, outputElement)
        expectClose(
          y.doubles, plain, absolute: sums, relative: outputElement == .float32 ? 0 : Self.rounding * 1.01, "forward")
      }
      let backwardData = try library.convolution(.backwardData, shape, threads: 1)
      let dx = run(backwardData, input: nil, weights: laidOut(w, backwardData), output: packed(g), count: x.count)
      expectClose(dx.doubles, gradients.input, absolute: sums, relative: Self.rounding * 1.01, "backward data")

      let backwardWeights = try library.convolution(.backwardWeights, shape, threads: 1)
      let layout = backwardWeights.weightLayout
      #expect(layout.element == .float32)
      let (sum, unpacked) = (AlignedBuffer(count: layout.count), AlignedBuffer(count: w.count))
      let (input, gradient) = (packed(x), packed(g))
      unsafe backwardWeights.run(input: input.pointer, weights: sum.pointer, bias: nil, output: gradient.pointer)
      unsafe layout.unpacking().run(sum.pointer, unpacked.pointer)
      withExtendedLifetime((input, gradient, sum)) {}
      expectClose(unpacked.values().doubles, gradients.weights, absolute: sums, relative: 1e-5, "backward weights")
    }
  }

  // MARK: Plans

  /// Each map on the way is rounded, so that errors add up over the depth; most in the gradients of the first layers,
  /// behind pools whose winners change.
  @Test(arguments: Runtime.Backend.allCases, [1, 3])
  func headsAndGradientsAreThoseOfFloat32WithinRounding(backend: Runtime.Backend, threads: Int) throws {
    typealias Same = NetworkGradientTests
    let memory = try ParameterMemory(
      Same.network, Same.parameters, runtime: Runtime(backend: backend, threads: threads, precision: .bfloat16))
    let plan = try TrainingPlan(memory, batchSize: Same.images, imageHeight: Same.side, imageWidth: Same.side)
    for times in 1...2 {
      plan.forward(Same.image)
      for level in Same.heads.indices {
        let head = plan.withHead(level) { head in head.indices.map { head[$0] } }
        #expect(relativeL2(head, Same.heads[level].map { Float($0) }) < 0.02, "head \(level)")
        plan.withHeadGradient(level) { gradient in
          for i in gradient.indices { gradient[i] = Same.headGradients[level][i] }
        }
      }
      plan.backward(accumulate: times == 2)
      let tensors = memory.tensors(in: memory.gradients)
      for spec in Same.learned {
        let expected = Same.gradients[spec.name]!.map { Float($0) * Float(times) }
        #expect(relativeL2(tensors[spec.name]!.values, expected) < 0.2, "\(spec.name)")
      }
    }
  }

  /// Processors that multiply bfloat16 and libraries that only round for it give results of one kind, which differ by
  /// the order of sums.
  @Test func librariesAgree() throws {
    typealias Same = NetworkGradientTests
    let gradients = try Runtime.availableBackends.map { backend in
      let runtime = try Runtime(backend: backend, threads: 1, precision: .bfloat16)
      let memory = try ParameterMemory(Same.network, Same.parameters, runtime: runtime)
      let plan = try TrainingPlan(memory, batchSize: Same.images, imageHeight: Same.side, imageWidth: Same.side)
      plan.forward(Same.image)
      for level in plan.heads.indices { plan.withHeadGradient(level) { $0.update(repeating: 0.01) } }
      plan.backward()
      return memory.tensors(in: memory.gradients)
    }
    for other in gradients.dropFirst() {
      for spec in Same.learned {
        #expect(relativeL2(other[spec.name]!.values, gradients[0][spec.name]!.values) < 0.01, "\(spec.name)")
      }
    }
  }

  @Test(arguments: ["yolov5n", "mobilenetv3-small", "shufflenetv2", "ghostnet"])
  func familiesDetectTheSame(name: String) throws {
    let network = try Architecture(named: name).network(classCount: 2)
    let image = DeterministicValues.images(shape: [1, 64, 64, 3]).values
    let heads = try Precision.allCases.map { precision in
      let plan = try InferencePlan(
        network, network.goldenParameters, batchSize: 1, imageHeight: 64, imageWidth: 64,
        runtime: Runtime(threads: 2, precision: precision))
      plan.run(image)
      return plan.heads.indices.map { level in plan.withHead(level) { head in head.indices.map { head[$0] } } }
    }
    for (exact, rounded) in zip(heads[0], heads[1]) {
      let error = relativeL2(rounded, exact)
      #expect(error > 0 && error < 0.03, "\(error)")
    }
  }

  @Test func aStepGivesTheSameBytesAgain() throws {
    let network = try Architecture(named: "yolov5n").network(classCount: 2)
    let images = DeterministicValues.images(shape: [3, 64, 64, 3]).values
    func gradients() throws -> [Float] {
      let runtime = try Runtime(threads: 2, precision: .bfloat16)
      let memory = try ParameterMemory(network, network.goldenParameters, runtime: runtime)
      let plan = try TrainingPlan(memory, batchSize: 3, imageHeight: 64, imageWidth: 64)
      plan.forward(images)
      for level in plan.heads.indices { plan.withHeadGradient(level) { $0.update(repeating: 0.01) } }
      plan.backward()
      return memory.gradients.values()
    }
    let (one, other) = (try gradients(), try gradients())
    #expect(one.map(\.bitPattern) == other.map(\.bitPattern))
    #expect(!one.contains { !$0.isFinite })
  }

  /// Maps take half as much; winners of pools, weights and sums what they took.
  @Test func aPlanTakesHalfTheMemory() throws {
    let network = try Architecture(named: "yolov5n").network(classCount: 2)
    let bytes = try Precision.allCases.map { precision in
      let runtime = try Runtime(threads: 2, precision: precision)
      let memory = try ParameterMemory(network, network.goldenParameters, runtime: runtime)
      let plan = try TrainingPlan(memory, batchSize: 8, imageHeight: 320, imageWidth: 320)
      return plan.executor.program.arenaBytes
    }
    #expect(Double(bytes[1]) < 0.6 * Double(bytes[0]), "\(bytes)")
  }

  /// Images of a batch lie one behind the other, whatever the size of their maps, so that passes may divide the batch
  /// differently.
  @Test(arguments: Precision.allCases) func mapsOfOddSizesAreDividedInAnyWay(precision: Precision) throws {
    var b = NetworkBuilder()
    b.module("model.0", "Conv")
    let z = b.convolution("model.0.conv", of: 0, to: 5, kernel: 3, hasBias: true)
    let map = b.maxPool("model.1.pool", of: z, kernel: 3)
    let network = b.network(
      name: "odd", detectPath: "model.2", levels: [map], classCount: 1, anchors: [[Anchor(width: 3, height: 5)]],
      strides: [1])
    let (images, side) = (5, 131)
    let pixels = DeterministicValues.images(shape: [images, side, side, 3]).values
    func gradient(ofBatches batches: [Range<Int>]) throws -> [Float] {
      let memory = try ParameterMemory(
        network, network.goldenParameters, runtime: Runtime(threads: 1, precision: precision))
      for (number, batch) in batches.enumerated() {
        let plan = try TrainingPlan(memory, batchSize: batch.count, imageHeight: side, imageWidth: side)
        let count = side * side * 3
        plan.forward(Array(pixels[batch.lowerBound * count..<batch.upperBound * count]))
        plan.withHeadGradient(0) { $0.update(repeating: 0.01) }
        plan.backward(accumulate: number > 0)
      }
      return memory.tensors(in: memory.gradients)["model.0.conv.weight"]!.values
    }
    let (whole, apart) = (
      try gradient(ofBatches: [0..<images]), try gradient(ofBatches: (0..<images).map { $0..<$0 + 1 })
    )
    #expect(relativeL2(whole, apart) < 1e-5)
  }

  // MARK: Values

  private func rounded(_ values: [Float]) -> [Float] { values.map { Float(bfloat16: $0.bfloat16) } }

  private func packed(_ values: [Float]) -> AlignedBuffer {
    let buffer = AlignedBuffer(count: (values.count + 1) / 2)
    unsafe UnsafeMutableRawPointer(buffer.pointer).withMemoryRebound(to: UInt16.self, capacity: values.count) { bits in
      for i in values.indices { unsafe bits[i] = values[i].bfloat16 }
    }
    return buffer
  }

  private func laidOut(_ weights: [Float], _ kernel: any ConvolutionKernel) -> AlignedBuffer {
    let (plain, packed) = (AlignedBuffer(count: weights.count), AlignedBuffer(count: kernel.weightLayout.count))
    #expect(kernel.weightLayout.element == .bfloat16)
    plain.withMutableSpan { span in
      for i in weights.indices { span[i] = weights[i] }
    }
    unsafe kernel.weightLayout.packing().run(plain.pointer, packed.pointer)
    withExtendedLifetime(plain) {}
    return packed
  }

  /// - Returns: the values of the one that is nil.
  private func run(
    _ kernel: any ConvolutionKernel, input: AlignedBuffer?, weights: AlignedBuffer, output: AlignedBuffer?, count: Int,
    _ element: Element = .bfloat16
  ) -> [Float] {
    let result = AlignedBuffer(count: count)
    result.fill(.nan)
    unsafe kernel.run(
      input: (input ?? result).pointer, weights: weights.pointer, bias: nil, output: (output ?? result).pointer)
    withExtendedLifetime((input, weights, output)) {}
    if element == .float32 { return result.values() }
    return unsafe UnsafeMutableRawPointer(result.pointer).withMemoryRebound(to: UInt16.self, capacity: count) { bits in
      (0..<count).map { Float(bfloat16: unsafe bits[$0]) }
    }
  }
}
