import Detection
import Geometry

/// Which class was taken for which. Matching is blind to classes, by falling overlap as in YOLOv5.
///
/// Unlike YOLOv5's, this counts every false positive: also those in images in which nothing matches, or nothing is
/// labelled. And an object whose best detection overlaps another one more goes on to its next best, rather than
/// counting as missed.
public struct ConfusionMatrix: Sendable, Hashable, Codable {
  public let classCount: Int
  /// `(classes + 1) × (classes + 1)`, row-major: rows are predicted classes, columns true ones, the last of each is the
  /// background.
  public private(set) var counts: [Int]
  public let confidenceThreshold: Float
  public let iouThreshold: Float

  public init(classCount: Int, confidenceThreshold: Float = 0.25, iouThreshold: Float = 0.45) {
    self.classCount = classCount
    self.confidenceThreshold = confidenceThreshold
    self.iouThreshold = iouThreshold
    counts = Array(repeating: 0, count: (classCount + 1) * (classCount + 1))
  }

  public subscript(predicted predicted: Int, true truth: Int) -> Int { counts[predicted * (classCount + 1) + truth] }

  public mutating func addImage(_ detections: [Detection], _ truths: [GroundTruth]) {
    let confident = detections.filter { $0.confidence > confidenceThreshold }
    let matches = matches(confident, truths)
    var isMatched = Array(repeating: false, count: confident.count)
    for (truth, detection) in zip(truths, matches) {
      count(predicted: detection.map { confident[$0].classIndex } ?? classCount, true: truth.classIndex)
      if let detection { isMatched[detection] = true }
    }
    for (detection, isMatched) in zip(confident, isMatched) where !isMatched {
      count(predicted: detection.classIndex, true: classCount)
    }
  }

  private struct Pair {
    var truth: Int
    var detection: Int
    var iou: Float
    /// The order among equal overlaps: pairs of one class come first, then earlier objects, then earlier detections.
    var rank: Int
  }

  /// For each object its detection: pairs are taken by falling overlap.
  private func matches(_ detections: [Detection], _ truths: [GroundTruth]) -> [Int?] {
    var pairs: [Pair] = []
    for (truthIndex, truth) in truths.enumerated() {
      for (index, detection) in detections.enumerated() {
        let iou = truth.box.iou(detection.box)
        guard iou > iouThreshold else { continue }
        let isSameClass = truth.classIndex == detection.classIndex
        let rank = pairs.count + (isSameClass ? 0 : truths.count * detections.count)
        pairs.append(Pair(truth: truthIndex, detection: index, iou: iou, rank: rank))
      }
    }
    pairs.sort { $0.iou == $1.iou ? $0.rank < $1.rank : $0.iou > $1.iou }
    var matches = [Int?](repeating: nil, count: truths.count)
    var isTaken = Array(repeating: false, count: detections.count)
    for pair in pairs where matches[pair.truth] == nil && !isTaken[pair.detection] {
      matches[pair.truth] = pair.detection
      isTaken[pair.detection] = true
    }
    return matches
  }

  private mutating func count(predicted: Int, true truth: Int) { counts[predicted * (classCount + 1) + truth] += 1 }
}
