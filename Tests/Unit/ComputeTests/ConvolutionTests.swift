import CKernels
import Network
import Testing
import TestSupport

@testable import Compute

/// Every library against the plain convolution, pass by pass.
@Suite struct ConvolutionTests {
  struct Case: CustomStringConvertible {
    var convolution: Convolution
    var images = 2
    var height: Int
    var width: Int

    var shape: ConvolutionShape {
      ConvolutionShape(convolution, images: images, inputHeight: height, inputWidth: width)
    }
    var input: Reference.Shape {
      .init(images: images, height: height, width: width, channels: convolution.inputChannels)
    }
    var description: String {
      let c = convolution
      return "\(images)×\(height)×\(width)×\(c.inputChannels) → \(c.outputChannels), kernel \(c.kernel), "
        + "stride \(c.stride), padding \(c.padding), \(c.groups) groups"
    }

    init(
      _ inputs: Int, _ outputs: Int, _ kernel: Int, stride: Int = 1, padding: Int? = nil, groups: Int = 1,
      images: Int = 2, _ height: Int, _ width: Int
    ) {
      convolution = Convolution(
        inputs, outputs, kernel: kernel, stride: stride, padding: padding, groups: groups, hasBias: true)
      (self.images, self.height, self.width) = (images, height, width)
    }
  }

  static let cases: [Case] = [
    Case(8, 16, 1, 5, 7), Case(13, 7, 1, 6, 4), Case(1, 1, 1, 1, 1), Case(1, 5, 3, 4, 4), Case(5, 1, 3, 4, 6),
    Case(3, 16, 6, stride: 2, padding: 2, 16, 12), Case(3, 11, 6, stride: 2, padding: 2, images: 1, 13, 9),
    Case(16, 24, 3, 7, 9), Case(9, 33, 3, stride: 2, 8, 8), Case(9, 33, 3, stride: 2, 7, 11),
    Case(12, 6, 1, stride: 2, 7, 6), Case(4, 4, 5, stride: 3, padding: 1, 11, 14), Case(6, 9, 3, padding: 0, 5, 5),
    Case(7, 5, 3, images: 1, 1, 1), Case(2, 3, 5, 2, 3),
    Case(8, 12, 3, groups: 4, 6, 5), Case(6, 6, 1, groups: 3, 4, 4), Case(6, 18, 3, stride: 2, groups: 6, 7, 7),
    Case(16, 16, 3, groups: 16, 8, 9), Case(13, 13, 3, stride: 2, groups: 13, 9, 8),
    Case(40, 40, 5, groups: 40, 6, 11), Case(27, 27, 5, stride: 2, groups: 27, images: 3, 12, 7),
    Case(5, 5, 7, groups: 5, 4, 4), Case(33, 33, 3, groups: 33, 1, 1), Case(8, 8, 1, groups: 8, 3, 3),
    Case(3, 3, 3, padding: 4, groups: 3, 4, 3), Case(24, 24, 3, stride: 3, padding: 0, groups: 24, 9, 10),
    // Few pixels and many channels, as linear layers are; several chunks of gathered rows.
    Case(70, 130, 1, images: 4, 1, 1), Case(48, 100, 3, images: 1, 3, 3), Case(32, 40, 3, images: 1, 24, 26),
    Case(3, 4, 3, images: 1, 80, 75),
  ]

  @Test(arguments: cases) func openBLASAgreesWithThePlainConvolution(_ example: Case) throws {
    for threads in 1...3 { try check(OpenBLAS(), example, threads: threads) }
  }

  @Test(arguments: cases) func oneDNNAgreesWithThePlainConvolution(_ example: Case) throws {
    for threads in 1...2 { try check(OneDNN(), example, threads: threads) }
  }

  /// oneDNN may choose another layout for four images than for one, but a plan packs its weights once.
  @Test(
    "A library computes with weights in the layout that it chose for one image",
    arguments: [
      Case(55, 88, 3, stride: 2, images: 4, 20, 20), Case(55, 88, 3, stride: 2, images: 3, 10, 10),
      Case(24, 31, 3, images: 5, 9, 9), Case(9, 33, 3, stride: 2, images: 7, 8, 8), Case(70, 130, 1, images: 4, 5, 5),
      Case(13, 13, 3, stride: 2, groups: 13, images: 4, 9, 8),
    ])
  func layoutsAreKept(_ example: Case) throws {
    for library in [OpenBLAS(), OneDNN()] as [any ConvolutionLibrary] {
      try check(library, example, threads: 1, layoutOf: 1)
    }
  }

