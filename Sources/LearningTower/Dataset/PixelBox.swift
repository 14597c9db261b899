/// A labelled box by its corners, in pixels of the image it is drawn on.
struct PixelBox: Sendable, Hashable {
  var classIndex: Int
  var x1: Float
  var y1: Float
  var x2: Float
  var y2: Float

  init(classIndex: Int, x1: Float, y1: Float, x2: Float, y2: Float) {
    self.classIndex = classIndex
    self.x1 = x1
    self.y1 = y1
    self.x2 = x2
    self.y2 = y2
  }

  /// The label's box on an image of `width` × `height` pixels that lies at (`left`, `top`).
  init(_ label: Label, width: Float, height: Float, left: Float, top: Float) {
    classIndex = label.classIndex
    x1 = width * (label.cx - label.w / 2) + left
    y1 = height * (label.cy - label.h / 2) + top
    x2 = width * (label.cx + label.w / 2) + left
    y2 = height * (label.cy + label.h / 2) + top
  }

  func clipped(width: Float, height: Float) -> PixelBox {
    PixelBox(
      classIndex: classIndex, x1: min(max(x1, 0), width), y1: min(max(y1, 0), height), x2: min(max(x2, 0), width),
      y2: min(max(y2, 0), height))
  }

  /// The box as fractions of an image of `width` × `height` pixels. YOLOv5 keeps a thousandth of a pixel away from the
  /// end, so that the centre of a box always lies in a cell.
  func target(imageIndex: Int, width: Float, height: Float) -> Target {
    let box = clipped(width: width - 1e-3, height: height - 1e-3)
    return Target(
      imageIndex: imageIndex, classIndex: classIndex, cx: (box.x1 + box.x2) / 2 / width,
      cy: (box.y1 + box.y2) / 2 / height, w: (box.x2 - box.x1) / width, h: (box.y2 - box.y1) / height)
  }

  /// Whether enough of a box is left after a transformation (YOLOv5 `box_candidates`): more than 2 pixels wide and
  /// high, more than a tenth of the area it had (`original`, times the zoom squared), sides below 100 : 1.
  static func isWorthKeeping(
    _ box: PixelBox, original: PixelBox, zoom: Double, areaThreshold: Double = 0.1
  ) -> Bool {
    let epsilon = 1e-16
    let originalArea = Double(original.x2 - original.x1) * zoom * Double(original.y2 - original.y1) * zoom
    let (width, height) = (Double(box.x2 - box.x1), Double(box.y2 - box.y1))
    let aspect = max(width / (height + epsilon), height / (width + epsilon))
    return width > 2 && height > 2 && width * height / (originalArea + epsilon) > areaThreshold && aspect < 100
  }
}
