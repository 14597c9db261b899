public import Geometry

/// One object of one image of a batch, in fractions of the batch image.
public struct Target: Sendable, Hashable {
  public var imageIndex: Int
  public var classIndex: Int
  public var box: NormalizedBox

  public init(imageIndex: Int, classIndex: Int, cx: Float, cy: Float, w: Float, h: Float) {
    self.imageIndex = imageIndex
    self.classIndex = classIndex
    box = NormalizedBox(cx: cx, cy: cy, w: w, h: h)
  }
}

/// Images ready for a network, with their targets.
public struct Batch: Sendable, Hashable {
  /// `N` × `H` × `W` × 3, RGB.
  public var images: [UInt8]
  /// `N`
  public var count: Int
  /// `H`, pixels
  public var height: Int
  /// `W`, pixels
  public var width: Int
  /// In the order of the images.
  public var targets: [Target]
  /// The file of each image (of a mosaic: of the image it was drawn for).
  public var paths: [String]
  /// How each image was laid into the batch; empty in training, where boxes never go back to the file's pixels.
  public var placements: [Placement]

  public init(
    images: [UInt8], count: Int, height: Int, width: Int, targets: [Target], paths: [String],
    placements: [Placement] = []
  ) {
    precondition(images.count == count * height * width * 3, "pixels do not fill \(count)×\(height)×\(width)×3")
    self.images = images
    self.count = count
    self.height = height
    self.width = width
    self.targets = targets
    self.paths = paths
    self.placements = placements
  }
}

/// How an image was resized and laid into a larger one, to bring boxes back: `batch = original · gain + pad`.
public struct Placement: Sendable, Hashable {
  /// Pixels of the image as stored (and shown).
  public var originalWidth: Int
  public var originalHeight: Int
  /// Pixels of the resized image per pixel of the original. One number for both axes, taken along the height: what
  /// YOLOv5's `scale_boxes` does, although the truncated sides make the gains differ by a fraction of a pixel.
  public var gain: Float
  /// Border at the left and at the top, pixels; halves are possible.
  public var padX: Float
  public var padY: Float

  /// Returns a box of the batch image in pixels of the original image, clipped to it.
  public func original(_ box: PixelBox) -> PixelBox {
    PixelBox(
      x1: (box.x1 - padX) / gain, y1: (box.y1 - padY) / gain, x2: (box.x2 - padX) / gain, y2: (box.y2 - padY) / gain
    ).clipped(width: Float(originalWidth), height: Float(originalHeight))
  }
}
