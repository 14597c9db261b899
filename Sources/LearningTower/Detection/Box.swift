/// A box by its corners, `x` to the right and `y` down, in the unit its owner names (mostly pixels).
public struct Box: Sendable, Hashable, Codable {
  public var x1: Float
  public var y1: Float
  public var x2: Float
  public var y2: Float

  public init(x1: Float, y1: Float, x2: Float, y2: Float) {
    self.x1 = x1
    self.y1 = y1
    self.x2 = x2
    self.y2 = y2
  }

  public init(_ box: CenteredBox) {
    self.init(
      x1: box.cx - box.width / 2, y1: box.cy - box.height / 2, x2: box.cx + box.width / 2,
      y2: box.cy + box.height / 2)
  }

  public var width: Float { x2 - x1 }
  public var height: Float { y2 - y1 }
  public var area: Float { width * height }

  /// Area of the intersection by area of the union, in [0, 1]; 0 when both are empty.
  public func iou(_ other: Box) -> Float {
    let w = max(min(x2, other.x2) - max(x1, other.x1), 0)
    let h = max(min(y2, other.y2) - max(y1, other.y1), 0)
    let intersection = w * h
    let union = area + other.area - intersection
    return union > 0 ? intersection / union : 0
  }
}

/// A box by its centre and size.
public struct CenteredBox: Sendable, Hashable, Codable {
  public var cx: Float
  public var cy: Float
  public var width: Float
  public var height: Float

  public init(cx: Float, cy: Float, width: Float, height: Float) {
    self.cx = cx
    self.cy = cy
    self.width = width
    self.height = height
  }

  public init(_ box: Box) {
    self.init(cx: (box.x1 + box.x2) / 2, cy: (box.y1 + box.y2) / 2, width: box.width, height: box.height)
  }
}

/// One object found in an image.
public struct Detection: Sendable, Hashable, Codable {
  public var box: Box
  /// Objectness times class score, in [0, 1].
  public var confidence: Float
  public var classIndex: Int

  public init(box: Box, confidence: Float, classIndex: Int) {
    self.box = box
    self.confidence = confidence
    self.classIndex = classIndex
  }
}
