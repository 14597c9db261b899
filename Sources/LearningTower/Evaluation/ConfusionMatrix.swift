import Detection

/// Which class was taken for which, as YOLOv5 counts it: matching is blind to classes.
///
/// As in YOLOv5, false positives count only in images in which anything matches at all.
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
    guard isMatched.contains(true) else { return }
    for (detection, isMatched) in zip(confident, isMatched) where !isMatched {
      count(predicted: detection.classIndex, true: classCount)
    }
  }

  /// For each object the detection that overlaps it most among those that overlap no other object more.
  private func matches(_ detections: [Detection], _ truths: [GroundTruth]) -> [Int?] {
    var best: [(detection: Int, iou: Float)?] = Array(repeating: nil, count: truths.count)
    for (index, detection) in detections.enumerated() {
      var choice: (truth: Int, iou: Float)?
      for (truthIndex, truth) in truths.enumerated() {
        let iou = truth.box.iou(detection.box)
        if iou > iouThreshold, iou > choice?.iou ?? 0 { choice = (truthIndex, iou) }
      }
      if let choice, choice.iou > best[choice.truth]?.iou ?? 0 { best[choice.truth] = (index, choice.iou) }
    }
    return best.map { $0?.detection }
  }

  private mutating func count(predicted: Int, true truth: Int) { counts[predicted * (classCount + 1) + truth] += 1 }
}
