public import Network
import Settings

/// A network made ready to run batches of one shape, on memory planned when it is made: what plans for training and for
/// inference have in common.
public class ExecutionPlan {
  public let memory: ParameterMemory
  public let batchSize: Int
  public let imageHeight: Int
  public let imageWidth: Int
  /// The shapes of the heads' raw maps, P3 first.
  public let heads: [HeadShape]

  let executor: CPUExecutor
  let headGradientViews: [View]
  /// Stage 0 depends on the parameters alone; those from here on are the backward pass.
  let firstBackwardStage: Int
  private let headViews: [View]

  init(
    _ memory: ParameterMemory, isTraining: Bool, batchSize: Int, imageHeight: Int, imageWidth: Int
  ) throws {
    try checkImages(count: batchSize, height: imageHeight, width: imageWidth)
    self.memory = memory
    self.batchSize = batchSize
    self.imageHeight = imageHeight
    self.imageWidth = imageWidth
    let forward = try ForwardCompiler(
      memory, isTraining: isTraining, images: batchSize, height: imageHeight, width: imageWidth)
    headViews = try forward.compile()
    (headGradientViews, firstBackwardStage) =
      isTraining ? try BackwardCompiler(forward).compile(heads: headViews) : ([], forward.builder.stageCount)
    try forward.convertWeights()
    executor = try CPUExecutor(forward.builder.build(), memory)
    let detect = memory.network.detect
    heads = zip(headViews, detect.anchors).map { view, anchors in
      HeadShape(
        images: batchSize, height: view.shape.height, width: view.shape.width, anchors: anchors.count,
        valuesPerAnchor: detect.valuesPerAnchor)
    }
  }

  /// Runs stages on `N × H × W × 3` RGB bytes, which become values in [0, 1].
  func run(_ stages: Range<Int>, _ images: [UInt8]) {
    precondition(images.count == batchSize * imageHeight * imageWidth * 3, "the images are not those of this plan")
    unsafe images.withUnsafeBufferPointer { unsafe executor.run(stages, .bytes($0.baseAddress!)) }
  }

  /// The same from values in [0, 1].
  func run(_ stages: Range<Int>, _ images: [Float]) {
    precondition(images.count == batchSize * imageHeight * imageWidth * 3, "the images are not those of this plan")
    unsafe images.withUnsafeBufferPointer { unsafe executor.run(stages, .floats($0.baseAddress!)) }
  }

  /// Lends the raw map of one level: `N × H × W × (anchors × values)`. It lasts until the next run, or a backward pass.
  public func withHead<R>(_ level: Int, _ body: (Span<Float>) throws -> R) rethrows -> R {
    let map = unsafe executor.storedMap(headViews[level])
    return try body(unsafe Span(_unsafeElements: UnsafeBufferPointer(map)))
  }
}

/// A plan that follows from parameters and a batch's shape.
public protocol BatchPlan: ExecutionPlan {
  /// - Throws: `NetworkError` if the network does not fit the image size, `ComputeError` if it cannot be planned.
  init(_ memory: ParameterMemory, batchSize: Int, imageHeight: Int, imageWidth: Int) throws
}

/// Bounds that keep every product of sizes inside an `Int`, whatever a file said.
private func checkImages(count: Int, height: Int, width: Int) throws(ComputeError) {
  if let problem = CommonSettings.all.group.batchSize.problem(count) { throw ComputeError(problem) }
  guard (1...16384).contains(height), (1...16384).contains(width) else {
    throw ComputeError("images of \(height) × \(width) pixels: sides may have 1 to 16384")
  }
}
