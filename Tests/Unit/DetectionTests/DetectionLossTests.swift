import Dataset
import Detection
import Foundation
import Geometry
import Network
import TestSupport
import Testing

@Suite("Detection loss")
struct DetectionLossTests {
  let detect = Detect(
    path: "model.24", classCount: 11, anchors: [[Anchor(width: 16, height: 16), Anchor(width: 24, height: 12)]],
    strides: [8], outputs: [])
  let shape = HeadShape(images: 2, height: 4, width: 5, anchors: 2, valuesPerAnchor: 16)
  let targets = [
    Target(imageIndex: 0, classIndex: 3, cx: 0.43, cy: 0.55, w: 0.4, h: 0.45),
    Target(imageIndex: 1, classIndex: 10, cx: 0.81, cy: 0.3, w: 0.5, h: 0.4),
    Target(imageIndex: 1, classIndex: 0, cx: 0.8, cy: 0.31, w: 0.45, h: 0.5),
  ]

  @Test(
    "Gradients agree with finite differences",
    arguments: [
      LossHyperparameters(boxGain: 0), LossHyperparameters(boxGain: 0, focalGamma: 1.5, labelSmoothing: 0.1),
      LossHyperparameters(boxGain: 0, objectnessPositiveWeight: 2, focalGamma: 0.5),
      LossHyperparameters(boxGain: 0, classPositiveWeight: 0.6, objectnessPositiveWeight: 2),
    ])
  func scoreGradients(hyperparameters: LossHyperparameters) {
    // Without the box's part, as objectness targets follow the boxes without a gradient. Box coordinates are left out.
    var loss = DetectionLoss(detect: detect, hyperparameters: hyperparameters, imageSize: 640)
    let head = DeterministicValues.uniform("head", count: shape.count).map { 4 * $0 }
    let (_, gradient) = evaluate(&loss, head)
    let step: Float = 1.0 / 64
    for index in stride(from: 0, to: head.count, by: 1) where index % 16 >= 4 {
      var moved = head
      moved[index] = head[index] + step
      let above = evaluate(&loss, moved).0.sum
      moved[index] = head[index] - step
      let below = evaluate(&loss, moved).0.sum
      let slope = (above - below) / Double(2 * step) * Double(shape.images)
      #expect(abs(slope - Double(gradient[index])) < 2e-4 * max(abs(slope), 0.1), "value \(index)")
    }
  }

  @Test("Box gradients agree with finite differences")
  func boxGradients() {
    // Objectness has no weight, so the items change by the boxes alone. Predictions and targets are nearly square,
    // where the alpha of CIoU, which counts as a constant, is next to nothing.
    let square = Detect(
      path: "model.24", classCount: 11, anchors: [[Anchor(width: 16, height: 16), Anchor(width: 12, height: 12)]],
      strides: [8], outputs: [])
    var loss = DetectionLoss(
      detect: square, hyperparameters: LossHyperparameters(boxGain: 1, classGain: 0, objectnessGain: 0), imageSize: 640)
    let targets = [
      Target(imageIndex: 0, classIndex: 3, cx: 0.43, cy: 0.55, w: 0.32, h: 0.4),
      Target(imageIndex: 1, classIndex: 10, cx: 0.81, cy: 0.3, w: 0.4, h: 0.5),
    ]
    let head = DeterministicValues.uniform("boxes", count: shape.count).map { 0.02 * $0 }
    let (_, gradient) = evaluate(&loss, head, targets)
    let step: Float = 1.0 / 256
    var moving = 0
    for index in head.indices where index % 16 < 4 && gradient[index] != 0 {
      moving += 1
      var moved = head
      moved[index] = head[index] + step
      let above = evaluate(&loss, moved, targets).0.sum
      moved[index] = head[index] - step
      let below = evaluate(&loss, moved, targets).0.sum
      let slope = (above - below) / Double(2 * step) * Double(shape.images)
      #expect(abs(slope - Double(gradient[index])) < 5e-3 * max(abs(slope), 0.1), "value \(index)")
    }
    #expect(moving >= 20)
  }

  @Test("Cross entropy is accurate from certain to hopeless")
  func accuracy() {
    // One logit at a time, no targets: the loss is the mean of softplus over the cells.
    let oneCell = HeadShape(images: 1, height: 1, width: 1, anchors: 2, valuesPerAnchor: 16)
    var loss = DetectionLoss(detect: detect, imageSize: 640)
    for step in -320...320 {
      let logit = Float(step) / 8
      var head = Array(repeating: Float(0), count: oneCell.count)
      (head[4], head[20]) = (logit, logit)
      var gradient = head
      var span = gradient.mutableSpan
      let items = loss.evaluate(level: 0, shape: oneCell, head: head.span, targets: [], gradient: &span)
      let scale = 4.0 * 3  // Balance of the first level; 3 ÷ one level.
      let expected = log1p(exp(-abs(Double(logit)))) + Double(max(logit, 0))
      expectClose(items.objectness / scale, expected, absolute: 0, relative: 1e-6, "loss at \(logit)")
      let slope = 1 / (1 + exp(-Double(logit)))
      expectClose(Double(gradient[4]) * 2 / scale, slope, absolute: 0, relative: 1e-6, "gradient at \(logit)")
    }
  }

