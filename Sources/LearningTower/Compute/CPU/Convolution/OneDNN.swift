internal import CDNNL
internal import CKernels
import Network

/// Convolutions by oneDNN, in the layouts that its compiled kernels ask for.
struct OneDNN: ConvolutionLibrary {
  static var isAvailable: Bool { cdnnl_is_available() }
  /// Without them (off x86-64, or before AVX2) oneDNN computes by its reference code, a hundred times slower.
  static var hasCompiledKernels: Bool { cdnnl_has_compiled_kernels() }

  func convolution(
    _ pass: ConvolutionPass, _ shape: ConvolutionShape, threads: Int, weights: (any WeightLayout)?
  ) throws(ComputeError) -> any ConvolutionKernel {
    if pass == .backwardWeights, threads == 1, shape.suitsBlockedWeightGradient,
      ck_prefers_blocked_weight_gradient()
    {
      let layout =
        try weights ?? DNNLConvolution(.forward(bias: false, activation: nil), shape, threads: 1).weightLayout
      if layout.identity == shape.blockedLayoutIdentity { return BlockedWeightGradient(shape, layout) }
    }
    let chosen = try DNNLConvolution(pass, shape, threads: threads)
    guard let weights, weights.identity != chosen.weightLayout.identity else { return chosen }
    // What oneDNN chooses depends on the number of images too.
    return try DNNLConvolution(pass, shape, threads: threads, weights: weights as? DNNLLayout)
  }
}

/// The project's own kernel for the weight gradient, on processors where it beats oneDNN's by up to two times.
private final class BlockedWeightGradient: ConvolutionKernel {
  let weightLayout: any WeightLayout
  private let shape: ConvolutionShape

  init(_ shape: ConvolutionShape, _ layout: any WeightLayout) {
    self.shape = shape
    weightLayout = layout
  }

  func run(
    input: UnsafeMutablePointer<Float>, weights: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>?,
    output: UnsafeMutablePointer<Float>
  ) {
    unsafe ck_blocked_weight_gradient(
      weights, input, output, shape.window(channels: shape.inputChannels), shape.outputChannels)
  }
}

extension ConvolutionShape {
  /// The kernel first copies both maps into blocks: that must be little beside the products. (Measured: with fewer
  /// products per value than this, oneDNN's kernel for 1×1 convolutions is faster.)
  fileprivate var suitsBlockedWeightGradient: Bool {
    groups == 1 && inputChannels >= 8
      && kernel * kernel * inputChannels * outputChannels >= 48 * (inputChannels + outputChannels)
  }

  /// The name that `cdnnl_layout_describe` gives to `OIhw8i8o`.
  fileprivate var blockedLayoutIdentity: String {
    let inputBlocks = (inputChannels + 7) / 8
    return "\(inputBlocks * kernel * kernel * 64),\(kernel * kernel * 64),\(kernel * 64),64:8@1:8@0"
  }
}

/// The one place where oneDNN's statuses become errors.
private func check(_ call: String, _ shape: ConvolutionShape, _ status: Int32) throws(ComputeError) {
  guard status == 0 else {
    throw ComputeError("oneDNN \(call) failed with status \(status) for \(shape)")
  }
}

@safe private final class DNNLConvolution: ConvolutionKernel {
  let weightLayout: any WeightLayout
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
      weightLayout = unsafe try DNNLLayout(convolution, shape)
    } catch {
      unsafe cdnnl_convolution_destroy(raw)
      throw error
    }
  }

  deinit { unsafe cdnnl_convolution_destroy(convolution) }

  func run(
    input: UnsafeMutablePointer<Float>, weights: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>?,
    output: UnsafeMutablePointer<Float>
  ) {
    let status = unsafe cdnnl_convolution_run(convolution, input, weights, bias, output)
    precondition(status == 0, "oneDNN refused to run a convolution it had accepted: status \(status)")
  }
}

@safe private final class DNNLLayout: WeightLayout {
  let identity: String
  let count: Int
  fileprivate let layout: OpaquePointer
  private let packing: DNNLReorder
  private let unpacking: DNNLReorder
  private let accumulating: DNNLReorder
  private let shape: ConvolutionShape

  init(_ convolution: OpaquePointer, _ shape: ConvolutionShape) throws(ComputeError) {
    var raw: OpaquePointer?
    try check("layout", shape, unsafe cdnnl_layout_create(&raw, convolution))
    let layout = unsafe raw!  // Set whenever the call succeeds.
    do {
      var plain: OpaquePointer?
      try check("plain layout", shape, unsafe cdnnl_layout_create_plain(&plain, shape.dnnl))
      defer { unsafe cdnnl_layout_destroy(plain) }
      packing = unsafe try DNNLReorder(from: plain!, to: layout, accumulate: false, shape)
      unpacking = unsafe try DNNLReorder(from: layout, to: plain!, accumulate: false, shape)
      accumulating = unsafe try DNNLReorder(from: layout, to: plain!, accumulate: true, shape)
    } catch {
      unsafe cdnnl_layout_destroy(layout)
      throw error
    }
    unsafe self.layout = layout
    self.shape = shape
    count = unsafe cdnnl_layout_count(layout)
    identity = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { name in
      unsafe cdnnl_layout_describe(layout, name.baseAddress, name.count)
      return unsafe String(cString: name.baseAddress!)
    }
  }

  deinit { unsafe cdnnl_layout_destroy(layout) }

  func pack(_ plain: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>) {
    unsafe packing.run(plain, packed)
  }

  func unpack(_ packed: UnsafePointer<Float>, into plain: UnsafeMutablePointer<Float>, accumulate: Bool) {
    unsafe (accumulate ? accumulating : unpacking).run(packed, plain)
  }

  func converter(
    from other: any WeightLayout
  ) throws(ComputeError) -> WeightConverter {
    let other = other as! DNNLLayout  // One plan's layouts are of one library.
    let reorder = unsafe try DNNLReorder(from: other.layout, to: layout, accumulate: false, shape)
    return { unsafe reorder.run($0, $1) }
  }
}

@safe private final class DNNLReorder {
  private let reorder: OpaquePointer

  init(
    from source: OpaquePointer, to destination: OpaquePointer, accumulate: Bool, _ shape: ConvolutionShape
  ) throws(ComputeError) {
    var raw: OpaquePointer?
    let before = ck_thread_count()
    ck_set_thread_count(1)
    defer { ck_set_thread_count(before) }
    try check("reorder", shape, unsafe cdnnl_reorder_create(&raw, source, destination, accumulate))
    unsafe reorder = raw!  // Set whenever the call succeeds.
  }

  deinit { unsafe cdnnl_reorder_destroy(reorder) }

  func run(_ source: UnsafePointer<Float>, _ destination: UnsafeMutablePointer<Float>) {
    let status = unsafe cdnnl_reorder_run(reorder, source, destination)
    precondition(status == 0, "oneDNN refused to run a reorder it had accepted: status \(status)")
  }
}

extension ConvolutionShape {
  fileprivate var dnnl: cdnnl_shape {
    cdnnl_shape(
      images: images, input_height: inputHeight, input_width: inputWidth, input_channels: inputChannels,
      output_channels: outputChannels, kernel: kernel, stride: stride, padding: padding, groups: groups)
  }
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
