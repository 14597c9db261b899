/// A box by its corners, in pixels, `x` to the right and `y` down.
public struct PixelBox: Sendable, Hashable, Codable {
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
  public func iou(_ other: PixelBox) -> Float {
    let w = max(min(x2, other.x2) - max(x1, other.x1), 0)
    let h = max(min(y2, other.y2) - max(y1, other.y1), 0)
    let intersection = w * h
    let union = area + other.area - intersection
    return union > 0 ? intersection / union : 0
  }

  /// The part of the box inside an image of `width` × `height` pixels.
  public func clipped(width: Float, height: Float) -> PixelBox {
    PixelBox(
      x1: min(max(x1, 0), width), y1: min(max(y1, 0), height), x2: min(max(x2, 0), width), y2: min(max(y2, 0), height))
  }
}

/// A box by its centre and size, in pixels of a picture or in cells of a map.
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

  public init(_ box: PixelBox) {
    self.init(cx: (box.x1 + box.x2) / 2, cy: (box.y1 + box.y2) / 2, width: box.width, height: box.height)
  }
}

/// A box by its centre and size, as fractions of an image's width and height.
public struct NormalizedBox: Sendable, Hashable {
  public var cx: Float
  public var cy: Float
  public var w: Float
  public var h: Float

  public init(cx: Float, cy: Float, w: Float, h: Float) {
    self.cx = cx
    self.cy = cy
    self.w = w
    self.h = h
  }

  /// The box on an image (or map) of `width` × `height` pixels (or cells).
  public func on(width: Float, height: Float) -> CenteredBox {
    CenteredBox(cx: cx * width, cy: cy * height, width: w * width, height: h * height)
  }
}

/// A rectangle of whole pixels; the ends are not part of it.
public struct PixelRectangle: Sendable, Hashable {
  public var left: Int
  public var top: Int
  public var right: Int
  public var bottom: Int

  public init(left: Int, top: Int, right: Int, bottom: Int) {
    self.left = left
    self.top = top
    self.right = right
    self.bottom = bottom
  }

  public var isEmpty: Bool { left >= right || top >= bottom }

  public func intersection(_ other: PixelRectangle) -> PixelRectangle {
    PixelRectangle(
      left: max(left, other.left), top: max(top, other.top), right: min(right, other.right),
      bottom: min(bottom, other.bottom))
  }
}
