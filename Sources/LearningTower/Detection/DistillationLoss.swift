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

  /// - Parameter weight: what the loss is multiplied by.
  public init(detect: Detect, hyperparameters: LossHyperparameters, imageSize: Int, weight: Double = 1) {
    self.detect = detect
    gains = hyperparameters.gains(of: detect, imageSize: imageSize) / (1 / weight)
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
    let images = Float(shape.images)
    var sum = 0.0
    /// Adds up to eight values, each `step` after the one before, and returns the teacher's sigmoids of them.
    func add(_ start: Int, _ count: Int, step: Int, _ scale: Float) -> SIMD8<Float> {
      var logits = SIMD8<Float>()
      var targets = SIMD8<Float>()
      for lane in 0..<count {
        logits[lane] = student[start + lane * step]
        targets[lane] = teacher[start + lane * step]
      }
      targets = sigmoid(targets)
      let (loss, slope) = entropy(logits, target: targets)
      for lane in 0..<count {
        sum += Double(loss[lane] * scale)
        gradient[start + lane * step] += slope[lane] * scale * images
      }
      return targets
    }

    let objectness = Float(gains.objectness * detect.objectnessBalance[level] / Double(shape.cellCount))
    var weights: [Float] = []
    weights.reserveCapacity(shape.cellCount + 7)
    for cell in stride(from: 0, to: shape.cellCount, by: 8) {
      let targets = add(cell * values + 4, min(8, shape.cellCount - cell), step: values, objectness)
      for lane in 0..<8 { weights.append(targets[lane]) }
    }
    weights.removeLast(weights.count - shape.cellCount)

    let weightSum = Double(weights.reduce(0) { $1 < Self.leastObjectness ? $0 : $0 + $1 })
    let box = weightSum > 0 ? Float(gains.box / (4 * weightSum)) : 0
    let classes = weightSum > 0 ? Float(gains.classification / (Double(max(values - 5, 1)) * weightSum)) : 0
    for (cell, weight) in weights.enumerated() where weight >= Self.leastObjectness {
      let start = cell * values
      _ = add(start, 4, step: 1, box * weight)
      guard detect.classCount > 1 else { continue }
      for first in stride(from: 5, to: values, by: 8) {
        _ = add(start + first, min(8, values - first), step: 1, classes * weight)
      }
    }
    return sum
  }
}

private func sigmoid(_ x: SIMD8<Float>) -> SIMD8<Float> {
  let isNegative = x .< 0
  let e = exponential(x.replacing(with: -x, where: x .> 0))
  return (1 / (1 + e)).replacing(with: e / (1 + e), where: isNegative)
}
