import Randomness

/// Augmented batches for training, made ahead on threads of their own.
///
/// Every batch is a function of the images, the options and (seed, epoch, index), and of the image weights where there
/// are any: not of the number of workers, of what was cached or of where a stream began. So a resumed run sees the same
/// bytes as an uninterrupted one.
public final class TrainingLoader: Sendable {
  public struct Options: Sendable, Hashable {
    /// Side of the square batch images, pixels; of rectangular ones the longer side.
    public var imageSize: Int
    public var batchSize: Int
    public var augmentation: Augmentation
    public var seed: UInt64
    /// Batches of like shapes rather than squares, the same ones in every epoch and without mosaics (YOLOv5's
    /// `--rect`).
    public var isRectangular: Bool = false
    /// Every batch at a size of its own, from half to one and a half of `imageSize` (YOLOv5's `--multi-scale`).
    public var isMultiScale: Bool = false
    /// How many epochs have mosaics and mixup; nil: all. Pictures as they are in the last epochs bring the network back
    /// to what it will see.
    public var mosaicEpochs: Int?
    /// The largest stride of the network, pixels: sizes are multiples of it.
    public var stride: Int = 32
    /// Threads that decode and augment.
    public var workers: Int = 1
    /// The most batches that wait or are being made.
    public var queuedBatches: Int = 4
    /// Bound of the memory for decoded images.
    public var cacheBytes: Int = 1 << 30

    public init(imageSize: Int, batchSize: Int, augmentation: Augmentation = Augmentation(), seed: UInt64) {
      self.imageSize = imageSize
      self.batchSize = batchSize
      self.augmentation = augmentation
      self.seed = seed
    }
  }

  public let options: Options
  /// By aspect ratio for rectangular batches, as given for others.
  public let images: [LabelledImage]
  /// The last one may be smaller than the others.
  public let batchesPerEpoch: Int
  /// Height and width of each batch before it is scaled, pixels.
  let shapes: [BatchShape]
  let cache: ImageCache

  /// - Precondition: there is at least one image.
  public init(images: [LabelledImage], options: Options) {
    precondition(!images.isEmpty, "training needs images")
    precondition(options.batchSize > 0 && options.imageSize > 0 && options.stride > 0, "sizes are positive")
    self.options = options
    let sizes = images.map { ($0.width, $0.height) }
    let order = options.isRectangular ? RectangularBatches.order(sizes) : Array(images.indices)
    self.images = order.map { images[$0] }
    batchesPerEpoch = (images.count + options.batchSize - 1) / options.batchSize
    if options.isRectangular {
      shapes = RectangularBatches.shapes(
        order.map { sizes[$0] }, batchSize: options.batchSize, imageSize: options.imageSize, stride: options.stride,
        padding: 0)
    } else {
      let square = BatchShape(height: options.imageSize, width: options.imageSize)
      shapes = Array(repeating: square, count: batchesPerEpoch)
    }
    cache = ImageCache(
      paths: self.images.map(\.path), longSide: options.imageSize, isTraining: true, maximumBytes: options.cacheBytes)
  }

  /// The batches of `epoch`, of the epoch after it and so on without end: `batchesPerEpoch` of them each. The workers
  /// go on into the next epoch while the trainer evaluates. Release or stop the stream to end them.
  public func batches(fromEpoch epoch: Int) -> BatchStream {
    BatchStream(
      count: nil, workers: options.workers, queuedBatches: options.queuedBatches
    ) { [self] number throws(DatasetError) in
      try batch(epoch: epoch + number / batchesPerEpoch, index: number % batchesPerEpoch)
    }
  }

  /// The batches of one epoch, whose images are drawn, each as likely as its weight says, with replacement. Mosaics
  /// take the other images from what was drawn (YOLOv5's `--image-weights`).
  /// - Parameter weights: one per image, none negative, in the order of `images`.
  public func batches(ofEpoch epoch: Int, weights: [Double]) -> BatchStream {
    let drawn = drawnOrder(epoch: epoch, weights: weights)
    return BatchStream(
      count: batchesPerEpoch, workers: options.workers, queuedBatches: options.queuedBatches
    ) { [self] number throws(DatasetError) in
      try batch(epoch: epoch, index: number, order: drawn, isDrawn: true)
    }
  }

