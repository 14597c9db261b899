import Detection
import Interchange
import Network
import TestSupport
import Testing
import Zoo

@Suite("Golden: decoding of the head")
struct DecodingTests {
  @Test("Boxes and scores in YOLOv5's order", arguments: ["yolov5n", "MobileNetv2"])
  func decoded(model: String) throws {
    let tensors = try Fixtures.safetensors("forward/\(model).safetensors").tensors
    let detect = try Zoo.network(named: "yolov5n", classCount: 14).detect
    let heads = try (0..<3).map { try #require(tensors["eval.head\($0)"]).tensor }
    let expected = try #require(tensors["eval.decoded"])
    let perImage = expected.shape[1] * expected.shape[2]
    for image in 0..<2 {
      var predictions = Predictions(classCount: 14)
      for (level, head) in heads.enumerated() {
        predictions.append(
          level: level, of: detect, shape: HeadShape(fixture: head.shape), head: anchorsLast(head).span, image: image,
          objectnessAbove: nil)
      }
      let rows = Array(expected.floats[image * perImage..<(image + 1) * perImage])
      try #require(predictions.values.count == rows.count)
      for (columns, tolerance) in [(0..<2, 2e-5), (2..<4, 3e-4), (4..<19, 5e-7)] {
        func part(_ values: [Float]) -> [Float] {
          values.indices.filter { columns.contains($0 % 19) }.map { values[$0] }
        }
        expectClose(part(predictions.values), part(rows), absolute: tolerance, "columns \(columns)")
      }
    }
  }
}

extension HeadShape {
  /// From the fixtures' `N × A × H × W × V`.
  init(fixture shape: [Int]) {
    self.init(images: shape[0], height: shape[2], width: shape[3], anchors: shape[1], valuesPerAnchor: shape[4])
  }
}

/// `N × A × H × W × V` → `N × H × W × A × V`
func anchorsLast(_ tensor: Tensor) -> [Float] {
  let (n, a, h, w, v) = (tensor.shape[0], tensor.shape[1], tensor.shape[2], tensor.shape[3], tensor.shape[4])
  var values: [Float] = []
  for image in 0..<n {
    for row in 0..<h {
      for column in 0..<w {
        for anchor in 0..<a {
          let start = (((image * a + anchor) * h + row) * w + column) * v
          values += tensor.values[start..<start + v]
        }
      }
    }
  }
  return values
}
