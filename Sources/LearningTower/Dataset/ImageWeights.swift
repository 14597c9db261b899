/// How often each image of a training split is drawn, from how well its classes are found (YOLOv5's `--image-weights`).
public struct ImageWeights: Sendable, Hashable {
  /// `[image]`: class → boxes of it.
  private let boxCounts: [[Int: Int]]
  /// `[class]`: inverse of the number of boxes, scaled to a sum of 1; a class without boxes counts as one box.
  public let classWeights: [Double]

  public init(_ images: [LabelledImage], classCount: Int) {
    boxCounts = images.map { image in
      Dictionary(image.labels.map { ($0.classIndex, 1) }, uniquingKeysWith: +)
    }
    let totals = DatasetContents(images: images).boxCounts(classCount: classCount)
    let inverses = totals.map { 1 / Double(max($0, 1)) }
    let sum = inverses.reduce(0, +)
    classWeights = inverses.map { $0 / sum }
  }

  /// `Σ over boxes of classWeight · (1 − AP)²`: rare classes and badly found ones weigh most, images without a box
  /// nothing.
  /// - Parameter averagePrecisions: mAP50-95 of each class in the last validation; zeros before the first.
  public func weights(averagePrecisions: [Double]) -> [Double] {
    let byClass = zip(classWeights, averagePrecisions).map { $0 * (1 - $1) * (1 - $1) }
    return boxCounts.map { counts in
      counts.sorted { $0.key < $1.key }.reduce(0) { $0 + Double($1.value) * byClass[$1.key] }
    }
  }
}
