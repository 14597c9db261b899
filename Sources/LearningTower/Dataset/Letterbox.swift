/// How an image is fitted into a shape: sizes in pixels, computed before any pixel is touched (YOLOv5 `letterbox`).
struct Letterbox: Sendable, Hashable {
  var resizedWidth: Int
  var resizedHeight: Int
  /// Pixels of the resized image per pixel of the given one, along each axis.
  var ratioX: Double
  var ratioY: Double
  /// Half of the whole border along each axis; may end in .5, and then the extra row or column is at the end.
  var padX: Double
  var padY: Double
  var left: Int
  var top: Int
  var width: Int
  var height: Int

  /// - Parameters:
  ///   - isMinimal: pad only up to a multiple of `stride` (`auto`).
  ///   - isStretched: no border, both axes fill the shape (`scaleFill`).
  ///   - mayEnlarge: images smaller than the shape grow (`scaleup`).
  init(
    width sourceWidth: Int, height sourceHeight: Int, intoWidth: Int, height intoHeight: Int, isMinimal: Bool = false,
    isStretched: Bool = false, mayEnlarge: Bool = true, stride: Int = 32
  ) {
    var ratio = min(Double(intoHeight) / Double(sourceHeight), Double(intoWidth) / Double(sourceWidth))
    if !mayEnlarge { ratio = min(ratio, 1) }
    (ratioX, ratioY) = (ratio, ratio)
    // Halves to even, as Python rounds.
    resizedWidth = max(Int((Double(sourceWidth) * ratio).rounded(.toNearestOrEven)), 1)
    resizedHeight = max(Int((Double(sourceHeight) * ratio).rounded(.toNearestOrEven)), 1)
    var borderX = intoWidth - resizedWidth
    var borderY = intoHeight - resizedHeight
    if isMinimal {
      (borderX, borderY) = (borderX % stride, borderY % stride)
    } else if isStretched {
      (borderX, borderY) = (0, 0)
      (resizedWidth, resizedHeight) = (intoWidth, intoHeight)
      ratioX = Double(intoWidth) / Double(sourceWidth)
      ratioY = Double(intoHeight) / Double(sourceHeight)
    }
    padX = Double(borderX) / 2
    padY = Double(borderY) / 2
    left = Int((padX - 0.1).rounded(.toNearestOrEven))
    top = Int((padY - 0.1).rounded(.toNearestOrEven))
    width = resizedWidth + borderX
    height = resizedHeight + borderY
  }
}

extension Image {
  /// The image fitted into `intoWidth` × `height` pixels with a grey border.
  func letterboxed(_ letterbox: Letterbox) -> Image {
    let resized = resized(width: letterbox.resizedWidth, height: letterbox.resizedHeight, by: .bilinear)
    if letterbox.width == resized.width, letterbox.height == resized.height { return resized }
    var canvas = Image(width: letterbox.width, height: letterbox.height)
    canvas.pixels.paste(resized, left: letterbox.left, top: letterbox.top, canvasWidth: letterbox.width)
    return canvas
  }

  /// The image with its longer side scaled to `longSide` pixels (YOLOv5 `load_image`: both sides truncated, bilinear
  /// for training and for enlarging, area average when shrinking for validation).
  func fitted(longSide: Int, isTraining: Bool) -> Image {
    let longest = max(width, height)
    guard longest != longSide else { return self }
    let ratio = Double(longSide) / Double(longest)
    return resized(
      width: max(Int(Double(width) * ratio), 1), height: max(Int(Double(height) * ratio), 1),
      by: isTraining || ratio > 1 ? .bilinear : .area)
  }
}

extension [UInt8] {
  /// Copies an image into a canvas of `canvasWidth` pixels a row, in which it has to have room.
  mutating func paste(_ image: Image, left: Int, top: Int, canvasWidth: Int, from start: Int = 0) {
    let rowBytes = image.width * 3
    for y in 0..<image.height {
      let target = start + ((top + y) * canvasWidth + left) * 3
      replaceSubrange(target..<(target + rowBytes), with: image.pixels[(y * rowBytes)..<((y + 1) * rowBytes)])
    }
  }
}

extension Image {
  /// The image in the smallest rectangle of whole strides whose longer side is `longSide` (rounded up to a stride),
  /// with a grey border where it does not fill it: what YOLOv5's `detect.py` shows a network.
  public func letterboxed(longSide: Int, stride: Int) -> (image: Image, placement: Placement) {
    precondition(longSide > 0 && stride > 0, "sizes are positive")
    let side = (longSide + stride - 1) / stride * stride
    let letterbox = Letterbox(
      width: width, height: height, intoWidth: side, height: side, isMinimal: true, stride: stride)
    let placement = Placement(
      originalWidth: width, originalHeight: height, gain: Float(letterbox.ratioX), padX: Float(letterbox.padX),
      padY: Float(letterbox.padY))
    return (letterboxed(letterbox), placement)
  }
}
