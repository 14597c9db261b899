import Geometry

/// A labelled box in pixels of the image it is drawn on.
struct LabelledBox: Sendable, Hashable {
  var classIndex: Int
  var box: PixelBox

  init(classIndex: Int, _ box: PixelBox) {
    self.classIndex = classIndex
    self.box = box
  }

  /// The label's box on an image of `width` × `height` pixels that lies at (`left`, `top`).
  init(_ label: Label, width: Float, height: Float, left: Float, top: Float) {
    let box = label.box
    self.init(
      classIndex: label.classIndex,
      PixelBox(
        x1: width * (box.cx - box.w / 2) + left, y1: height * (box.cy - box.h / 2) + top,
        x2: width * (box.cx + box.w / 2) + left, y2: height * (box.cy + box.h / 2) + top))
  }

  /// The box as fractions of an image of `width` × `height` pixels. YOLOv5 keeps a thousandth of a pixel away from the
  /// end, so that the centre of a box always lies in a cell.
  func target(imageIndex: Int, width: Float, height: Float) -> Target {
    let box = box.clipped(width: width - 1e-3, height: height - 1e-3)
    return Target(
      imageIndex: imageIndex, classIndex: classIndex, cx: (box.x1 + box.x2) / 2 / width,
      cy: (box.y1 + box.y2) / 2 / height, w: (box.x2 - box.x1) / width, h: (box.y2 - box.y1) / height)
  }
}

extension PixelBox {
  /// Returns whether enough of a box is left after a transformation (YOLOv5 `box_candidates`): more than 2 pixels wide
  /// and high, more than a tenth of the area it had (`original`, times the zoom squared), sides below 100 : 1.
  func isWorthKeeping(original: PixelBox, zoom: Double, areaThreshold: Double = 0.1) -> Bool {
    let epsilon = 1e-16
    let originalArea = Double(original.width) * zoom * Double(original.height) * zoom
    let (width, height) = (Double(width), Double(height))
    let aspect = max(width / (height + epsilon), height / (width + epsilon))
    return width > 2 && height > 2 && width * height / (originalArea + epsilon) > areaThreshold && aspect < 100
  }
}
