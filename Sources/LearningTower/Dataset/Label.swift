public import Geometry

/// One object of an image as a label file has it.
public struct Label: Sendable, Hashable {
  public var classIndex: Int
  public var box: NormalizedBox

  /// A box without it is found by nothing and teaches nothing.
  public var hasArea: Bool { box.w > 0 && box.h > 0 }

  public init(classIndex: Int, cx: Float, cy: Float, w: Float, h: Float) {
    self.classIndex = classIndex
    box = NormalizedBox(cx: cx, cy: cy, w: w, h: h)
  }
}

/// An image file, its size in pixels as it is shown (after the EXIF orientation), and what is to be seen in it. No
/// labels: background.
public struct LabelledImage: Sendable, Hashable {
  public var path: String
  public var width: Int
  public var height: Int
  public var labels: [Label]

  public init(path: String, width: Int, height: Int, labels: [Label]) {
    self.path = path
    self.width = width
    self.height = height
    self.labels = labels
  }
}
