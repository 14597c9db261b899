/// How the detections of one class do at every confidence and every recall. The curves are those of the first IoU
/// threshold, drawn as YOLOv5's `ap_per_class` draws them.
public struct DetectionCurves: Sendable, Hashable, Codable {
  /// The points of each curve lie at 0, 1/999 … 1.
  public static let pointCount = 1000

  public var classIndex: Int
  /// Labelled objects.
  public var labelCount: Int
  /// The precision of the detections that are at least that confident.
  public var precision: [Double]
  public var recall: [Double]
  /// The best precision at that recall or a higher one.
  public var precisionAtRecall: [Double]
  /// At each IoU threshold.
  public var averagePrecision: [Double]

  /// Where on its axis a point lies.
  public static func position(_ point: Int) -> Double { Double(point) / Double(pointCount - 1) }

  public func f1(_ point: Int) -> Double {
    2 * precision[point] * recall[point] / (precision[point] + recall[point] + 1e-16)
  }

  /// - Parameters:
  ///   - confidences: falling.
  ///   - correct: `detections × thresholds`.
  init(classIndex: Int, labelCount: Int, confidences: [Float], correct: [Bool], thresholdCount: Int) {
    self.classIndex = classIndex
    self.labelCount = labelCount
    precision = Array(repeating: 0, count: Self.pointCount)
    recall = precision
    precisionAtRecall = precision
    averagePrecision = Array(repeating: 0, count: thresholdCount)
    guard !confidences.isEmpty else { return }
    let falling = confidences.map { -Double($0) }
    for threshold in 0..<thresholdCount {
      var hits = 0
      var recalls: [Double] = []
      var precisions: [Double] = []
      for seen in confidences.indices {
        if correct[seen * thresholdCount + threshold] { hits += 1 }
        recalls.append(Double(hits) / Double(labelCount))
        precisions.append(Double(hits) / Double(seen + 1))
      }
      averagePrecision[threshold] = AveragePrecision.area(recall: recalls, precision: precisions)
      guard threshold == 0 else { continue }
      let envelope = PrecisionEnvelope(recall: recalls, precision: precisions)
      for point in 0..<Self.pointCount {
        let x = Self.position(point)
        recall[point] = interpolate(-x, falling, recalls, left: 0)
        precision[point] = interpolate(-x, falling, precisions, left: 1)
        precisionAtRecall[point] = envelope.precision(atRecall: x)
      }
    }
  }
}

extension DetectionCurves {
  /// Where the mean F1 over the classes, hence its sum, is best.
  static func bestPoint(_ curves: [DetectionCurves], smoothing: Double) -> Int {
    var f1 = Array(repeating: 0.0, count: pointCount)
    for curves in curves {
      for point in 0..<pointCount { f1[point] += curves.f1(point) }
    }
    if smoothing > 0 { f1 = smoothed(f1, share: smoothing) }
    return f1.indices.max { f1[$0] < f1[$1] || (f1[$0] == f1[$1] && $0 > $1) } ?? 0
  }
}

extension AveragePrecision {
  /// Area under the precision envelope at 101 points (COCO's way), by the trapezoid rule as YOLOv5 does.
  /// - Parameters: in order of falling confidence.
  public static func area(recall: [Double], precision: [Double]) -> Double {
    let envelope = PrecisionEnvelope(recall: recall, precision: precision)
    let points = 101
    var area = 0.0
    var previous = 0.0
    for point in 0..<points {
      let y = envelope.precision(atRecall: Double(point) / Double(points - 1))
      if point > 0 { area += (previous + y) / 2 / Double(points - 1) }
      previous = y
    }
    return area
  }
}

/// Precision as a falling function of recall, from (0, 1) to (1, 0).
private struct PrecisionEnvelope {
  private let recall: [Double]
  private let envelope: [Double]

  init(recall: [Double], precision: [Double]) {
    self.recall = [0] + recall + [1]
    var envelope = [1] + precision + [0]
    for index in envelope.indices.dropLast().reversed() { envelope[index] = max(envelope[index], envelope[index + 1]) }
    self.envelope = envelope
  }

  func precision(atRecall x: Double) -> Double { interpolate(x, recall, envelope, left: envelope[0]) }
}

/// A running mean over an odd number of points, the ends going on as they are (v7.0's `smooth`).
func smoothed(_ values: [Double], share: Double) -> [Double] {
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
