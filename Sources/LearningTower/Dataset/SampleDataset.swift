import Foundation
import Randomness
import YAML

/// A generated data set that needs learning: shapes of several classes, sizes, colours and patterns, turned, in front
/// of one another, on textured ground under uneven light. The same parameters give the same files.
public struct SampleDataset: Sendable, Hashable {
  public var trainCount = 240
  public var valCount = 60
  /// Longer side of the images, pixels; at least 32.
  public var imageSize = 224
  /// 1 … `maximumClassCount`
  public var classCount = 4
  public var seed: UInt64 = 0

  public static var maximumClassCount: Int { SampleShape.allCases.count }

  public init() {}

  /// Writes `images/{train,val}`, `labels/{train,val}` and `data.yaml` into a folder, which is made.
  /// - Returns: the path of `data.yaml`.
  /// - Throws: `DatasetError` if a parameter makes no sense, the folder already has a `data.yaml`, `images` or
  ///   `labels`, or a file cannot be written.
  @discardableResult
  public func write(to folder: String) throws(DatasetError) -> String {
    guard (1...Self.maximumClassCount).contains(classCount) else {
      throw DatasetError("a sample data set has 1 to \(Self.maximumClassCount) classes, not \(classCount)")
    }
    guard (32...4096).contains(imageSize) else {
      throw DatasetError("images of a sample data set have 32 to 4096 pixels, not \(imageSize)")
    }
    guard (1...999_999).contains(trainCount), (1...999_999).contains(valCount) else {
      throw DatasetError("a sample data set has 1 to 999999 images in each split, not \(trainCount) and \(valCount)")
    }
    let description = folder + "/data.yaml"
    guard !FileManager.default.fileExists(atPath: description) else {
      throw DatasetError("\(description): already there; choose another folder")
    }
    for name in ["images", "labels"] where FileManager.default.fileExists(atPath: "\(folder)/\(name)") {
      throw DatasetError(
        "\(folder)/\(name): already there, and may hold a data set; remove it or choose another folder")
    }
    for (split, count) in [(DatasetDescription.Split.train, trainCount), (.val, valCount)] {
      try createFolder("\(folder)/images/\(split.rawValue)")
      try createFolder("\(folder)/labels/\(split.rawValue)")
      for index in 0..<count {
        let (image, labels) = example(split, index)
        let number = String(index)
        let name = String(repeating: "0", count: 6 - number.count) + number
        try writeFile(JPEG.encode(image, quality: 90), to: "\(folder)/images/\(split.rawValue)/\(name).jpg")
        try writeFile(Array(labels.map(\.row).joined().utf8), to: "\(folder)/labels/\(split.rawValue)/\(name).txt")
      }
    }
    // Last, so that a folder with it is whole.
    try writeFile(Array(yaml.utf8), to: description)
    return description
  }

  public var classNames: [String] { SampleShape.allCases.prefix(classCount).map(\.rawValue) }

  private var yaml: String {
    YAMLValue.mapping([
      .init("path", "."), .init("train", "images/train"), .init("val", "images/val"), .init("nc", .int(classCount)),
      .init("names", .sequence(classNames.map { .string($0) })),
    ]).yamlText
  }

  /// One image with its labels; a function of the parameters, the split and the index.
  func example(_ split: DatasetDescription.Split, _ index: Int) -> (image: Image, labels: [Label]) {
    var generator = SplitMix64(seed: seed, split == .train ? 1 : 2, index)
    let aspects = [1.0, 0.75, 4.0 / 3]
    let aspect = aspects[generator.index(below: aspects.count)]
    let width = aspect >= 1 ? imageSize : Int(Double(imageSize) * aspect)
    let height = aspect <= 1 ? imageSize : Int(Double(imageSize) / aspect)
    var scene = SampleScene(width: width, height: height, &generator)
    let objects = 1 + generator.index(below: 5)
    for _ in 0..<objects {
      let classIndex = generator.index(below: classCount)
      scene.place(SampleShape.allCases[classIndex], classIndex: classIndex, &generator)
    }
    scene.addClutter(&generator)
    return (scene.developed(&generator), scene.labels)
  }
}
