@testable import Dataset
import Foundation
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
        #expect(target.cx - target.w / 2 >= -1e-5 && target.cx + target.w / 2 <= 1 + 1e-5)
        #expect(target.cy - target.h / 2 >= -1e-5 && target.cy + target.h / 2 <= 1 + 1e-5)
        #expect(target.w * 48 > 2 - 2e-3 && target.h * 48 > 2 - 2e-3)
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
    let expected = (label.cx * Float(fitted.width) + Float(letterbox.padX)) / 48
    #expect(abs(target.cx - expected) < 1e-4)
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
        if leftRight == 1 { expected.targets[index].cx = 1 - expected.targets[index].cx }
        if upDown == 1 { expected.targets[index].cy = 1 - expected.targets[index].cy }
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
            let corners = SIMD4(
              (target.cx - target.w / 2) * width, (target.cy - target.h / 2) * height,
              (target.cx + target.w / 2) * width, (target.cy + target.h / 2) * height)
            let box = placement.original(corners: corners)
            let (imageWidth, imageHeight) = (Float(labelled.width), Float(labelled.height))
            #expect(abs((box.x + box.z) / 2 - label.cx * imageWidth) < 0.8)
            #expect(abs((box.y + box.w) / 2 - label.cy * imageHeight) < 0.8)
          }
        }
      }
      #expect(seen == loader.images.map(\.path) && Set(seen) == Set(images.map(\.path)))
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
