internal import CDNNL
internal import CKernels
import Network

/// Convolutions by oneDNN, in the layouts that its compiled kernels ask for.
struct OneDNN: ConvolutionLibrary {
  static var isAvailable: Bool { cdnnl_is_available() }
  /// Without them (off x86-64, or before AVX2) oneDNN computes by its reference code, a hundred times slower.
  static var hasCompiledKernels: Bool { cdnnl_has_compiled_kernels() }
  static var hasBFloat16Kernels: Bool { cdnnl_has_bfloat16_kernels() }

  func convolution(
    _ pass: ConvolutionPass, _ shape: ConvolutionShape, threads: Int, weights: WeightLayout?
  ) throws(ComputeError) -> any ConvolutionKernel {
    if pass == .backwardWeights, threads == 1, shape.element == .float32, shape.suitsBlockedWeightGradient,
      ck_prefers_blocked_weight_gradient()
    {
      let layout =
        try weights ?? DNNLConvolution(.forward(bias: false, activation: nil), shape, threads: 1).weightLayout
      if layout.identity.blocking == shape.blockedOrder { return BlockedWeightGradient(shape, layout) }
    }
    let chosen = try DNNLConvolution(pass, shape, threads: threads)
    guard let weights, weights.identity != chosen.weightLayout.identity else { return chosen }
    // oneDNN's choice depends on the number of images too.
    return try DNNLConvolution(pass, shape, threads: threads, weights: weights as? DNNLLayout)
  }
}

/// The project's own kernel for the weight gradient, on processors where it beats oneDNN's by up to two times.
private final class BlockedWeightGradient: ConvolutionKernel {
  let weightLayout: WeightLayout
  private let shape: ConvolutionShape

  init(_ shape: ConvolutionShape, _ layout: WeightLayout) {
    self.shape = shape
    weightLayout = layout
  }

  func run(
    input: UnsafeMutableRawPointer, weights: UnsafeMutableRawPointer, bias: UnsafePointer<Float>?,
    output: UnsafeMutableRawPointer
  ) {
    unsafe ck_blocked_weight_gradient(
      weights.assumingMemoryBound(to: Float.self), input.assumingMemoryBound(to: Float.self),
      output.assumingMemoryBound(to: Float.self), shape.window(channels: shape.inputChannels), shape.outputChannels)
  }
}

extension ConvolutionShape {
  /// The kernel first copies both maps into blocks: that must be little beside the products. (Measured: with fewer
  /// products per value than this, oneDNN's kernel for 1×1 convolutions is faster.)
  fileprivate var suitsBlockedWeightGradient: Bool {
    groups == 1 && inputChannels >= 8
      && kernel * kernel * inputChannels * outputChannels >= 48 * (inputChannels + outputChannels)
  }

  /// `OIhw8i8o`.
  fileprivate var blockedOrder: Blocking {
    let inputBlocks = (inputChannels + 7) / 8
    return Blocking(
      sizes: [outputChannels, inputChannels, kernel, kernel],
      strides: [inputBlocks * kernel * kernel * 64, kernel * kernel * 64, kernel * 64, 64],
      factors: [Blocking.Factor(dimension: 1, size: 8), Blocking.Factor(dimension: 0, size: 8)])
  }
}

/// The one place where oneDNN's statuses become errors.
private func check(_ call: String, _ shape: ConvolutionShape, _ status: Int32) throws(ComputeError) {
  guard status == 0 else {
    throw ComputeError("oneDNN \(call) failed with status \(status) for \(shape)")
  }
}

@safe private final class DNNLConvolution: ConvolutionKernel {
  let weightLayout: WeightLayout
  private let convolution: OpaquePointer