  @Test("Label smoothing: the truth is 1 − ε/2, the other classes ε/2")
  func labelSmoothing() {
    var loss = DetectionLoss(
      detect: detect, hyperparameters: .init(objectnessGain: 0, labelSmoothing: 0.1), imageSize: 640)
    // Every logit is 1: softplus(1) = 1.3132617, softplus(−1) = 0.3132617.
    let head = Array(repeating: Float(1), count: shape.count)
    let truth = 0.05 * 1.3132617 + 0.95 * 0.3132617
    let other = 0.95 * 1.3132617 + 0.05 * 0.3132617
    let gain = 0.5 * 11.0 / 80 * 3
    let expected = gain * (truth + 10 * other) / 11
    expectClose(evaluate(&loss, head).0.classification, expected, absolute: 0, relative: 1e-6)
    var plain = DetectionLoss(detect: detect, hyperparameters: .init(objectnessGain: 0), imageSize: 640)
    let unsmoothed = gain * (0.3132617 + 10 * 1.3132617) / 11
    expectClose(evaluate(&plain, head).0.classification, unsmoothed, absolute: 0, relative: 1e-6)
  }

  @Test("Focal loss: cross entropy × α or 1 − α × (1 − p)^γ", arguments: [0.5, 1.5, 2])
  func focal(gamma: Double) {
    let hyperparameters = LossHyperparameters(focalGamma: gamma)
    // No targets: every cell is background, of weight 1 − 0.25, and p = 1 − σ(x).
    var loss = DetectionLoss(detect: detect, hyperparameters: hyperparameters, imageSize: 640)
    for logit in [-2.0, 0, 3] {
      let head = Array(repeating: Float(logit), count: shape.count)
      let sigmoid = 1 / (1 + exp(-logit))
      let expected = 0.75 * pow(sigmoid, gamma) * log1p(exp(logit))
      expectClose(
        evaluate(&loss, head, []).0.objectness / (4 * 3), expected, absolute: 0, relative: 1e-6, "logit \(logit)")
    }
    // One class of eleven is the truth, of weight 0.25.
    let head = Array(repeating: Float(1), count: shape.count)
    let (hit, miss) = (1 / (1 + exp(-1.0)), 1 / (1 + exp(1.0)))
    let truth = 0.25 * pow(miss, gamma) * 0.3132617
    let other = 0.75 * pow(hit, gamma) * 1.3132617
    let expected = 0.5 * 11.0 / 80 * 3 * (truth + 10 * other) / 11
    expectClose(evaluate(&loss, head).0.classification, expected, absolute: 0, relative: 1e-6)
  }

  @Test("A network that ran away says so", arguments: [Float.nan, .infinity, -.infinity])
  func notFinite(value: Float) {
    var loss = DetectionLoss(detect: detect, imageSize: 640)
    var head = Array(repeating: Float(0), count: shape.count)
    head[4] = value
    let (items, _) = evaluate(&loss, head)
    #expect(!items.objectness.isFinite)
  }

  @Test("Of several targets on one cell and anchor the last one sets the objectness")
  func lastWins() {
    let same = Target(imageIndex: 0, classIndex: 1, cx: 0.5, cy: 0.4, w: 0.4, h: 0.4)
    var small = same
    (small.box.w, small.box.h) = (0.2, 0.25)
    var loss = DetectionLoss(
      detect: detect, hyperparameters: .init(boxGain: 0, classGain: 0), imageSize: 640)
    let head = Array(repeating: Float(1), count: shape.count)
    let smallLast = evaluate(&loss, head, [same, small]).0.objectness
    let largeLast = evaluate(&loss, head, [small, same]).0.objectness
    #expect(smallLast == evaluate(&loss, head, [small]).0.objectness)
    #expect(largeLast == evaluate(&loss, head, [same]).0.objectness)
    #expect(smallLast != largeLast)
  }

  private func evaluate(
    _ loss: inout DetectionLoss, _ head: [Float], _ targets: [Target]? = nil
  ) -> (LossItems, [Float]) {
    var gradient = Array(repeating: Float.nan, count: head.count)
    var span = gradient.mutableSpan
    let items = loss.evaluate(
      level: 0, shape: shape, head: head.span, targets: targets ?? self.targets, gradient: &span)
    return (items, gradient)
  }
}
