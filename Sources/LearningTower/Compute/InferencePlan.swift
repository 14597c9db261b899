import Network

/// The forward pass of a trained network: running statistics folded into the convolutions, activations fused.
public final class InferencePlan {
  public let batchSize: Int
  public let imageHeight: Int
  public let imageWidth: Int
  /// The heads' raw maps, P3 first.
  public let heads: [HeadMap]

  public init(
    _ network: Network, _ parameters: Parameters, batchSize: Int, imageHeight: Int, imageWidth: Int, runtime: Runtime
  ) throws { fatalError() }

  /// - Parameter images: `N × H × W × 3`, RGB bytes; divided by 255.
  public func run(_ images: [UInt8]) { fatalError() }
  public func run(_ images: [Float]) { fatalError() }

  /// Lends the raw map of one level: `N × H × W × (anchors × values)`.
  public func withHead<R>(_ level: Int, _ body: (Span<Float>) throws -> R) rethrows -> R { fatalError() }
}
