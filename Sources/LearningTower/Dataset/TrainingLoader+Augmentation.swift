import Geometry
import Randomness

/// Buffers that one thread uses for image after image.
struct AugmentationWorkspace {
  var canvas: [UInt8] = []
  var image: [UInt8] = []
  var second: [UInt8] = []
}

extension TrainingLoader {
  /// Makes the training image drawn for `index` (`H` × `W` × 3) in the place `position` of a batch, and gives its
  /// targets. The steps and their order are YOLOv5's: mosaic (of square batches only) and perspective, mixup with a
  /// second mosaic, colour, flips.
  /// - Parameter partners: the images of which a mosaic takes three; nil: all.
  func augmented(
    _ index: Int, _ shape: BatchShape, epoch: Int, partners: [Int]?, into batchImages: inout [UInt8], at position: Int,
    _ workspace: inout AugmentationWorkspace, _ generator: inout SplitMix64
  ) throws(DatasetError) -> [Target] {
    let augmentation = options.augmentation
    var boxes: [LabelledBox]
    if !options.isRectangular, epoch < options.mosaicEpochs ?? .max, generator.unit() < augmentation.mosaic {
      boxes = try mosaic(index, partners, into: &workspace.image, &workspace.canvas, &generator)
      if generator.unit() < augmentation.mixup {
        let partner = generator.index(below: images.count)
        boxes += try mosaic(partner, partners, into: &workspace.second, &workspace.canvas, &generator)
        mix(&workspace.image, workspace.second, ratio: generator.beta32())
      }
    } else {
      boxes = try single(index, shape, into: &workspace.image, &generator)
    }
    ColourJitter(augmentation, &generator)?.apply(to: &workspace.image)
    let isFlippedUpDown = generator.unit() < augmentation.flipUpDown
    let isFlippedLeftRight = generator.unit() < augmentation.flipLeftRight
    place(
      workspace.image.span, shape, isFlippedUpDown: isFlippedUpDown, isFlippedLeftRight: isFlippedLeftRight,
      into: &batchImages, position * shape.height * shape.width * 3)
    return boxes.map { box in
      var target = box.target(imageIndex: position, width: Float(shape.width), height: Float(shape.height))
      if isFlippedUpDown { target.box.cy = 1 - target.box.cy }
      if isFlippedLeftRight { target.box.cx = 1 - target.box.cx }
      return target
    }
  }

  /// The image with three drawn ones round a drawn point, then zoomed and moved.
  private func mosaic(
    _ index: Int, _ partners: [Int]?, into result: inout [UInt8], _ canvas: inout [UInt8],
    _ generator: inout SplitMix64
  ) throws(DatasetError) -> [LabelledBox] {
    let size = options.imageSize
    let centerY = Int(generator.uniform(Double(size) / 2, 1.5 * Double(size)))
    let centerX = Int(generator.uniform(Double(size) / 2, 1.5 * Double(size)))
    var indices = [index]
    for _ in 0..<3 {
      let drawn = generator.index(below: images.count)
      indices.append(partners?[drawn] ?? drawn)
    }
    generator.shuffle(&indices)
    let draw = PerspectiveDraw(options.augmentation, &generator)

    let tiles = try indices.map { index throws(DatasetError) in try cache.image(index) }
    let sizes = tiles.map { ($0.width, $0.height) }
    let mosaic = Mosaic(imageSize: size, centerX: centerX, centerY: centerY, sizes: sizes)
    let matrix = draw.matrix(width: mosaic.side, height: mosaic.side, resultWidth: size, resultHeight: size)
    let warp = Warp(matrix, width: mosaic.side, height: mosaic.side, resultWidth: size, resultHeight: size)
    canvas.reserve(mosaic.side * mosaic.side * 3)
    result.reserve(size * size * 3)
    mosaic.draw(tiles, warp.sourceRegion, into: &canvas)
    warp.apply(canvas.span, into: &result)
    return draw.boxes(
      mosaic.boxes(indices.map { images[$0].labels }, sizes: sizes), matrix, resultWidth: size, resultHeight: size)
  }

  /// The image alone, letterboxed, zoomed and moved.
  private func single(
    _ index: Int, _ shape: BatchShape, into result: inout [UInt8], _ generator: inout SplitMix64
  ) throws(DatasetError) -> [LabelledBox] {
    let (width, height) = (shape.width, shape.height)
    let draw = PerspectiveDraw(options.augmentation, &generator)
    let image = try cache.image(index)
    let letterbox = Letterbox(width: image.width, height: image.height, intoWidth: width, height: height)
    let letterboxed = image.letterboxed(letterbox)
    let matrix = draw.matrix(width: width, height: height, resultWidth: width, resultHeight: height)
    if matrix == .identity {
      result = letterboxed.pixels
    } else {
      result.reserve(width * height * 3)
      Warp(matrix, width: width, height: height, resultWidth: width, resultHeight: height)
        .apply(letterboxed.pixels.span, into: &result)
    }
    let boxes = images[index].labels.map { label in
      LabelledBox(
        label, width: Float(letterbox.ratioX * Double(image.width)),
        height: Float(letterbox.ratioY * Double(image.height)), left: Float(letterbox.padX),
        top: Float(letterbox.padY))
    }
    return draw.boxes(boxes, matrix, resultWidth: width, resultHeight: height)
  }
}

extension [UInt8] {
  /// Makes the buffer exactly that long; what it holds is overwritten anyway.
  fileprivate mutating func reserve(_ count: Int) {
    if self.count != count { self = [UInt8](repeating: Image.borderGrey, count: count) }
  }
}

extension SplitMix64 {
  /// From the Beta(32, 32) distribution: the middle one of 63 uniform numbers in order.
  mutating func beta32() -> Double {
    (0..<63).map { _ in unit() }.sorted()[31]
  }
}

/// `a = a · ratio + b · (1 − ratio)`, truncated (YOLOv5 `mixup`).
func mix(_ a: inout [UInt8], _ b: [UInt8], ratio: Double) {
  var a = a.mutableSpan
  let b = b.span
  precondition(a.count == b.count, "images of one size")
  for i in 0..<b.count { a[i] = UInt8(Double(a[i]) * ratio + Double(b[i]) * (1 - ratio)) }
}

/// Copies an image into a batch, mirrored as asked.
private func place(
  _ image: Span<UInt8>, _ shape: BatchShape, isFlippedUpDown: Bool, isFlippedLeftRight: Bool, into batch: inout [UInt8],
  _ start: Int
) {
  let rowBytes = shape.width * 3
  var batch = batch.mutableSpan
  for y in 0..<shape.height {
    let sourceY = isFlippedUpDown ? shape.height - 1 - y : y
    let source = image.extracting((sourceY * rowBytes)..<((sourceY + 1) * rowBytes))
    let target = start + y * rowBytes
    precondition(source.count == rowBytes && target + rowBytes <= batch.count, "whole rows")
    if isFlippedLeftRight {
      for x in 0..<shape.width {
        for channel in 0..<3 { batch[target + x * 3 + channel] = source[(shape.width - 1 - x) * 3 + channel] }
      }
    } else {
      for i in 0..<rowBytes { batch[target + i] = source[i] }
    }
  }
}
