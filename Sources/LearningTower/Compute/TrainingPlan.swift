import Network

/// The shape of one head's raw map.
public struct HeadMap: Sendable, Hashable {
  public var images: Int
  public var height: Int
  public var width: Int
  /// Anchors × values per anchor, anchor-major.
  public var channels: Int

  public var count: Int { images * height * width * channels }
}

/// Forward and backward passes of a network over batches of one shape, on memory planned when it is made.
public final class TrainingPlan {
  public let memory: ParameterMemory
  public let batchSize: Int
  public let imageHeight: Int
  public let imageWidth: Int
  /// The heads' raw maps, P3 first.
  public let heads: [HeadMap]

  /// - Throws: `ComputeError` if the network does not fit the image size or an operation cannot be planned.
  public init(_ memory: ParameterMemory, batchSize: Int, imageHeight: Int, imageWidth: Int) throws { fatalError() }

  /// Computes the heads from batch statistics and moves the running statistics.
  /// - Parameter images: `N × H × W × 3`, RGB bytes; divided by 255.
  public func forward(_ images: [UInt8]) { fatalError() }
  /// The same from values in [0, 1].
  public func forward(_ images: [Float]) { fatalError() }

  /// Lends the raw map of one level: `N × H × W × (anchors × values)`.
  public func withHead<R>(_ level: Int, _ body: (Span<Float>) throws -> R) rethrows -> R { fatalError() }
  /// Lends the memory for the gradient of one level's raw map; every value must be written before `backward`.
  public func withHeadGradient<R>(_ level: Int, _ body: (inout MutableSpan<Float>) throws -> R) rethrows -> R {
    fatalError()
  }

  /// Computes `memory.gradients` from the head gradients and the last forward pass.
  /// - Parameter accumulate: add to the gradients instead of overwriting them.
  public func backward(accumulate: Bool = false) { fatalError() }
}
