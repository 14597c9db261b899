public import Network

/// The forward pass of a trained network: running statistics folded into the convolutions, activations fused into them.
///
/// All of it is one stage: every lane takes image after image through the whole network, in scratch memory of one
/// image. A single image is divided among the threads inside each convolution.
public final class InferencePlan {
  public let batchSize: Int
  public let imageHeight: Int
  public let imageWidth: Int
  /// The heads' raw maps, P3 first.
  public let heads: [HeadShape]

  private let network: Network
  private let program: Program
  private let headViews: [MapView]
  private let constants: [InferenceConstant]

  /// - Throws: `NetworkError` if the parameters are not the network's or it does not fit the image size, `ComputeError`
  /// if
  ///   it cannot be planned.
  public init(
    _ network: Network, _ parameters: Parameters, batchSize: Int, imageHeight: Int, imageWidth: Int, runtime: Runtime
  ) throws {
    try checkImages(count: batchSize, height: imageHeight, width: imageWidth)
    self.batchSize = batchSize
    self.imageHeight = imageHeight
    self.imageWidth = imageWidth
    self.network = network
    let compiler = try InferenceCompiler(
      network.folded(), images: batchSize, height: imageHeight, width: imageWidth, runtime: runtime)
    headViews = try compiler.compile()
    heads = network.detect.shapes(of: headViews, images: batchSize)
    constants = compiler.constants
    program = try compiler.builder.build()
    try load(parameters)
  }

  /// Takes over other parameters of the same network.
  /// - Throws: `NetworkError` if they are not the network's.
  public func load(_ parameters: Parameters) throws {
    let folded = try network.folded(parameters).parameters
    for constant in constants { try constant.load(folded) }
  }

  /// - Parameter images: `N × H × W × 3`, RGB bytes; divided by 255.
  public func run(_ images: [UInt8]) {
    precondition(images.count == batchSize * imageHeight * imageWidth * 3, "the images are not those of this plan")
    unsafe images.withUnsafeBufferPointer { bytes in
      unsafe program.inputBytes = bytes.baseAddress
      program.run(0..<program.stages.count)
      unsafe program.inputBytes = nil
    }
  }

  /// The same from values in [0, 1].
  public func run(_ images: [Float]) {
    precondition(images.count == batchSize * imageHeight * imageWidth * 3, "the images are not those of this plan")
    unsafe images.withUnsafeBufferPointer { floats in
      unsafe program.inputFloats = floats.baseAddress
      program.run(0..<program.stages.count)
      unsafe program.inputFloats = nil
    }
  }

  /// Lends the raw map of one level: `N × H × W × (anchors × values)`. It lasts until the next run.
  public func withHead<R>(_ level: Int, _ body: (Span<Float>) throws -> R) rethrows -> R {
    let map = unsafe program.storedMap(headViews[level], images: batchSize)
    return try body(unsafe Span(_unsafeElements: UnsafeBufferPointer(map)))
  }
}

/// Values that an inference plan derives from the parameters when they are loaded.
struct InferenceConstant {
  let buffer: AlignedBuffer
  let load: (Parameters) throws -> Void

  /// A weight in a kernel's layout.
  init(weight name: String, layout: any WeightLayout) {
    let buffer = AlignedBuffer(count: layout.count)
    self.buffer = buffer
    load = { parameters in
      let values = try Self.values(name, parameters)
      unsafe values.withUnsafeBufferPointer { unsafe layout.pack($0.baseAddress!, into: buffer.pointer) }
    }
  }

  init(bias name: String, count: Int) {
    let buffer = AlignedBuffer(count: count)
    self.buffer = buffer
    load = { parameters in
      let values = try Self.values(name, parameters)
      for index in 0..<count { unsafe buffer.pointer[index] = values[index] }
    }
  }

  /// Scale and shift, one after the other, of a batch norm that stands behind no convolution.
  init(batchNorm name: String, _ operation: BatchNorm) {
    let channels = operation.channels
    let buffer = AlignedBuffer(count: 2 * channels)
    self.buffer = buffer
    load = { parameters in
      let gamma = try Self.values("\(name).weight", parameters)
      let beta = try Self.values("\(name).bias", parameters)
      let mean = try Self.values("\(name).running_mean", parameters)
      let variance = try Self.values("\(name).running_var", parameters)
      for c in 0..<channels {
        let scale = Double(gamma[c]) / (Double(variance[c]) + Double(operation.epsilon)).squareRoot()
        unsafe buffer.pointer[c] = Float(scale)
        unsafe buffer.pointer[channels + c] = Float(Double(beta[c]) - Double(mean[c]) * scale)
      }
    }
  }

  private static func values(_ name: String, _ parameters: Parameters) throws -> [Float] {
    guard let tensor = parameters[name] else { throw ComputeError("\(name) is missing") }
    return tensor.values
  }
}
