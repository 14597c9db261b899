/// Augmented, shuffled batches for training, made ahead on threads of their own.
///
/// Every batch is a function of the images, the options and (seed, epoch, index): not of the number of workers, of what
/// was cached or of where a stream began. So a resumed run sees the same bytes as an uninterrupted one.
public final class TrainingLoader: Sendable {
  public struct Options: Sendable, Hashable {
    /// Side of the square batch images, pixels.
    public var imageSize: Int
    public var batchSize: Int
    public var augmentation: Augmentation
    public var seed: UInt64
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
  public let images: [LabelledImage]
  /// The last one may be smaller than the others.
  public let batchesPerEpoch: Int
  let cache: ImageCache

  /// - Precondition: there is at least one image.
  public init(images: [LabelledImage], options: Options) {
    precondition(!images.isEmpty, "training needs images")
    precondition(options.batchSize > 0 && options.imageSize > 0, "sizes are positive")
    self.images = images
    self.options = options
    batchesPerEpoch = (images.count + options.batchSize - 1) / options.batchSize
    cache = ImageCache(
      paths: images.map(\.path), longSide: options.imageSize, isTraining: true, maximumBytes: options.cacheBytes)
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

  /// - Throws: `DatasetError` if an image cannot be decoded.
  public func batch(epoch: Int, index: Int) throws(DatasetError) -> Batch {
    let order = shuffledOrder(epoch: epoch)
    let size = options.imageSize
    let chosen = order[(index * options.batchSize)..<min((index + 1) * options.batchSize, order.count)]
    var batch = Batch(
      images: [UInt8](repeating: 0, count: chosen.count * size * size * 3), count: chosen.count, height: size,
      width: size, targets: [], paths: chosen.map { images[$0].path })
    var workspace = AugmentationWorkspace()
    for (position, imageIndex) in chosen.enumerated() {
      var generator = SplitMix64(seed: options.seed, 1, epoch, imageIndex)
      batch.targets += try augmented(imageIndex, into: &batch.images, at: position, &workspace, &generator)
    }
    return batch
  }

  private func shuffledOrder(epoch: Int) -> [Int] {
    var order = Array(images.indices)
    var generator = SplitMix64(seed: options.seed, 0, epoch)
    generator.shuffle(&order)
    return order
  }
}
