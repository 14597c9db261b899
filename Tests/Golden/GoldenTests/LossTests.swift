import Dataset
import Detection
import Interchange
import Network
import TestSupport
import Testing

@Suite("Golden: detection loss")
struct LossTests {
  static let cases: [String: LossHyperparameters] = [
    "normal": .init(), "no_targets": .init(), "borders": .init(), "many_rect": .init(), "one_image_empty": .init(),
    "label_smoothing": .init(labelSmoothing: 0.1), "focal": .init(focalGamma: 1.5), "single_class": .init(),
    "extreme_logits": .init(),
    "finetune_prune_hyp": .init(
      boxGain: 0.0296, classGain: 0.243, objectnessGain: 0.301, classPositiveWeight: 0.631,
      objectnessPositiveWeight: 0.911, anchorRatioLimit: 2.91),
  ]

  @Test("Items, loss and gradients", arguments: cases.keys.sorted())
  func loss(name: String) throws {
    let fixture = try LossFixture(name)
    var loss = DetectionLoss(
      detect: fixture.detect, hyperparameters: try #require(Self.cases[name]), imageSize: 64)
    var items = LossItems()
    for level in 0..<3 {
      // Twice: what the first evaluation leaves in the scratch memory must not matter.
      _ = fixture.evaluate(&loss, level: level)
      let (levelItems, gradient) = fixture.evaluate(&loss, level: level)
      items += levelItems
      let expected = try #require(fixture.tensors["grad\(level)"]).tensor
      let expectedGradient = anchorsLast(expected)
      let largest = expectedGradient.map(abs).max() ?? 0
      expectClose(gradient, expectedGradient, absolute: Double(2e-6 * largest), "gradient of level \(level)")
    }
    expectClose(
      [items.box, items.objectness, items.classification],
      try #require(fixture.tensors["items"]).floats.map(Double.init), absolute: 0, relative: 1e-6, "items")
    expectClose(
      items.sum * Double(fixture.batch), Double(try #require(fixture.tensors["loss"]).floats[0]), absolute: 0,
      relative: 1e-6, "loss")
  }

  @Test("Cells and anchors that answer for the targets, in order", arguments: cases.keys.sorted())
  func assignment(name: String) throws {
    let fixture = try LossFixture(name)
    var assignment = AnchorAssignment(ratioLimit: Float(try #require(Self.cases[name]).anchorRatioLimit))
    var matches: [AnchorMatch] = []
    for level in 0..<3 {
      let shape = fixture.shape(level)
      let stride = Float(fixture.detect.strides[level])
      let anchors = fixture.detect.anchors[level].map { Anchor(width: $0.width / stride, height: $0.height / stride) }
      assignment.assign(
        fixture.targets, anchors: anchors, height: shape.height, width: shape.width, into: &matches)
      let indices = try #require(fixture.tensors["bt.\(level).indices"])
      #expect(matches.flatMap { [$0.image, $0.anchor, $0.row, $0.column, $0.classIndex] } == indices.integers)
      expectClose(
        matches.flatMap(\.box.values), try #require(fixture.tensors["bt.\(level).tbox"]).floats, absolute: 1e-5)
      expectClose(
        matches.flatMap { [anchors[$0.anchor].width, anchors[$0.anchor].height] },
        try #require(fixture.tensors["bt.\(level).anch"]).floats, absolute: 0)
    }
  }
}

private struct LossFixture {
  let tensors: [String: StoredTensor]
  let detect: Detect
  let batch: Int
  let targets: [Target]

  init(_ name: String) throws {
    tensors = try Fixtures.safetensors("loss/\(name).safetensors").tensors
    let about = try Fixtures.json("loss/cases.json")["_about"]
    let anchors = about["anchors_px"].array.map { level in
      let sizes = level.floats
      return (0..<3).map { Anchor(width: sizes[2 * $0], height: sizes[2 * $0 + 1]) }
    }
    let shape = try #require(tensors["p0"]).shape
    batch = shape[0]
    detect = Detect(
      path: "model.24", classCount: shape[4] - 5, anchors: anchors, strides: about["strides"].ints, outputs: [])
    targets = try #require(tensors["targets"]).rows.map {
      Target(imageIndex: Int($0[0]), classIndex: Int($0[1]), cx: $0[2], cy: $0[3], w: $0[4], h: $0[5])
    }
  }

  func shape(_ level: Int) -> HeadShape {
    HeadShape(fixture: tensors["p\(level)"]!.shape)
  }

  func evaluate(_ loss: inout DetectionLoss, level: Int) -> (LossItems, [Float]) {
    let head = anchorsLast(tensors["p\(level)"]!.tensor)
    var gradient = Array(repeating: Float.nan, count: head.count)
    var span = gradient.mutableSpan
    let items = loss.evaluate(
      level: level, shape: shape(level), head: head.span, targets: targets, gradient: &span)
    return (items, gradient)
  }
}