  /// - Parameter images: the number of images for which the library chooses the layout; nil: those of the example.
  private func check(
    _ library: any ConvolutionLibrary, _ example: Case, threads: Int, layoutOf images: Int? = nil
  ) throws {
    func kernel(_ pass: ConvolutionPass) throws -> any ConvolutionKernel {
      guard let images else { return try library.convolution(pass, example.shape, threads: threads) }
      let layout = try library.convolution(pass, example.shape.with(images: images), threads: threads).weightLayout
      let kernel = try library.convolution(pass, example.shape, threads: threads, weights: layout)
      #expect(kernel.weightLayout.identity == layout.identity)
      return kernel
    }
    let (shape, c) = (example.shape, example.convolution)
    let x = DeterministicValues.uniform("x", count: example.input.count)
    let w = DeterministicValues.uniform("w", count: shape.weightCount)
    let b = DeterministicValues.uniform("b", count: c.outputChannels)
    let (plain, output) = Reference.convolution(x.doubles, example.input, weights: w.doubles, c)
    let g = DeterministicValues.uniform("g", count: output.count)
    let gradients = Reference.convolutionGradients(
      x.doubles, example.input, weights: w.doubles, c, gradient: g.doubles)
    // Rounding grows with the root of the sums' length.
    let forwardScale = 2.4 * Double(shape.weightCount / c.outputChannels).squareRoot()
    let weightScale = Double(output.rows).squareRoot()

    for (hasBias, activation) in [(false, nil), (true, nil), (true, Activation.silu), (true, .relu6)] {
      let kernel = try kernel(.forward(bias: hasBias, activation: activation))
      let bias = hasBias ? buffer(b) : nil
      let y = AlignedBuffer(count: output.count)
      y.fill(.nan)
      run(kernel, buffer(x), packed(w, kernel.weightLayout), bias, y)
      let expected = plain.indices.map { i in
        Reference.activation(
          plain[i] + (hasBias ? Double(b[i % c.outputChannels]) : 0), activation.kernel)
      }
      expectClose(
        y.values().doubles, expected, absolute: 1e-6 * forwardScale, "forward \(activation.map(\.rawValue) ?? "")")
    }

    let backwardData = try kernel(.backwardData)
    let dx = AlignedBuffer(count: x.count)
    dx.fill(.nan)
    run(backwardData, dx, packed(w, backwardData.weightLayout), nil, buffer(g))
    expectClose(dx.values().doubles, gradients.input, absolute: 2e-6 * forwardScale, "backward data")

    let backwardWeights = try kernel(.backwardWeights)
    let layout = backwardWeights.weightLayout
    let dw = AlignedBuffer(count: layout.count)
    dw.fill(.nan)
    run(backwardWeights, buffer(x), dw, nil, buffer(g))
    let unpacked = AlignedBuffer(count: w.count)
    for times in 1...2 {
      unsafe layout.unpacking().run(dw.pointer, unpacked.pointer, accumulates: times == 2)
      expectClose(
        unpacked.values().doubles, gradients.weights.map { $0 * Double(times) },
        absolute: 2e-6 * weightScale * Double(times),
        "backward weights")
    }
  }

  @Test(arguments: [Case(5, 7, 3, 4, 4), Case(6, 4, 3, groups: 2, 4, 4), Case(13, 13, 5, groups: 13, 4, 4)])
  func weightsKeepTheirBits(_ example: Case) throws {
    for library in [OpenBLAS(), OneDNN()] as [any ConvolutionLibrary] {
      let layout = try library.convolution(.backwardData, example.shape, threads: 1).weightLayout
      let w = DeterministicValues.uniform("w", count: example.shape.weightCount)
      let back = AlignedBuffer(count: w.count)
      let packed = packed(w, layout)
      unsafe layout.unpacking().run(packed.pointer, back.pointer)
      withExtendedLifetime(packed) {}
      #expect(back.values() == w)
    }
  }

  /// The plain convolution's own gradients, which the tests above rely on.
  @Test(arguments: [
    Case(3, 4, 3, images: 1, 4, 3), Case(4, 4, 3, stride: 2, groups: 2, images: 1, 5, 4),
    Case(3, 3, 2, stride: 2, padding: 1, groups: 3, 3, 3), Case(2, 2, 6, stride: 2, padding: 2, images: 1, 6, 6),
  ]) func plainGradientsAgreeWithFiniteDifferences(_ example: Case) {
    let (shape, c) = (example.shape, example.convolution)
    let x = DeterministicValues.uniform("x", count: example.input.count).doubles
    let w = DeterministicValues.uniform("w", count: shape.weightCount).doubles
    let output = Reference.convolution(x, example.input, weights: w, c).shape
    let g = DeterministicValues.uniform("g", count: output.count).doubles
    let gradients = Reference.convolutionGradients(x, example.input, weights: w, c, gradient: g)
    let byInput = finiteDifferences(
      of: { Reference.convolution($0, example.input, weights: w, c).values }, at: x, weights: g)
    let byWeight = finiteDifferences(
      of: { Reference.convolution(x, example.input, weights: $0, c).values }, at: w, weights: g)
    expectClose(gradients.input, byInput, absolute: 1e-8)
    expectClose(gradients.weights, byWeight, absolute: 1e-8)
  }

  private func run(
    _ kernel: any ConvolutionKernel, _ input: AlignedBuffer, _ weights: AlignedBuffer, _ bias: AlignedBuffer?,
    _ output: AlignedBuffer
  ) {
    withExtendedLifetime((input, weights, bias, output)) {
      unsafe kernel.run(
        input: input.pointer, weights: weights.pointer, bias: bias?.pointer, output: output.pointer)
    }
  }

  private func buffer(_ values: [Float]) -> AlignedBuffer {
    let buffer = AlignedBuffer(count: values.count)
    buffer.withMutableSpan { span in
      for i in values.indices { span[i] = values[i] }
    }
    return buffer
  }

  private func packed(_ weights: [Float], _ layout: WeightLayout) -> AlignedBuffer {
    let (plain, packed) = (buffer(weights), AlignedBuffer(count: layout.count))
    unsafe layout.packing().run(plain.pointer, packed.pointer)
    withExtendedLifetime(plain) {}
    return packed
  }
}
