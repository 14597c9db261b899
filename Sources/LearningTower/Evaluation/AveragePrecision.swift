/// Precision, recall and average precision per class and overall: YOLOv5 v7.0's `ap_per_class`.
public struct DetectionMetrics: Sendable, Hashable, Codable {
  public struct PerClass: Sendable, Hashable, Codable {
    public var classIndex: Int
    /// Labelled objects.
    public var labelCount: Int
    /// At the confidence where the mean F1 over classes is best.
    public var precision: Double
    public var recall: Double
    public var f1: Double
    /// At each IoU threshold.
    public var averagePrecision: [Double]

    public var map50: Double { averagePrecision.first ?? 0 }
    public var map50_95: Double { mean(averagePrecision) }
  }

  /// Classes that have labels, in order.
  public var perClass: [PerClass]
  public var imageCount: Int
  /// The confidence at which precision, recall and F1 are taken.
  public var bestConfidence: Double

  public var labelCount: Int { perClass.reduce(0) { $0 + $1.labelCount } }
  public var precision: Double { mean(perClass.map(\.precision)) }
  public var recall: Double { mean(perClass.map(\.recall)) }
  public var f1: Double { mean(perClass.map(\.f1)) }
  public var map50: Double { mean(perClass.map(\.map50)) }
  public var map50_95: Double { mean(perClass.map(\.map50_95)) }
  /// The figure by which the best epoch is chosen.
  public var fitness: Double { 0.1 * map50 + 0.9 * map50_95 }
}

/// Collects, image by image, which detections were correct, and draws the curves at the end.
public struct AveragePrecision: Sendable {
  private let thresholdCount: Int
  private var confidences: [Float] = []
  private var classes: [Int] = []
  /// `detections × thresholds`
  private var correct: [Bool] = []
  /// Labelled objects of each class.
  private var labelCounts: [Int: Int] = [:]
  private var imageCount = 0

  public init(thresholdCount: Int = DetectionMatching.iouThresholds.count) { self.thresholdCount = thresholdCount }

  /// - Parameters:
  ///   - confidences, classes: one per detection.
  ///   - correct: `detections × thresholds`, from `DetectionMatching`.
  ///   - labelClasses: one per labelled object.
  public mutating func addImage(confidences: [Float], classes: [Int], correct: [Bool], labelClasses: [Int]) {
    precondition(
      classes.count == confidences.count && correct.count == confidences.count * thresholdCount,
      "\(correct.count) hits for \(confidences.count) detections")
    self.confidences += confidences
    self.classes += classes
    self.correct += correct
    for classIndex in labelClasses { labelCounts[classIndex, default: 0] += 1 }
    imageCount += 1
  }

  /// - Parameter smoothing: the share of the confidence axis over which F1 is averaged before its maximum is sought
  ///   (v7.0; 0 is v6.1's behaviour).
  public func metrics(smoothing: Double = 0.1) -> DetectionMetrics {
    DetectionMetrics(curves(), imageCount: imageCount, smoothing: smoothing)
  }

  /// Returns the curves of each class that has labels, in order.
  public func curves() -> [DetectionCurves] {
    let order = confidences.indices.sorted {
      confidences[$0] == confidences[$1] ? $0 < $1 : confidences[$0] > confidences[$1]
    }
    var byClass: [Int: [Int]] = [:]
    // YOLOv5 reports nothing if nothing is correct, rather than a precision of what was not found.
    if correct.contains(true) {
      for index in order { byClass[classes[index], default: []].append(index) }
    }
    return labelCounts.sorted { $0.key < $1.key }.map { classIndex, labelCount in
      let own = byClass[classIndex] ?? []
      return DetectionCurves(
        classIndex: classIndex, labelCount: labelCount, confidences: own.map { confidences[$0] },
        correct: own.flatMap { correct[$0 * thresholdCount..<($0 + 1) * thresholdCount] },
        thresholdCount: thresholdCount)
    }
  }
}

extension DetectionMetrics {
  /// - Parameter curves: of the classes that have labels.
  public init(_ curves: [DetectionCurves], imageCount: Int, smoothing: Double = 0.1) {
    let best = DetectionCurves.bestPoint(curves, smoothing: smoothing)
    self.imageCount = imageCount
    bestConfidence = DetectionCurves.position(best)
    perClass = curves.map { curves in
      PerClass(
        classIndex: curves.classIndex, labelCount: curves.labelCount, precision: curves.precision[best],
        recall: curves.recall[best], f1: curves.f1(best), averagePrecision: curves.averagePrecision)
    }
  }
}

func mean(_ values: [Double]) -> Double { values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count) }