  /// - Throws: `DatasetError` if an image cannot be decoded.
  public func batch(epoch: Int, index: Int) throws(DatasetError) -> Batch {
    let order = options.isRectangular ? Array(images.indices) : shuffledOrder(epoch: epoch)
    return try batch(epoch: epoch, index: index, order: order, isDrawn: false)
  }

  /// - Parameters:
  ///   - order: the epoch's images.
  ///   - isDrawn: whether images may stand in it several times or not at all.
  private func batch(epoch: Int, index: Int, order: [Int], isDrawn: Bool) throws(DatasetError) -> Batch {
    let shape = shapes[index]
    let range = (index * options.batchSize)..<min((index + 1) * options.batchSize, order.count)
    var batch = Batch(
      images: [UInt8](repeating: 0, count: range.count * shape.height * shape.width * 3), count: range.count,
      height: shape.height, width: shape.width, targets: [], paths: order[range].map { images[$0].path })
    var workspace = AugmentationWorkspace()
    for (position, place) in range.enumerated() {
      // An image that is drawn twice is varied in two ways.
      let occurrence = isDrawn ? order[..<place].count { $0 == order[place] } : 0
      var generator = SplitMix64(seed: options.seed, 1, epoch, order[place] + occurrence * images.count)
      batch.targets += try augmented(
        order[place], shape, epoch: epoch, partners: isDrawn ? order : nil, into: &batch.images, at: position,
        &workspace,
        &generator)
    }
    return options.isMultiScale ? batch.scaled(to: drawnShape(shape, epoch: epoch, index: index)) : batch
  }

  private func shuffledOrder(epoch: Int) -> [Int] {
    var order = Array(images.indices)
    var generator = SplitMix64(seed: options.seed, 0, epoch)
    generator.shuffle(&order)
    return order
  }

  func drawnOrder(epoch: Int, weights: [Double]) -> [Int] {
    precondition(weights.count == images.count && weights.allSatisfy { $0 >= 0 }, "one weight per image")
    var sums: [Double] = []
    for weight in weights { sums.append((sums.last ?? 0) + weight) }
    let total = sums[sums.count - 1]
    guard total > 0, total.isFinite else { return shuffledOrder(epoch: epoch) }
    var generator = SplitMix64(seed: options.seed, 2, epoch)
    return images.indices.map { _ in
      let point = generator.unit() * total
      return min(sums.partitioningIndex { $0 > point }, sums.count - 1)
    }
  }

  /// `sz = randrange(s/2, 3s/2 + stride) // stride · stride`; both sides by `sz / longer side`, rounded up to the
  /// stride.
  func drawnShape(_ shape: BatchShape, epoch: Int, index: Int) -> BatchShape {
    var generator = SplitMix64(seed: options.seed, 3, epoch, index)
    let (size, stride) = (options.imageSize, options.stride)
    let low = size / 2
    let side = (low + generator.index(below: size + size / 2 + stride - low)) / stride * stride
    let factor = Double(max(side, stride)) / Double(max(shape.height, shape.width))
    func scaled(_ length: Int) -> Int { Int((Double(length) * factor / Double(stride)).rounded(.up)) * stride }
    return BatchShape(height: scaled(shape.height), width: scaled(shape.width))
  }
}

extension [Double] {
  /// The first index for which `isBehind` holds, of elements for which it holds from some index on.
  fileprivate func partitioningIndex(_ isBehind: (Double) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

extension Batch {
  /// The same images at another size, bilinear. Targets are fractions and stay.
  func scaled(to shape: BatchShape) -> Batch {
    guard shape != BatchShape(height: height, width: width) else { return self }
    var pixels: [UInt8] = []
    pixels.reserveCapacity(count * shape.height * shape.width * 3)
    let bytes = height * width * 3
    for index in 0..<count {
      let image = Image(width: width, height: height, pixels: Array(images[(index * bytes)..<((index + 1) * bytes)]))
      pixels += image.resized(width: shape.width, height: shape.height, by: .bilinear).pixels
    }
    return Batch(
      images: pixels, count: count, height: shape.height, width: shape.width, targets: targets, paths: paths,
      placements: placements)
  }
}
