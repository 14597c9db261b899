@testable import Dataset
import Foundation
import Geometry
import Randomness
import Testing

@Suite("loaders") struct LoaderTests {
  let folder: TemporaryFolder
  let images: [LabelledImage]

  /// Seven generated images.
  init() throws {
    folder = try TemporaryFolder()
    var sample = SampleDataset()
    sample.trainCount = 7
    sample.valCount = 1
    sample.imageSize = 64
    images = try DatasetDescription.load(sample.write(to: folder.path + "/sample")).contents(of: .train).images
  }

  private func options(_ augmentation: Augmentation = Augmentation(), workers: Int = 1) -> TrainingLoader.Options {
    var options = TrainingLoader.Options(imageSize: 48, batchSize: 3, augmentation: augmentation, seed: 5)
    options.workers = workers
    options.queuedBatches = 3
    return options
  }

  private func take(_ count: Int, _ stream: BatchStream) throws -> [Batch] {
    try (0..<count).map { _ in try #require(try stream.next()) }
  }

  @Test func batchesDoNotDependOnWorkersCacheOrStart() throws {
    var mixed = Augmentation()
    mixed.mixup = 0.5
    mixed.degrees = 10
    mixed.mosaic = 0.7
    mixed.flipUpDown = 0.5
    let loader = TrainingLoader(images: images, options: options(mixed))
    #expect(loader.batchesPerEpoch == 3)
    let stream = loader.batches(fromEpoch: 0)
    let batches = try take(9, stream)
    #expect(batches.map(\.count) == [3, 3, 1, 3, 3, 1, 3, 3, 1])

    var crowded = options(mixed, workers: 4)
    crowded.cacheBytes = 30_000
    #expect(try take(9, TrainingLoader(images: images, options: crowded).batches(fromEpoch: 0)) == batches)
    #expect(try take(3, loader.batches(fromEpoch: 2)) == Array(batches[6...]))
    for epoch in 0..<3 {
      #expect(Set(batches[(epoch * 3)..<(epoch * 3 + 3)].flatMap(\.paths)) == Set(images.map(\.path)))
    }
    #expect(batches[0].paths != batches[3].paths || batches[1].paths != batches[4].paths)
    var other = options(mixed)
    other.seed = 6
    #expect(try TrainingLoader(images: images, options: other).batch(epoch: 0, index: 0) != batches[0])
  }

  @Test func targetsLieInsideTheirImages() throws {
    let loader = TrainingLoader(images: images, options: options())
    var count = 0
    for batch in try take(12, loader.batches(fromEpoch: 0)) {
      for target in batch.targets {
        count += 1
        #expect((0..<batch.count).contains(target.imageIndex))
        #expect(target.box.cx - target.box.w / 2 >= -1e-5 && target.box.cx + target.box.w / 2 <= 1 + 1e-5)
        #expect(target.box.cy - target.box.h / 2 >= -1e-5 && target.box.cy + target.box.h / 2 <= 1 + 1e-5)
        #expect(target.box.w * 48 > 2 - 2e-3 && target.box.h * 48 > 2 - 2e-3)
      }
      #expect(batch.targets.map(\.imageIndex) == batch.targets.map(\.imageIndex).sorted())
    }
    #expect(count > 10)
  }

  @Test func withoutAugmentationImagesAreLetterboxed() throws {
    let batch = try TrainingLoader(images: images, options: options(.none)).batch(epoch: 0, index: 0)
    let labelled = try #require(images.first { $0.path == batch.paths[0] })
    let fitted = try ImageFile.read(labelled.path).fitted(longSide: 48, isTraining: true)
    let letterbox = Letterbox(width: fitted.width, height: fitted.height, intoWidth: 48, height: 48)
    #expect(Array(batch.images[..<(48 * 48 * 3)]) == fitted.letterboxed(letterbox).pixels)
    let target = try #require(batch.targets.first)
    let label = try #require(labelled.labels.first)
    let expected = (label.box.cx * Float(fitted.width) + Float(letterbox.padX)) / 48
    #expect(abs(target.box.cx - expected) < 1e-4)
  }

  @Test func flipsMirrorPixelsAndBoxes() throws {
    let plain = try TrainingLoader(images: images, options: options(.none)).batch(epoch: 0, index: 0)
    for (upDown, leftRight) in [(1.0, 0.0), (0, 1), (1, 1)] {
      var augmentation = Augmentation.none
      augmentation.flipUpDown = upDown
      augmentation.flipLeftRight = leftRight
      let flipped = try TrainingLoader(images: images, options: options(augmentation)).batch(epoch: 0, index: 0)
      var expected = plain
      for image in 0..<3 {
        for y in 0..<48 {
          for x in 0..<48 {
            let (fromX, fromY) = (leftRight == 1 ? 47 - x : x, upDown == 1 ? 47 - y : y)
            for channel in 0..<3 {
              expected.images[((image * 48 + y) * 48 + x) * 3 + channel] =
                plain.images[((image * 48 + fromY) * 48 + fromX) * 3 + channel]
            }
          }
        }
      }
      for index in expected.targets.indices {
        if leftRight == 1 { expected.targets[index].box.cx = 1 - expected.targets[index].box.cx }
        if upDown == 1 { expected.targets[index].box.cy = 1 - expected.targets[index].box.cy }
      }
      #expect(flipped == expected)
    }
  }

  /// Without turn or shear the warp takes a shorter way; the sums have to be the same.
  @Test func scalingEqualsTheGeneralWarp() {
    var generator = SplitMix64(seed: 3)
    let source = (0..<(20 * 30 * 3)).map { _ in UInt8(generator.index(below: 256)) }
    for _ in 0..<40 {
      var draw = PerspectiveDraw()
      draw.zoom = generator.uniform(0.3, 2.5)
      draw.centerX = generator.uniform(-0.3, 1.3)
      draw.centerY = generator.uniform(-0.3, 1.3)
      let matrix = draw.matrix(width: 30, height: 20, resultWidth: 16, resultHeight: 18)
      var (short, general) = ([UInt8](repeating: 0, count: 16 * 18 * 3), [UInt8](repeating: 0, count: 16 * 18 * 3))
      #expect(matrix.inverse.isAffine)
      Warp(matrix, width: 30, height: 20, resultWidth: 16, resultHeight: 18).apply(source.span, into: &short)
      // A shear too small to move anything takes the general way.
      var sheared = matrix
      sheared.b = 1e-300
      Warp(sheared, width: 30, height: 20, resultWidth: 16, resultHeight: 18).apply(source.span, into: &general)
      #expect(short == general)
    }
  }

  @Test func validationKeepsTheWayBack() throws {
    for isRectangular in [true, false] {
      let loader = ValidationLoader(
        images: images, options: .init(imageSize: 64, batchSize: 4, isRectangular: isRectangular))
      #expect(loader.batchCount == 2)
      let stream = loader.batches()
      var seen: [String] = []
      while let batch = try stream.next() {
        #expect(batch.height % 32 == 0 && batch.width % 32 == 0)
        seen += batch.paths
        for (index, path) in batch.paths.enumerated() {
          let labelled = try #require(images.first { $0.path == path })
          let placement = batch.placements[index]
          let targets = batch.targets.filter { $0.imageIndex == index }
          #expect(targets.count == labelled.labels.count)
          for (target, label) in zip(targets, labelled.labels) {
            let (width, height) = (Float(batch.width), Float(batch.height))
            let box = CenteredBox(placement.original(PixelBox(target.box.on(width: width, height: height))))
            let (imageWidth, imageHeight) = (Float(labelled.width), Float(labelled.height))
            #expect(abs(box.cx - label.box.cx * imageWidth) < 0.8)
            #expect(abs(box.cy - label.box.cy * imageHeight) < 0.8)
          }
        }
      }
      #expect(seen == loader.images.map(\.path) && Set(seen) == Set(images.map(\.path)))
    }
  }

  // MARK: - Rectangular batches, sizes that vary, weighted draws

  /// The seven images and three that are not square.
  private func mixedShapes() throws -> [LabelledImage] {
    let sizes = [(96, 40), (90, 36), (40, 100)]
    return try images
      + sizes.enumerated().map { index, size in
        let path = folder.path + "/wide\(index).png"
        var image = Image(width: size.0, height: size.1)
        for byte in image.pixels.indices { image.pixels[byte] = UInt8(byte * 7 % 251) }
        try ImageFile.write(image, to: path)
        let label = Label(classIndex: 0, cx: 0.5, cy: 0.5, w: 0.6, h: 0.8)
        return LabelledImage(path: path, width: size.0, height: size.1, labels: [label])
      }
  }

  @Test func rectangularBatches() throws {
    var options = options(.none)
    options.imageSize = 96
    options.batchSize = 2
    options.isRectangular = true
    let loader = try TrainingLoader(images: mixedShapes(), options: options)
    let batches = try take(10, loader.batches(fromEpoch: 0))
    // By aspect ratio: two wide ones, six square ones, a square one with a high one. No margin, whole strides.
    #expect(batches[..<5].map(\.height) == [64, 96, 96, 96, 96] && batches[..<5].allSatisfy { $0.width == 96 })
    #expect(Array(batches[5...]) == Array(batches[..<5]))
    let first = try #require(loader.images.first { $0.path == batches[0].paths[0] })
    let fitted = try ImageFile.read(first.path).fitted(longSide: 96, isTraining: true)
    let letterbox = Letterbox(width: fitted.width, height: fitted.height, intoWidth: 96, height: 64)
    #expect(Array(batches[0].images[..<(96 * 64 * 3)]) == fitted.letterboxed(letterbox).pixels)
    let target = try #require(batches[0].targets.first)
    #expect(abs(target.box.w - 0.6) < 0.01 && abs(target.box.h - 0.8 * Float(fitted.height) / 64) < 0.01)
    #expect(abs(target.box.cx - 0.5) < 0.01 && abs(target.box.cy - 0.5) < 0.01)

    // Varied, every step runs on rectangles: pixels stay in their lines, boxes in their images.
    options.augmentation = Augmentation()
    options.augmentation.flipUpDown = 0.5
    options.augmentation.degrees = 10
    let varied = try TrainingLoader(images: mixedShapes(), options: options)
    for batch in try take(10, varied.batches(fromEpoch: 0)) {
      #expect(batch.targets.allSatisfy { $0.box.cx - $0.box.w / 2 >= -1e-5 && $0.box.cy + $0.box.h / 2 <= 1 + 1e-5 })
    }
    #expect(try varied.batch(epoch: 0, index: 0) != varied.batch(epoch: 1, index: 0))
  }

  @Test func rectangularFlipsMirror() throws {
    var options = options(.none)
    options.imageSize = 96
    options.batchSize = 1
    options.isRectangular = true
    let plain = try TrainingLoader(images: mixedShapes(), options: options).batch(epoch: 0, index: 0)
    options.augmentation.flipLeftRight = 1
    options.augmentation.flipUpDown = 1
    let flipped = try TrainingLoader(images: mixedShapes(), options: options).batch(epoch: 0, index: 0)
    #expect(plain.height == 64 && plain.width == 96)
    for pixel in 0..<(64 * 96) {
      let other = 64 * 96 - 1 - pixel
      #expect(flipped.images[(pixel * 3)..<(pixel * 3 + 3)] == plain.images[(other * 3)..<(other * 3 + 3)])
    }
  }

  @Test func sizesVaryFromBatchToBatch() throws {
    var square = options()
    square.imageSize = 128
    var varied = square
    varied.isMultiScale = true
    let (plain, scaled) = (
      TrainingLoader(images: images, options: square), TrainingLoader(images: images, options: varied)
    )
    let batches = try take(60, scaled.batches(fromEpoch: 0))
    let sides = Set(batches.map(\.height))
    // randrange(64, 224) // 32 · 32
    #expect(sides == [64, 96, 128, 160, 192] && batches.allSatisfy { $0.height == $0.width })
    for (index, batch) in batches.prefix(6).enumerated() {
      let original = try plain.batch(epoch: index / 3, index: index % 3)
      #expect(batch.targets == original.targets && batch.paths == original.paths)
      let bytes = 128 * 128 * 3
      let image = Image(width: 128, height: 128, pixels: Array(original.images[..<bytes]))
      let expected = image.resized(width: batch.width, height: batch.height, by: .bilinear).pixels
      #expect(batch.images.starts(with: expected) && batch.images.count == batch.count * expected.count)
    }
    varied.workers = 3
    #expect(try take(6, TrainingLoader(images: images, options: varied).batches(fromEpoch: 0)) == Array(batches[..<6]))
    // Rectangles keep their shape as far as strides allow: 96 × 64 at 3/2 is 144 × 96, rounded up to 160 × 96.
    #expect(
      scaled.drawnShape(BatchShape(height: 64, width: 128), epoch: 0, index: 0).width == batches[0].width)
    varied.imageSize = 32
    let tiny = TrainingLoader(images: images, options: varied)
    #expect(
      (0..<20).allSatisfy {
        [32, 64].contains(tiny.drawnShape(BatchShape(height: 32, width: 32), epoch: 0, index: $0).height)
      })
  }

  @Test func weightedDraws() throws {
    let loader = TrainingLoader(images: images, options: options())
    let weights = [0, 1, 0, 3, 0, 0, 4.0]
    var counts = Array(repeating: 0, count: 7)
    for epoch in 0..<400 { for index in loader.drawnOrder(epoch: epoch, weights: weights) { counts[index] += 1 } }
    #expect([0, 2, 4, 5].allSatisfy { counts[$0] == 0 })
    for (index, expected) in [(1, 350.0), (3, 1050), (6, 1400)] {
      // Four standard deviations of a binomial draw.
      #expect(abs(Double(counts[index]) - expected) < 4 * (expected * (1 - expected / 2800)).squareRoot())
    }
    #expect(loader.drawnOrder(epoch: 1, weights: weights) == loader.drawnOrder(epoch: 1, weights: weights))
    #expect(loader.drawnOrder(epoch: 1, weights: weights) != loader.drawnOrder(epoch: 2, weights: weights))

    let stream = loader.batches(ofEpoch: 3, weights: weights)
    let batches = try take(3, stream)
    #expect(try stream.next() == nil)
    let drawn = loader.drawnOrder(epoch: 3, weights: weights).map { images[$0].path }
    #expect(batches.flatMap(\.paths) == drawn && batches.map(\.count) == [3, 3, 1])
    var crowded = options(workers: 3)
    crowded.queuedBatches = 2
    #expect(
      try take(3, TrainingLoader(images: images, options: crowded).batches(ofEpoch: 3, weights: weights)) == batches)
    // The same image twice is not the same twice.
    var only = Array(repeating: 0.0, count: 7)
    only[2] = 1
    let repeated = try take(1, loader.batches(ofEpoch: 0, weights: only))[0]
    let bytes = 48 * 48 * 3
    #expect(repeated.images[..<bytes] != repeated.images[bytes..<(2 * bytes)])
    // Nothing to go by: as without weights.
    #expect(Set(loader.drawnOrder(epoch: 0, weights: only.map { _ in 0 })).count == 7)
  }

  @Test func imageWeightsFollowRareAndMissedClasses() {
    func image(_ classes: [Int]) -> LabelledImage {
      LabelledImage(
        path: "", width: 64, height: 64,
        labels: classes.map { Label(classIndex: $0, cx: 0.5, cy: 0.5, w: 0.1, h: 0.1) })
    }
    // Boxes: 4 of class 0, 1 of class 1, none of class 2.
    let weights = ImageWeights([image([0, 0, 0]), image([0, 1]), image([])], classCount: 3)
    // 1/4, 1, 1 over their sum.
    #expect(weights.classWeights.map { ($0 * 9).rounded() } == [1, 4, 4])
    let fresh = weights.weights(averagePrecisions: [0, 0, 0])
    let later = weights.weights(averagePrecisions: [0.5, 0.9, 0])
    for (value, expected) in zip(fresh + later, [3.0 / 9, 5.0 / 9, 0, 0.75 / 9, 0.25 / 9 + 0.04 / 9, 0]) {
      #expect(abs(value - expected) < 1e-12)
    }
  }

  @Test func anUnreadableImageEndsTheStream() throws {
    try FileManager.default.removeItem(atPath: images[4].path)
    let stream = TrainingLoader(images: images, options: options(workers: 2)).batches(fromEpoch: 0)
    let error = #expect(throws: DatasetError.self) { while try stream.next() != nil {} }
    #expect(error?.message.hasPrefix(images[4].path) == true)
    #expect(try stream.next() == nil)
  }

  @Test func stoppedStreamsGiveNothingMore() throws {
    let loader = TrainingLoader(images: images, options: options(workers: 2))
    let stream = loader.batches(fromEpoch: 0)
    _ = try stream.next()
    stream.stop()
    #expect(try stream.next() == nil)
    // A stopped one does not hinder another.
    #expect(try loader.batches(fromEpoch: 0).next() != nil)
  }
}
