import Detection
import Network
import Testing

@Suite struct DistillationLossTests {
  private let detect = Detect(
    path: "model.5", classCount: 3,
    anchors: [[8, 12, 16], [24, 32, 40], [48, 56, 64]].map { $0.map { Anchor(width: $0, height: $0) } },
    strides: [8, 16, 32], outputs: [0, 1, 2])

  private func map(_ shape: HeadShape, _ seed: Int) -> [Float] {
    (0..<shape.count).map { Float(($0 * 37 + seed * 101) % 97) / 16 - 3 }
  }

  private func evaluate(
    _ student: [Float], _ teacher: [Float], _ shape: HeadShape, weight: Double = 1
  ) -> (loss: Double, gradient: [Float]) {
    let loss = DistillationLoss(detect: detect, hyperparameters: LossHyperparameters(), imageSize: 64, weight: weight)
    var gradient = [Float](repeating: 0, count: shape.count)
    var span = gradient.mutableSpan
    let value = loss.add(level: 1, shape: shape, student: student.span, teacher: teacher.span, gradient: &span)
    return (value, gradient)
  }

  @Test func gradientVanishesWhereBothAgree() {
    let shape = HeadShape(images: 2, height: 2, width: 3, anchors: 3, valuesPerAnchor: 8)
    let teacher = map(shape, 1)
    #expect(evaluate(teacher, teacher, shape).gradient.allSatisfy { abs($0) < 1e-6 })
  }

  @Test func gradientAgreesWithFiniteDifferences() {
    let shape = HeadShape(images: 2, height: 2, width: 3, anchors: 3, valuesPerAnchor: 8)
    let (student, teacher) = (map(shape, 1), map(shape, 2))
    let gradient = evaluate(student, teacher, shape).gradient
    for index in stride(from: 0, to: shape.count, by: 7) {
      func value(_ step: Float) -> Double {
        var moved = student
        moved[index] += step
        return 2 * evaluate(moved, teacher, shape).loss
      }
      let difference = (value(0.05) - value(-0.05)) / 0.1
      #expect(abs(difference - Double(gradient[index])) < 0.02 * abs(difference) + 2e-5, "value \(index)")
    }
  }

  @Test func theWeightMultipliesLossAndGradient() {
    let shape = HeadShape(images: 2, height: 2, width: 3, anchors: 3, valuesPerAnchor: 8)
    let (student, teacher) = (map(shape, 1), map(shape, 2))
    let once = evaluate(student, teacher, shape)
    let twice = evaluate(student, teacher, shape, weight: 2)
    #expect(abs(twice.loss - 2 * once.loss) < 1e-6 * once.loss)
    #expect(zip(twice.gradient, once.gradient).allSatisfy { abs($0 - 2 * $1) <= 1e-5 * abs($1) })
  }

  /// Boxes and classes of cells in which the teacher sees nothing do not count.
  @Test func emptyPlacesTeachObjectnessOnly() {
    let shape = HeadShape(images: 1, height: 1, width: 1, anchors: 3, valuesPerAnchor: 8)
    let student = map(shape, 1)
    var teacher = map(shape, 2)
    for cell in 0..<3 { teacher[cell * 8 + 4] = -9 }
    let gradient = evaluate(student, teacher, shape).gradient
    for (index, value) in gradient.enumerated() { #expect((value != 0) == (index % 8 == 4), "value \(index)") }
  }
}
