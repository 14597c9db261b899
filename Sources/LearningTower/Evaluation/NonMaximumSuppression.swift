import Detection
import Geometry

/// From thousands of overlapping predictions to one detection per object: YOLOv5's `non_max_suppression`, without its
/// limit on time.
public struct NonMaximumSuppression: Sendable, Hashable {
  /// Objectness, and objectness × class score, must lie above it.
  public var confidenceThreshold: Float
  /// A box is dropped if its IoU with a more confident kept one lies above it.
  public var iouThreshold: Float
  /// Every class above the threshold gives a detection of its own; otherwise only the best class does.
  public var isMultiLabel: Bool
  /// Boxes suppress each other across classes.
  public var isClassAgnostic: Bool
  /// The only classes to look for; nil: all.
  public var classes: Set<Int>?
  public var maximumDetections: Int
  /// Only so many of the most confident candidates are looked at.
  public var maximumCandidates: Int

  /// - Parameters: YOLOv5's settings for validation unless given.
  public init(
    confidenceThreshold: Float = 0.001, iouThreshold: Float = 0.6, isMultiLabel: Bool = true,
    isClassAgnostic: Bool = false, classes: Set<Int>? = nil, maximumDetections: Int = 300,
    maximumCandidates: Int = 30_000
  ) {
    self.confidenceThreshold = confidenceThreshold
    self.iouThreshold = iouThreshold
    self.isMultiLabel = isMultiLabel
    self.isClassAgnostic = isClassAgnostic
    self.classes = classes
    self.maximumDetections = maximumDetections
    self.maximumCandidates = maximumCandidates
  }

  /// YOLOv5's settings for `detect.py`.
  public static let detect = NonMaximumSuppression(
    confidenceThreshold: 0.25, iouThreshold: 0.45, isMultiLabel: false, maximumDetections: 1000)

  /// The detections of one image, most confident first; of equals the earlier row, then the lower class.
  public func callAsFunction(_ predictions: Predictions) -> [Detection] {
    let candidates = candidates(predictions)
    var keys = candidates.indices.map { sortingKey(candidates[$0].confidence, $0) }
    keys.sort()
    var kept: [Detection] = []
    // Kept boxes of each class in a row; all under one key if classes do not matter.
    var keptBoxes: [Int: [PixelBox]] = [:]
    for key in keys.prefix(maximumCandidates) where kept.count < maximumDetections {
      let candidate = candidates[Int(truncatingIfNeeded: key & 0xffff_ffff)]
      let group = isClassAgnostic ? 0 : candidate.classIndex
      if keptBoxes[group]?.contains(where: { $0.iou(candidate.box) > iouThreshold }) == true { continue }
      keptBoxes[group, default: []].append(candidate.box)
      kept.append(candidate)
    }
    return kept
  }

  private func candidates(_ predictions: Predictions) -> [Detection] {
    var candidates: [Detection] = []
    let values = predictions.values.span
    let classCount = predictions.classCount
    for row in 0..<predictions.rowCount {
      let start = row * predictions.valuesPerRow
      let objectness = values[start + 4]
      guard objectness > confidenceThreshold else { continue }
      let box = PixelBox(
        CenteredBox(cx: values[start], cy: values[start + 1], width: values[start + 2], height: values[start + 3]))
      var best = Detection(box: box, confidence: -1, classIndex: 0)
      for classIndex in 0..<classCount {
        let confidence = objectness * values[start + 5 + classIndex]
        if !isMultiLabel {
          if confidence > best.confidence { (best.confidence, best.classIndex) = (confidence, classIndex) }
        } else if confidence > confidenceThreshold, classes?.contains(classIndex) ?? true {
          candidates.append(Detection(box: box, confidence: confidence, classIndex: classIndex))
        }
      }
      if !isMultiLabel, best.confidence > confidenceThreshold, classes?.contains(best.classIndex) ?? true {
        candidates.append(best)
      }
    }
    return candidates
  }
}

/// Sorts by falling confidence, then rising index. Bits of positive floats rise with their values.
private func sortingKey(_ confidence: Float, _ index: Int) -> UInt64 {
  UInt64(~confidence.bitPattern) << 32 | UInt64(UInt32(truncatingIfNeeded: index))
}
