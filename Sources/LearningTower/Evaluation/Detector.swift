import Compute
import Dataset
import Detection
import Network

/// Finds objects in single images, as YOLOv5's `detect.py` does: each is letterboxed into the smallest rectangle of
/// whole strides, confidence above 0.25, IoU 0.45 in the suppression, best class only.
public struct Detector {
  private let detect: Detect
  private let imageSize: Int
  private let suppression: NonMaximumSuppression
  private var plans: PlanCache<InferencePlan>

  /// - Parameter imageSize: pixels of the longer side in the network.
  /// - Throws: `NetworkError` if the parameters are not the network's, `ComputeError` if it cannot be computed.
  public init(
    _ network: Network, _ parameters: Parameters, runtime: Runtime, imageSize: Int,
    suppression: NonMaximumSuppression = .detect
  ) throws {
    detect = network.detect
    self.imageSize = imageSize
    self.suppression = suppression
    plans = PlanCache(try ParameterMemory(folding: network, parameters, runtime: runtime))
  }

  /// Boxes are in pixels of `image`, most confident first.
  /// - Throws: `ComputeError` for a shape that cannot be planned.
  public mutating func callAsFunction(_ image: Image) throws -> [Detection] {
    let (fitted, placement) = image.letterboxed(longSide: imageSize, stride: detect.strides.max() ?? 32)
    let plan = try plans.plan(batchSize: 1, height: fitted.height, width: fitted.width)
    plan.run(fitted.pixels)
    return suppression(plan.predictions(0, of: detect, objectnessAbove: suppression.confidenceThreshold))
      .map { $0.placed(back: placement) }
  }
}
