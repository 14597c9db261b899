public import Network

/// Pulls a student's raw head maps towards those of a teacher with the same head: a pruned network learns what its
/// unpruned parent says of every place of a picture, not only what the labels say.
///
/// Every value's loss is the binary cross entropy of the student's logit against the teacher's sigmoid; its gradient
/// vanishes where both agree. Objectness counts in all cells, as in the detection loss. Boxes and classes count by the
/// teacher's objectness, so that what it says of empty places does not drown the rest (Mehta and Ozturk, 2018).
public struct DistillationLoss: Sendable {
  private let detect: Detect
  private let gains: LossItems
  private let entropy = BinaryCrossEntropy(positiveWeight: 1, focalGamma: 0)
  /// Cells in which the teacher's objectness is lower are left out of boxes and classes.
  private static let leastObjectness: Float = 0.01

  public init(detect: Detect, hyperparameters: LossHyperparameters, imageSize: Int) {
    self.detect = detect
    gains = hyperparameters.gains(of: detect, imageSize: imageSize)
  }

  /// Adds one level's gradient to that of the detection loss.
  /// - Parameters:
  ///   - shape: `N × H × W × A × (5 + classes)`, the shape of both maps and of `gradient`.
  ///   - gradient: of `N ×` the loss by the student's raw map; added to.
  /// - Returns: the level's share of the loss.
  public func add(
    level: Int, shape: HeadShape, student: Span<Float>, teacher: Span<Float>, gradient: inout MutableSpan<Float>
  ) -> Double {
    precondition(
      student.count == shape.count && teacher.count == shape.count && gradient.count == shape.count,
      "level \(level): a head of another shape")
    let values = shape.valuesPerAnchor
    let weights = (0..<shape.cellCount).map { sigmoid(teacher[$0 * values + 4]) }
    let weightSum = Double(weights.reduce(0) { $1 < Self.leastObjectness ? $0 : $0 + $1 })
    let images = Float(shape.images)
    let objectness = Float(gains.objectness * detect.objectnessBalance[level] / Double(shape.cellCount))
    let box = weightSum > 0 ? Float(gains.box / (4 * weightSum)) : 0
    let classes = weightSum > 0 ? Float(gains.classification / (Double(max(values - 5, 1)) * weightSum)) : 0

    var sum = 0.0
    func add(_ start: Int, _ count: Int, _ scale: Float) {
      var logits = SIMD8<Float>()
      var targets = SIMD8<Float>()
      for lane in 0..<count {
        logits[lane] = student[start + lane]
        targets[lane] = sigmoid(teacher[start + lane])
      }
      let (loss, slope) = entropy(logits, target: targets)
      for lane in 0..<count {
        sum += Double(loss[lane] * scale)
        gradient[start + lane] += slope[lane] * scale * images
      }
    }
    for (cell, weight) in weights.enumerated() {
      let start = cell * values
      add(start + 4, 1, objectness)
      guard weight >= Self.leastObjectness else { continue }
      add(start, 4, box * weight)
      guard detect.classCount > 1 else { continue }
      for first in stride(from: 5, to: values, by: 8) {
        add(start + first, min(8, values - first), classes * weight)
      }
    }
    return sum
  }
}

private func sigmoid(_ x: Float) -> Float {
  let e = exponential(SIMD8(repeating: -abs(x)))[0]
  return x >= 0 ? 1 / (1 + e) : e / (1 + e)
}
