import Geometry

/// Four images round a point of a canvas of twice their size (YOLOv5 `load_mosaic`).
struct Mosaic: Sendable, Hashable {
  /// Where one image lies.
  struct Tile: Sendable, Hashable {
    /// Where the image's top left corner would be on the canvas, seen or not.
    var left: Int
    var top: Int
    /// The part of the canvas in which it is seen.
    var visible: PixelRectangle
  }

  /// Twice the image size, pixels.
  let side: Int
  /// Top left, top right, bottom left, bottom right.
  let tiles: [Tile]

  /// - Parameters:
  ///   - center: where the images meet, in [s/2, 3s/2].
  ///   - sizes: of the four images; pixels.
  init(imageSize: Int, centerX: Int, centerY: Int, sizes: [(width: Int, height: Int)]) {
    precondition(sizes.count == 4, "a mosaic has four tiles")
    side = 2 * imageSize
    let canvas = PixelRectangle(left: 0, top: 0, right: side, bottom: side)
    tiles = sizes.enumerated().map { place, size in
      let left = place % 2 == 0 ? centerX - size.width : centerX
      let top = place < 2 ? centerY - size.height : centerY
      let whole = PixelRectangle(left: left, top: top, right: left + size.width, bottom: top + size.height)
      return Tile(left: left, top: top, visible: whole.intersection(canvas))
    }
  }

  /// Draws the part `region` of the canvas (side × side × 3); the rest of it keeps what it had.
  func draw(_ images: [Image], _ region: PixelRectangle, into canvas: inout [UInt8]) {
    precondition(canvas.count == side * side * 3, "the canvas has another size")
    guard !region.isEmpty else { return }
    for y in region.top..<region.bottom {
      fillGrey(&canvas, ((y * side + region.left) * 3)..<((y * side + region.right) * 3))
    }
    for (image, tile) in zip(images, tiles) {
      let part = tile.visible.intersection(region)
      guard !part.isEmpty else { continue }
      for y in part.top..<part.bottom {
        copy(
          image.pixels.span, from: ((y - tile.top) * image.width + part.left - tile.left) * 3,
          count: (part.right - part.left) * 3, to: &canvas, (y * side + part.left) * 3)
      }
    }
  }

  /// The boxes of all four images on the canvas, clipped to it.
  func boxes(_ labels: [[Label]], sizes: [(width: Int, height: Int)]) -> [LabelledBox] {
    zip(zip(labels, sizes), tiles).flatMap { content, tile in
      content.0.map { label in
        var labelled = LabelledBox(
          label, width: Float(content.1.width), height: Float(content.1.height), left: Float(tile.left),
          top: Float(tile.top))
        labelled.box = labelled.box.clipped(width: Float(side), height: Float(side))
        return labelled
      }
    }
  }
}

private func fillGrey(_ pixels: inout [UInt8], _ range: Range<Int>) {
  var pixels = pixels.mutableSpan
  precondition(range.lowerBound >= 0 && range.upperBound <= pixels.count, "inside the canvas")
  for i in range { pixels[i] = Image.borderGrey }
}

private func copy(_ source: Span<UInt8>, from: Int, count: Int, to target: inout [UInt8], _ start: Int) {
  let part = source.extracting(from..<(from + count))
  var target = target.mutableSpan
  precondition(part.count == count && start >= 0 && start + count <= target.count, "inside the canvas")
  for i in 0..<count { target[start + i] = part[i] }
}
