public import Network

/// Forward and backward passes of a network over batches of one shape, on memory planned when it is made.
public final class TrainingPlan {
  public let memory: ParameterMemory
  public let batchSize: Int
  public let imageHeight: Int
  public let imageWidth: Int
  /// The heads' raw maps, P3 first.
  public let heads: [HeadShape]

  private let program: Program
  private let headViews: [MapView]
  private let headGradientViews: [MapView]
  private let firstBackwardStage: Int

  /// - Throws: `NetworkError` if the network does not fit the image size, `ComputeError` if it cannot be planned.
  public init(_ memory: ParameterMemory, batchSize: Int, imageHeight: Int, imageWidth: Int) throws {
    try checkImages(count: batchSize, height: imageHeight, width: imageWidth)
    self.memory = memory
    self.batchSize = batchSize
    self.imageHeight = imageHeight
    self.imageWidth = imageWidth
    let compiler = try TrainingCompiler(memory, images: batchSize, height: imageHeight, width: imageWidth)
    headViews = try compiler.compileForward()
    heads = memory.network.detect.shapes(of: headViews, images: batchSize)
    (headGradientViews, firstBackwardStage) = try BackwardCompiler(compiler).compile(heads: headViews)
    compiler.convertWeights()
    program = try compiler.builder.build()
  }

  /// Computes the heads from batch statistics and moves the running statistics.
  /// - Parameter images: `N × H × W × 3`, RGB bytes; divided by 255.
  public func forward(_ images: [UInt8]) {
    precondition(images.count == batchSize * imageHeight * imageWidth * 3, "the images are not those of this plan")
    unsafe images.withUnsafeBufferPointer { bytes in
      unsafe program.inputBytes = bytes.baseAddress
      forward()
      unsafe program.inputBytes = nil
    }
  }

  /// The same from values in [0, 1].
  public func forward(_ images: [Float]) {
    precondition(images.count == batchSize * imageHeight * imageWidth * 3, "the images are not those of this plan")
    unsafe images.withUnsafeBufferPointer { floats in
      unsafe program.inputFloats = floats.baseAddress
      forward()
      unsafe program.inputFloats = nil
    }
  }

  private func forward() {
    program.run(0..<firstBackwardStage)
    for index in memory.batchCounts.indices { memory.batchCounts[index] += 1 }
  }

  /// Lends the raw map of one level: `N × H × W × (anchors × values)`. It lasts until `backward`.
  public func withHead<R>(_ level: Int, _ body: (Span<Float>) throws -> R) rethrows -> R {
    let map = unsafe program.storedMap(headViews[level], images: batchSize)
    return try body(unsafe Span(_unsafeElements: UnsafeBufferPointer(map)))
  }

  /// Lends the memory for the gradient of one level's raw map; every value must be written before `backward`.
  public func withHeadGradient<R>(_ level: Int, _ body: (inout MutableSpan<Float>) throws -> R) rethrows -> R {
    var span = unsafe MutableSpan(_unsafeElements: program.storedMap(headGradientViews[level], images: batchSize))
    return try body(&span)
  }

  /// Computes `memory.gradients` from the head gradients and the last forward pass, whose maps it overwrites.
  /// - Parameter accumulate: add to the gradients instead of overwriting them.
  public func backward(accumulate: Bool = false) {
    program.accumulates = accumulate
    program.run(firstBackwardStage..<program.stages.count)
  }
}

extension Detect {
  /// The shapes of the heads' raw maps, which lie in `views`.
  func shapes(of views: [MapView], images: Int) -> [HeadShape] {
    zip(views, anchors).map { view, anchors in
      HeadShape(
        images: images, height: view.shape.height, width: view.shape.width, anchors: anchors.count,
        valuesPerAnchor: valuesPerAnchor)
    }
  }
}

/// Bounds that keep every product of sizes inside an `Int`, whatever a file said.
func checkImages(count: Int, height: Int, width: Int) throws(ComputeError) {
  guard (1...4096).contains(count) else { throw ComputeError("a batch of \(count) images: choose 1 to 4096") }
  guard (1...16384).contains(height), (1...16384).contains(width) else {
    throw ComputeError("images of \(height) × \(width) pixels: sides may have 1 to 16384")
  }
}
