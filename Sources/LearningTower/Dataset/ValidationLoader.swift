import Geometry

/// Whole images, letterboxed, in batches: for evaluation.
///
/// Rectangular: images are sorted by aspect ratio and every batch has the smallest shape (multiples of the stride, with
/// half a stride of margin) its images fit in. Square: in the order of the data set, all of one shape.
public final class ValidationLoader: Sendable {
  public struct Options: Sendable, Hashable {
    /// Pixels of the longer side.
    public var imageSize: Int
    public var batchSize: Int
    public var isRectangular: Bool = true
    /// The largest stride of the network, pixels.
    public var stride: Int = 32
    /// Margin of rectangular batches, in strides.
    public var padding: Double = 0.5
    public var workers: Int = 1
    public var queuedBatches: Int = 3
    /// Bound of the memory for decoded images.
    public var cacheBytes: Int = 1 << 29

    public init(imageSize: Int, batchSize: Int, isRectangular: Bool = true) {
      self.imageSize = imageSize
      self.batchSize = batchSize
      self.isRectangular = isRectangular
    }
  }

  public let options: Options
  /// In the order of the batches.
  public let images: [LabelledImage]
  /// Height and width of each batch, pixels.
  public let shapes: [BatchShape]
  private let cache: ImageCache

  public init(images: [LabelledImage], options: Options) {
    precondition(options.batchSize > 0 && options.imageSize > 0 && options.stride > 0, "sizes are positive")
    var options = options
    options.workers = max(options.workers, 1)
    self.options = options
    if options.isRectangular {
      let order = RectangularBatches.order(images.map { ($0.width, $0.height) })
      self.images = order.map { images[$0] }
      shapes = RectangularBatches.shapes(
        self.images.map { ($0.width, $0.height) }, batchSize: options.batchSize, imageSize: options.imageSize,
        stride: options.stride, padding: options.padding)
    } else {
      self.images = images
      let batches = (images.count + options.batchSize - 1) / options.batchSize
      shapes = Array(repeating: BatchShape(height: options.imageSize, width: options.imageSize), count: batches)
    }
    cache = ImageCache(
      paths: self.images.map(\.path), longSide: options.imageSize, isTraining: false, maximumBytes: options.cacheBytes)
  }

  public var batchCount: Int { shapes.count }

  /// One pass over all batches, made ahead.
  public func batches() -> BatchStream {
    BatchStream(
      count: batchCount, workers: options.workers, queuedBatches: options.queuedBatches
    ) { [self] number throws(DatasetError) in try batch(number) }
  }

  /// - Throws: `DatasetError` if an image cannot be decoded.
  public func batch(_ index: Int) throws(DatasetError) -> Batch {
    let shape = shapes[index]
    let range = (index * options.batchSize)..<min((index + 1) * options.batchSize, images.count)
    var batch = Batch(
      images: [UInt8](repeating: Image.borderGrey, count: range.count * shape.height * shape.width * 3),
      count: range.count, height: shape.height, width: shape.width, targets: [], paths: images[range].map(\.path))
    for (position, imageIndex) in range.enumerated() {
      let labelled = images[imageIndex]
      let fitted = try cache.image(imageIndex)
      let letterbox = Letterbox(
        width: fitted.width, height: fitted.height, intoWidth: shape.width, height: shape.height, mayEnlarge: false)
      let resized = fitted.resized(
        width: letterbox.resizedWidth, height: letterbox.resizedHeight, by: .bilinear)
      batch.images.paste(
        resized, left: letterbox.left, top: letterbox.top, canvasWidth: shape.width,
        from: position * shape.height * shape.width * 3)
      batch.placements.append(
        Placement(
          originalWidth: labelled.width, originalHeight: labelled.height,
          gain: Float(Double(fitted.height) / Double(labelled.height)), padX: Float(letterbox.padX),
          padY: Float(letterbox.padY)))
      for label in labelled.labels {
        batch.targets.append(target(label, imageIndex: position, letterbox, shape))
      }
    }
    return batch
  }

  /// From fractions of the image to fractions of the batch image.
  private func target(_ label: Label, imageIndex: Int, _ letterbox: Letterbox, _ shape: BatchShape) -> Target {
    let (width, height) = (Float(letterbox.resizedWidth), Float(letterbox.resizedHeight))
    return Target(
      imageIndex: imageIndex, classIndex: label.classIndex,
      cx: (label.box.cx * width + Float(letterbox.padX)) / Float(shape.width),
      cy: (label.box.cy * height + Float(letterbox.padY)) / Float(shape.height),
      w: label.box.w * width / Float(shape.width), h: label.box.h * height / Float(shape.height))
  }
}

/// Pixels of the images of a batch.
public struct BatchShape: Sendable, Hashable {
  public var height: Int
  public var width: Int

  public init(height: Int, width: Int) {
    self.height = height
    self.width = width
  }
}

/// Order and shapes of rectangular validation, from the sizes of the images in pixels.
enum RectangularBatches {
  /// By height / width, ascending; equal ones in their order.
  static func order(_ sizes: [(width: Int, height: Int)]) -> [Int] {
    let ratios = sizes.map { Double($0.height) / Double($0.width) }
    return ratios.indices.sorted { (ratios[$0], $0) < (ratios[$1], $1) }
  }

  /// The shape of each batch of the sorted images: the long side has `imageSize` pixels plus the margin, both sides are
  /// rounded up to the stride.
  static func shapes(
    _ sorted: [(width: Int, height: Int)], batchSize: Int, imageSize: Int, stride: Int, padding: Double
  ) -> [BatchShape] {
    func pixels(_ fraction: Double) -> Int {
      Int((fraction * Double(imageSize) / Double(stride) + padding).rounded(.up)) * stride
    }
    return Swift.stride(from: 0, to: sorted.count, by: batchSize).map { start in
      let ratios = sorted[start..<min(start + batchSize, sorted.count)].map { Double($0.height) / Double($0.width) }
      let (least, most) = (ratios.min() ?? 1, ratios.max() ?? 1)
      if most < 1 { return BatchShape(height: pixels(most), width: pixels(1)) }
      if least > 1 { return BatchShape(height: pixels(1), width: pixels(1 / least)) }
      return BatchShape(height: pixels(1), width: pixels(1))
    }
  }
}
