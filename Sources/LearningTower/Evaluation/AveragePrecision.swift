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

  public var labelCount: Int { perClass.reduce(0) { $0 + $1.labelCount } }
  public var precision: Double { mean(perClass.map(\.precision)) }
  public var recall: Double { mean(perClass.map(\.recall)) }
  public var map50: Double { mean(perClass.map(\.map50)) }
  public var map50_95: Double { mean(perClass.map(\.map50_95)) }
  /// What the best epoch is chosen by.
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
    let order = confidences.indices.sorted {
      confidences[$0] == confidences[$1] ? $0 < $1 : confidences[$0] > confidences[$1]
    }
    var byClass: [Int: [Int]] = [:]
    for index in order { byClass[classes[index], default: []].append(index) }

    var curves = labelCounts.sorted { $0.key < $1.key }.map { classIndex, labelCount in
      ClassCurves(classIndex, labelCount, byClass[classIndex] ?? [], confidences, correct, thresholdCount)
    }
    if !correct.contains(true) {  // YOLOv5 reports nothing then, rather than a precision of what was not found.
      curves = curves.map { ClassCurves($0.classIndex, $0.labelCount, [], [], [], thresholdCount) }
    }
    let best = bestPoint(curves, smoothing: smoothing)
    return DetectionMetrics(
      perClass: curves.map { curves in
        DetectionMetrics.PerClass(
          classIndex: curves.classIndex, labelCount: curves.labelCount, precision: curves.precision[best],
          recall: curves.recall[best], f1: curves.f1[best], averagePrecision: curves.averagePrecision)
      }, imageCount: imageCount)
  }

  /// Area under the precision envelope at 101 points (COCO's way), by the trapezoid rule as YOLOv5 does.
  /// - Parameters: in order of falling confidence.
  public static func area(recall: [Double], precision: [Double]) -> Double {
    let recall = [0] + recall + [1]
    var envelope = [1] + precision + [0]
    for index in envelope.indices.dropLast().reversed() { envelope[index] = max(envelope[index], envelope[index + 1]) }
    let points = 101
    var area = 0.0
    var previous = 0.0
    for point in 0..<points {
      let x = Double(point) / Double(points - 1)
      let y = interpolate(x, recall, envelope, left: envelope[0])
      if point > 0 { area += (previous + y) / 2 / Double(points - 1) }
      previous = y
    }
    return area
  }
}

/// The points of the confidence axis at which precision and recall are drawn: 0, 1/999 … 1.
private let confidencePoints = 1000

private struct ClassCurves {
  var classIndex: Int
  var labelCount: Int
  var precision: [Double]
  var recall: [Double]
  var averagePrecision: [Double]

  var f1: [Double] { zip(precision, recall).map { 2 * $0 * $1 / ($0 + $1 + 1e-16) } }

  /// - Parameter order: this class' detections, most confident first.
  init(
    _ classIndex: Int, _ labelCount: Int, _ order: [Int], _ confidences: [Float], _ correct: [Bool],
    _ thresholdCount: Int
  ) {
    self.classIndex = classIndex
    self.labelCount = labelCount
    precision = Array(repeating: 0, count: confidencePoints)
    recall = precision
    averagePrecision = Array(repeating: 0, count: thresholdCount)
    guard !order.isEmpty else { return }
    let falling = order.map { -Double(confidences[$0]) }
    for threshold in 0..<thresholdCount {
      var hits = 0
      var recalls: [Double] = []
      var precisions: [Double] = []
      for (seen, index) in order.enumerated() {
        if correct[index * thresholdCount + threshold] { hits += 1 }
        recalls.append(Double(hits) / Double(labelCount))
        precisions.append(Double(hits) / Double(seen + 1))
      }
      averagePrecision[threshold] = AveragePrecision.area(recall: recalls, precision: precisions)
      guard threshold == 0 else { continue }
      for point in 0..<confidencePoints {
        let x = -Double(point) / Double(confidencePoints - 1)
        recall[point] = interpolate(x, falling, recalls, left: 0)
        precision[point] = interpolate(x, falling, precisions, left: 1)
      }
    }
  }
}

/// Where the mean F1 over the classes, hence its sum, is best.
private func bestPoint(_ curves: [ClassCurves], smoothing: Double) -> Int {
  var f1 = Array(repeating: 0.0, count: confidencePoints)
  for curves in curves {
    for (point, value) in curves.f1.enumerated() { f1[point] += value }
  }
  if smoothing > 0 { f1 = smoothed(f1, share: smoothing) }
  return f1.indices.max { f1[$0] < f1[$1] || (f1[$0] == f1[$1] && $0 > $1) } ?? 0
}

/// A running mean over an odd number of points, the ends going on as they are (v7.0's `smooth`).
private func smoothed(_ values: [Double], share: Double) -> [Double] {
  let width = Int((Double(values.count) * share * 2).rounded(.toNearestOrEven)) / 2 + 1
  let half = width / 2
  return values.indices.map { centre in
    var sum = 0.0
    for index in centre - half..<centre - half + width { sum += values[min(max(index, 0), values.count - 1)] }
    return sum / Double(width)
  }
}

/// Piecewise linear through `(xs, ys)`, `xs` never falling; where values repeat, the last one counts (NumPy's
/// `interp`).
private func interpolate(_ x: Double, _ xs: [Double], _ ys: [Double], left: Double) -> Double {
  var low = 0
  var high = xs.count
  while low < high {
    let middle = (low + high) / 2
    if xs[middle] <= x { low = middle + 1 } else { high = middle }
  }
  guard low > 0 else { return left }
  let index = low - 1
  guard low < xs.count, xs[index] != x else { return ys[index] }
  return (ys[low] - ys[index]) / (xs[low] - xs[index]) * (x - xs[index]) + ys[index]
}

private func mean(_ values: [Double]) -> Double {
  values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
}