  init(
    _ pass: ConvolutionPass, _ shape: ConvolutionShape, threads: Int, weights: DNNLLayout? = nil
  ) throws(ComputeError) {
    var raw: OpaquePointer?
    let (dnnlPass, hasBias, activation) = pass.dnnl
    // oneDNN divides the work when a primitive is made, by the thread count of the thread that makes it.
    let before = ck_thread_count()
    ck_set_thread_count(Int32(threads))
    defer { ck_set_thread_count(before) }
    try check(
      "convolution", shape,
      unsafe cdnnl_convolution_create(&raw, dnnlPass, shape.dnnl, hasBias, activation, weights?.layout))
    unsafe convolution = raw!  // Set whenever the call succeeds.
    do {
      weightLayout = unsafe try DNNLLayout(
        convolution, shape, pass == .backwardWeights ? .float32 : shape.element)
    } catch {
      unsafe cdnnl_convolution_destroy(raw)
      throw error
    }
  }

  deinit { unsafe cdnnl_convolution_destroy(convolution) }

  func run(
    input: UnsafeMutableRawPointer, weights: UnsafeMutableRawPointer, bias: UnsafePointer<Float>?,
    output: UnsafeMutableRawPointer
  ) {
    let status = unsafe cdnnl_convolution_run(convolution, input, weights, bias, output)
    precondition(status == 0, "oneDNN refused to run a convolution it had accepted: status \(status)")
  }
}

@safe private final class DNNLLayout: WeightLayout {
  fileprivate let layout: OpaquePointer

  init(_ convolution: OpaquePointer, _ shape: ConvolutionShape, _ element: Element) throws(ComputeError) {
    var raw: OpaquePointer?
    try check("layout", shape, unsafe cdnnl_layout_create(&raw, convolution))
    let layout = unsafe raw!  // Set whenever the call succeeds.
    let capacity = Int(CDNNL_MAX_DIMENSIONS)
    var (sizes, strides) = ([Int](repeating: 0, count: capacity), [Int](repeating: 0, count: capacity))
    var (factors, dimensions) = (sizes, sizes)
    var factorCount = 0
    let rank = unsafe cdnnl_layout_blocking(layout, &sizes, &strides, &factors, &dimensions, &factorCount)
    unsafe self.layout = layout
    let blocking = Blocking(
      sizes: Array(sizes.prefix(rank)), strides: Array(strides.prefix(rank)),
      factors: zip(dimensions, factors).prefix(factorCount).map { Blocking.Factor(dimension: $0, size: $1) })
    super.init(blocking, element)
    guard rank > 0, unsafe cdnnl_layout_count(layout) == count else {
      throw ComputeError("oneDNN lays out the weights of \(shape) in an order that is not known here")
    }
  }

  deinit { unsafe cdnnl_layout_destroy(layout) }
}

extension ConvolutionShape {
  fileprivate var dnnl: cdnnl_shape {
    cdnnl_shape(
      images: images, input_height: inputHeight, input_width: inputWidth, input_channels: inputChannels,
      output_channels: outputChannels, kernel: kernel, stride: stride, padding: padding, groups: groups,
      element: element.dnnl, output_element: outputElement.dnnl)
  }
}

extension Element {
  fileprivate var dnnl: cdnnl_element { self == .bfloat16 ? CDNNL_BFLOAT16 : CDNNL_FLOAT32 }
}

extension ConvolutionPass {
  fileprivate var dnnl: (cdnnl_pass, hasBias: Bool, cdnnl_activation) {
    switch self {
    case .forward(let bias, let activation): (CDNNL_FORWARD, bias, activation.map(\.dnnl) ?? CDNNL_NONE)
    case .backwardData: (CDNNL_BACKWARD_DATA, false, CDNNL_NONE)
    case .backwardWeights: (CDNNL_BACKWARD_WEIGHTS, false, CDNNL_NONE)
    }
  }
}

extension Activation {
  fileprivate var dnnl: cdnnl_activation {
    switch self {
    case .silu: CDNNL_SILU
    case .relu: CDNNL_RELU
    case .relu6: CDNNL_RELU6
    case .hardSwish: CDNNL_HARD_SWISH
    case .hardSigmoid: CDNNL_HARD_SIGMOID
    case .sigmoid: CDNNL_SIGMOID
    }
  }
}
