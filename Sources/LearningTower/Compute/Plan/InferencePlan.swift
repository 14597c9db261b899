public import Network

/// The forward pass of a trained network: running statistics folded into the convolutions, activations fused into them.
///
/// After what depends on the parameters alone, all of it is one stage: every lane takes image after image through the
/// whole network, in scratch memory of a few images. A single image is divided among the threads inside each
/// convolution.
public final class InferencePlan: ExecutionPlan, BatchPlan {
  /// - Parameter memory: that of a folded network (`ParameterMemory(folding:_:runtime:)`); its values are read now.
  public init(_ memory: ParameterMemory, batchSize: Int, imageHeight: Int, imageWidth: Int) throws {
    try super.init(
      memory, isTraining: false, batchSize: batchSize, imageHeight: imageHeight, imageWidth: imageWidth)
    executor.run(0..<ForwardCompiler.firstStage)
  }

  /// - Throws: `NetworkError` if the parameters are not the network's or it does not fit the image size, `ComputeError`
  ///   if it cannot be planned.
  public convenience init(
    _ network: Network, _ parameters: Parameters, batchSize: Int, imageHeight: Int, imageWidth: Int, runtime: Runtime
  ) throws {
    try self.init(
      ParameterMemory(folding: network, parameters, runtime: runtime), batchSize: batchSize, imageHeight: imageHeight,
      imageWidth: imageWidth)
  }

  /// - Parameter images: `N × H × W × 3`, RGB bytes; divided by 255.
  public func run(_ images: [UInt8]) { run(ForwardCompiler.firstStage..<firstBackwardStage, images) }

  /// The same from values in [0, 1].
  public func run(_ images: [Float]) { run(ForwardCompiler.firstStage..<firstBackwardStage, images) }
}
