import Detection
import Geometry

/// An object as the data set labels it, in the pixels the detections are in.
public struct GroundTruth: Sendable, Hashable {
  public var box: PixelBox
  public var classIndex: Int

  public init(box: PixelBox, classIndex: Int) {
    self.box = box
    self.classIndex = classIndex
  }
}

/// Which detections of an image hit a labelled object.
public enum DetectionMatching {
  /// The thresholds over which mAP50-95 is the mean, each the `Float` nearest to its decimal.
  public static let iouThresholds: [Float] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]

  /// As YOLOv5 v7.0's `process_batch`, each threshold for itself: a detection goes for the object of its class that it
  /// overlaps most, if by the threshold at least; an object counts for the most confident detection that goes for it.
  /// - Parameter detections: most confident first.
  /// - Returns: `detections × thresholds`, row-major.
  public static func correct(
    _ detections: [Detection], _ truths: [GroundTruth], thresholds: [Float] = iouThresholds
  ) -> [Bool] {
    var correct = Array(repeating: false, count: detections.count * thresholds.count)
    let choices = detections.map { detection in bestTruth(detection, truths) }
    var isTaken: [Bool] = []
    for (column, threshold) in thresholds.enumerated() {
      isTaken.removeAll(keepingCapacity: true)
      isTaken.append(contentsOf: repeatElement(false, count: truths.count))
      for (row, choice) in choices.enumerated() {
        guard let choice, choice.iou >= threshold, !isTaken[choice.truth] else { continue }
        isTaken[choice.truth] = true
        correct[row * thresholds.count + column] = true
      }
    }
    return correct
  }

  private static func bestTruth(_ detection: Detection, _ truths: [GroundTruth]) -> (truth: Int, iou: Float)? {
    var best: (truth: Int, iou: Float)?
    for (index, truth) in truths.enumerated() where truth.classIndex == detection.classIndex {
      let iou = truth.box.iou(detection.box)
      if iou > best?.iou ?? 0 { best = (index, iou) }
    }
    return best
  }
}
