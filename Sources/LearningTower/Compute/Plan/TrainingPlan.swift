/// Forward and backward passes of a network over batches of one shape.
public final class TrainingPlan: ExecutionPlan, BatchPlan {
  public init(_ memory: ParameterMemory, batchSize: Int, imageHeight: Int, imageWidth: Int) throws {
    try super.init(
      memory, isTraining: true, batchSize: batchSize, imageHeight: imageHeight, imageWidth: imageWidth)
  }

  /// Computes the heads from batch statistics and moves the running statistics.
  /// - Parameter images: `N × H × W × 3`, RGB bytes; divided by 255.
  public func forward(_ images: [UInt8]) {
    run(0..<firstBackwardStage, images)
    memory.countBatch()
  }

  /// The same from values in [0, 1].
  public func forward(_ images: [Float]) {
    run(0..<firstBackwardStage, images)
    memory.countBatch()
  }

  /// Lends the memory for the gradient of one level's raw map; every value must be written before `backward`.
  public func withHeadGradient<R>(_ level: Int, _ body: (inout MutableSpan<Float>) throws -> R) rethrows -> R {
    var span = unsafe MutableSpan(_unsafeElements: executor.storedMap(headGradientViews[level]))
    return try body(&span)
  }

  /// Computes `memory.gradients` from the head gradients and the last forward pass, whose maps it overwrites.
  /// - Parameter accumulate: add to the gradients instead of overwriting them.
  public func backward(accumulate: Bool = false) {
    executor.run(firstBackwardStage..<executor.program.stages.count, accumulates: accumulate)
  }
}
