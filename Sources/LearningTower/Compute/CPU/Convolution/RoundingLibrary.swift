internal import CKernels

/// Convolutions of bfloat16 where nothing multiplies it: computed in float32 from the same operands by another library,
/// and the result rounded.
///
/// The kernels of one object share scratch memory: run one at a time.
final class RoundingLibrary: ConvolutionLibrary {
  private let library: any ConvolutionLibrary
  private let scratch = Scratch()

  init(_ library: any ConvolutionLibrary) { self.library = library }

  func convolution(
    _ pass: ConvolutionPass, _ shape: ConvolutionShape, threads: Int, weights: WeightLayout?
  ) throws(ComputeError) -> any ConvolutionKernel {
    let layout = (weights as? RoundedLayout)?.exact ?? weights
    let kernel = try library.convolution(pass, shape.with(element: .float32), threads: threads, weights: layout)
    return shape.element == .float32 ? kernel : RoundingKernel(kernel, pass, shape, threads, scratch)
  }
}

/// A float32 layout whose values are rounded to bfloat16.
private final class RoundedLayout: WeightLayout {
  let exact: WeightLayout

  init(_ exact: WeightLayout) {
    self.exact = exact
    super.init(exact.identity.blocking, .bfloat16)
  }
}

private final class RoundingKernel: ConvolutionKernel {
  let weightLayout: WeightLayout
  private let kernel: any ConvolutionKernel
  private let pass: ConvolutionPass
  private let shape: ConvolutionShape
  private let threads: Int
  private let scratch: Scratch
  private let inputCount: Int
  private let outputCount: Int

  init(
    _ kernel: any ConvolutionKernel, _ pass: ConvolutionPass, _ shape: ConvolutionShape, _ threads: Int,
    _ scratch: Scratch
  ) {
    self.kernel = kernel
    self.pass = pass
    self.shape = shape
    self.threads = threads
    self.scratch = scratch
    weightLayout = pass == .backwardWeights ? kernel.weightLayout : RoundedLayout(kernel.weightLayout)
    inputCount = shape.images * shape.inputHeight * shape.inputWidth * shape.inputChannels
    outputCount = shape.images * shape.outputHeight * shape.outputWidth * shape.outputChannels
    scratch.reserve(inputCount + outputCount + weightLayout.count + 48)
  }

  func run(
    input: UnsafeMutableRawPointer, weights: UnsafeMutableRawPointer, bias: UnsafePointer<Float>?,
    output: UnsafeMutableRawPointer
  ) {
    ck_set_thread_count(Int32(threads))
    // Each on a cache line of its own.
    let x = unsafe scratch.buffer.pointer
    let y = unsafe x + (inputCount + 15) / 16 * 16
    let w = unsafe y + (outputCount + 15) / 16 * 16
    func widen(_ values: UnsafeMutableRawPointer, _ element: Element, _ count: Int, to: UnsafeMutablePointer<Float>) {
      unsafe ck_copy(flat(to, .float32, count), flat(values, element, count), 1, count)
    }
    func round(_ values: UnsafeMutablePointer<Float>, _ element: Element, _ count: Int, to: UnsafeMutableRawPointer) {
      unsafe ck_copy(flat(to, element, count), flat(values, .float32, count), 1, count)
    }
    switch pass {
    case .forward:
      unsafe widen(input, shape.element, inputCount, to: x)
      unsafe widen(weights, shape.element, weightLayout.count, to: w)
      unsafe kernel.run(input: x, weights: w, bias: bias, output: y)
      unsafe round(y, shape.outputElement, outputCount, to: output)
    case .backwardData:
      unsafe widen(output, shape.outputElement, outputCount, to: y)
      unsafe widen(weights, shape.element, weightLayout.count, to: w)
      unsafe kernel.run(input: x, weights: w, bias: nil, output: y)
      unsafe round(x, shape.element, inputCount, to: input)
    case .backwardWeights:
      unsafe widen(input, shape.element, inputCount, to: x)
      unsafe widen(output, shape.outputElement, outputCount, to: y)
      unsafe kernel.run(input: x, weights: weights, bias: nil, output: y)
    }
  }
}

/// Values that follow one another.
private func flat(_ values: UnsafeMutableRawPointer, _ element: Element, _ count: Int) -> ck_map {
  unsafe ck_map(data: values, stride: count, element: element.kernel)
}
