import Compute
import Dataset
import Foundation
import Network
import Training

/// A network of five convolutions and a data set of a few drawn rectangles: whole runs take a second.
struct TinyRun {
  static let classNames = ["bright", "dark"]

  let folder: URL
  let data: TrainingData

  /// - Parameter count: images of the training split; the validation split has half as many.
  init(images count: Int = 10) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "tiny-\(UUID().uuidString)")
    self.folder = folder
    func images(_ split: String, _ count: Int) throws -> [LabelledImage] {
      let place = folder.appending(path: split)
      try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
      return try (0..<count).map { try Self.draw($0, into: place.appending(path: "\($0).png").path) }
    }
    data = TrainingData(
      training: try images("train", count), validation: try images("val", max(count / 2, 1)),
      classNames: Self.classNames)
  }

  func remove() { try? FileManager.default.removeItem(at: folder) }

  static func configuration(epochs: Int = 4) -> TrainingConfiguration {
    var configuration = TrainingConfiguration(epochs: epochs, batchSize: 4, imageSize: 64, seed: 7)
    configuration.fitsAnchors = false
    return configuration
  }

  func start(_ configuration: TrainingConfiguration, backend: Runtime.Backend) throws -> Trainer {
    let network = Self.network
    return try Trainer(
      starting: network, network.initialParameters(seed: configuration.seed), data: data,
      configuration: configuration, runtime: Runtime(backend: backend, threads: 2))
  }

  static let network: Network = {
    var builder = NetworkBuilder()
    var node = 0
    var levels: [Int] = []
    for (index, channels) in [8, 8, 12, 16, 16].enumerated() {
      let path = "model.\(index)"
      builder.module(path, "Conv")
      node = builder.convolution("\(path).conv", of: node, to: channels, kernel: 3, stride: 2)
      node = builder.batchNorm("\(path).bn", of: node)
      node = builder.activation("\(path).act", .silu, of: node)
      if index >= 2 { levels.append(node) }
    }
    let anchors = [[8, 12, 16], [24, 32, 40], [48, 56, 64]].map { sides in
      sides.map { Anchor(width: Float($0), height: Float($0)) }
    }
    return builder.network(
      name: "tiny", detectPath: "model.5", levels: levels, classCount: classNames.count, anchors: anchors,
      strides: [8, 16, 32])
  }()

  /// One bright and one dark rectangle on grey, where and how large depending on the number.
  private static func draw(_ number: Int, into path: String) throws -> LabelledImage {
    let side = 80
    var image = Image(width: side, height: side)
    var labels: [Label] = []
    for classIndex in 0..<2 {
      let (width, height) = (16 + number * 7 % 20, 14 + number * 5 % 22)
      let (x, y) = (4 + number * 11 % (side / 2 - 8), 2 + classIndex * side / 2)
      for row in y..<min(y + height, side) {
        for column in x..<min(x + width, side) {
          for channel in 0..<3 { image.pixels[(row * side + column) * 3 + channel] = classIndex == 0 ? 240 : 20 }
        }
      }
      let shown = Float(min(height, side - y))
      labels.append(
        Label(
          classIndex: classIndex, cx: (Float(x) + Float(width) / 2) / Float(side),
          cy: (Float(y) + shown / 2) / Float(side), w: Float(width) / Float(side), h: shown / Float(side)))
    }
    try ImageFile.write(image, to: path)
    return LabelledImage(path: path, width: side, height: side, labels: labels)
  }
}
