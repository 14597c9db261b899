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
  var weightLayout: any WeightLayout { get }

  /// Reads two of input, weights and output and overwrites the third: forward writes `output`, backward data writes
  /// `input` (a gradient, as is `output` then), backward weights writes `weights` (a gradient, as is `output` then).
  /// - Parameters:
  ///   - input: `N × H × W × I`, dense.
  ///   - weights: `weightLayout.count` values in `weightLayout`.
  ///   - bias: `O` values; read by a forward pass with a bias, otherwise nil.
  ///   - output: `N × OH × OW × O`, dense.
  func run(
    input: UnsafeMutablePointer<Float>, weights: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>?,
    output: UnsafeMutablePointer<Float>)
}

/// A library's own order of a convolution's weights, possibly padded (padding is zero).
protocol WeightLayout: AnyObject {
  /// Layouts of one convolution with equal identities hold equal bytes.
  var identity: String { get }
  /// Values including padding.
  var count: Int { get }

  /// Writes `packed` from the plain `O × I/groups × kH × kW`.
  func pack(_ plain: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>)
  /// Writes `plain` from `packed`, or adds to it.
  func unpack(_ packed: UnsafePointer<Float>, into plain: UnsafeMutablePointer<Float>, accumulate: Bool)
  /// Returns what writes this layout from another one of the same library and convolution. It is used by one thread at
  /// a time.
  func converter(from other: any WeightLayout) throws(ComputeError) -> WeightConverter
}

typealias WeightConverter = (_ source: UnsafePointer<Float>, _ destination: UnsafeMutablePointer<Float>) -> Void

extension WeightLayout {
  /// By way of the plain layout.
  func converter(from other: any WeightLayout) throws(ComputeError) -> WeightConverter {
    let plain = AlignedBuffer(count: max(count, other.count))
    return { source, destination in
      unsafe other.unpack(source, into: plain.pointer, accumulate: false)
      unsafe self.pack(plain.pointer, into: destination)
    }
  }
}

/// A way to run convolutions and matrix products on the processor.
protocol ConvolutionLibrary {
  /// - Parameters:
  ///   - threads: how many threads one `run` may use.
  ///   - weights: the layout of the weights, of this library; nil: the library chooses one.
  func convolution(
    _ pass: ConvolutionPass, _ shape: ConvolutionShape, threads: Int, weights: (any WeightLayout)?
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
  func parameterLayout(_ convolution: Convolution) throws(ComputeError) -> any WeightLayout {
    let side = max(32, convolution.kernel)
    let shape = ConvolutionShape(convolution, images: 1, inputHeight: side, inputWidth: side)
    return try self.convolution(.forward(bias: false, activation: nil), shape, threads: 1).weightLayout
  }

  func parameterLayout(_ linear: Linear) throws(ComputeError) -> any WeightLayout {
    let shape = ConvolutionShape(linear, images: 1)
    return try convolution(.forward(bias: false, activation: nil), shape, threads: 1).weightLayout
  }
}
