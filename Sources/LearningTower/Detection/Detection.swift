import Geometry

/// One object found in an image.
public struct Detection: Sendable, Hashable, Codable {
  public var box: PixelBox
  /// Objectness times class score, in [0, 1].
  public var confidence: Float
  public var classIndex: Int

  public init(box: PixelBox, confidence: Float, classIndex: Int) {
    self.box = box
    self.confidence = confidence
    self.classIndex = classIndex
  }
}
