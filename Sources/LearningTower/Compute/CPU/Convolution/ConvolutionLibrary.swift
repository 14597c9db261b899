import Network

/// One of the three products of a convolution.
enum ConvolutionPass: Sendable, Hashable {
  /// output = activation(input ∗ weights + bias).
  case forward(bias: Bool, activation: Activation?)
  /// input gradient = output gradient ∗ᵀ weights.
  case backwardData
  /// weight gradient = input ⋆ output gradient, summed over the images.
  case backwardWeights
}

/// One pass of one convolution, ready to run. An object is used by one thread at a time; all that it needs besides its
/// arguments is allocated when it is made.
protocol ConvolutionKernel: AnyObject {
  /// The layout of `weights`.
  var weightLayout: WeightLayout { get }

  /// Reads two of input, weights and output and overwrites the third: forward writes `output`, backward data writes
  /// `input` (a gradient, as is `output` then), backward weights writes `weights` (a gradient, as is `output` then).
  /// - Parameters:
  ///   - input: `N × H × W × I` values of the shape's element, dense.
  ///   - weights: `weightLayout.count` values in `weightLayout`.
  ///   - bias: `O` values; read by a forward pass with a bias, otherwise nil.
  ///   - output: `N × OH × OW × O` values of the shape's output element, dense.
  func run(
    input: UnsafeMutableRawPointer, weights: UnsafeMutableRawPointer, bias: UnsafePointer<Float>?,
    output: UnsafeMutableRawPointer)
}

/// A way to run convolutions and matrix products on the processor.
protocol ConvolutionLibrary {
  /// - Parameters:
  ///   - threads: how many threads one `run` may use.
  ///   - weights: the layout of the weights, of this library; nil: the library chooses one.
  func convolution(
    _ pass: ConvolutionPass, _ shape: ConvolutionShape, threads: Int, weights: WeightLayout?
  ) throws(ComputeError) -> any ConvolutionKernel
}

extension ConvolutionLibrary {
  /// A convolution whose weights have the layout that the library chooses.
  func convolution(
    _ pass: ConvolutionPass, _ shape: ConvolutionShape, threads: Int
  ) throws(ComputeError) -> any ConvolutionKernel {
    try convolution(pass, shape, threads: threads, weights: nil)
  }

  /// The layout in which `ParameterMemory` keeps a convolution's weights: the one its forward pass reads, so that most
  /// plans read (and write the gradients) in place. It may not depend on a batch or an image size.
  func parameterLayout(_ convolution: Convolution) throws(ComputeError) -> WeightLayout {
    let side = max(32, convolution.kernel)
    let shape = ConvolutionShape(convolution, images: 1, inputHeight: side, inputWidth: side)
    return try self.convolution(.forward(bias: false, activation: nil), shape, threads: 1).weightLayout
  }

  func parameterLayout(_ linear: Linear) throws(ComputeError) -> WeightLayout {
    let shape = ConvolutionShape(linear, images: 1)
    return try convolution(.forward(bias: false, activation: nil), shape, threads: 1).weightLayout
  }
}
