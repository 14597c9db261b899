import Dataset
import Detection
import Geometry
import Interchange
import Network
import TestSupport
import Testing

@Suite("Golden: box maths")
struct BoxTests {
  @Test("IoU, GIoU, DIoU and CIoU with their gradients", arguments: BoxOverlap.allCases, ["random", "degenerate"])
  func overlaps(kind: BoxOverlap, set: String) throws {
    let file = try Fixtures.safetensors("bbox/iou.safetensors")
    let first = try #require(file.tensors["\(set).box1_xywh"]).centredBoxes
    let second = try #require(file.tensors["\(set).box2_xywh"]).centredBoxes
    let values = zip(first, second).map { kind($0, $1) }
    let expected = try #require(file.tensors["\(set).\(kind.rawValue).value"]).floats
    expectClose(values.map { Float($0.value) }, expected, absolute: 2e-6)

    let gradient = values.flatMap { value in (0..<4).map { Float(value.gradient[$0]) } }
    let expectedGradient = try #require(file.tensors["\(set).\(kind.rawValue).grad_box1"]).floats
    // A zero-size box against a real one: 1e-7 is all that its height is, so only relative agreement means anything.
    let steep = set == "degenerate" && kind == .ciou ? 5 * 4..<6 * 4 : 0..<0
    expectClose(Array(gradient[steep]), Array(expectedGradient[steep]), absolute: 5e-6, relative: 1e-5)
    let rest = gradient.indices.filter { !steep.contains($0) }
    expectClose(rest.map { gradient[$0] }, rest.map { expectedGradient[$0] }, absolute: 5e-6)
  }

  @Test func cornerBoxes() throws {
    let file = try Fixtures.safetensors("bbox/iou.safetensors")
    let first = try #require(file.tensors["random.box1_xyxy"]).boxes.prefix(16)
    let second = try #require(file.tensors["random.box2_xyxy"]).boxes.prefix(16)
    let expected = try #require(file.tensors["random.box_iou_16x16"]).floats
    expectClose(first.flatMap { a in second.map { a.iou($0) } }, expected, absolute: 2e-6)
  }

  @Test func conversions() throws {
    let tensors = try Fixtures.safetensors("bbox/conversions.safetensors").tensors
    let corners = try #require(tensors["xyxy"]).boxes
    let centred = try #require(tensors["xyxy2xywh"])
    expectClose(corners.flatMap { CenteredBox($0).values }, centred.floats, absolute: 1e-4)
    let expected = try #require(tensors["xywh2xyxy"]).floats
    expectClose(centred.centredBoxes.flatMap { PixelBox($0).values }, expected, absolute: 1e-4)
  }
}

extension StoredTensor {
  var rows: [[Float]] {
    let values = floats
    let width = shape[1]
    return (0..<shape[0]).map { Array(values[$0 * width..<($0 + 1) * width]) }
  }
  var boxes: [PixelBox] { rows.map { PixelBox(x1: $0[0], y1: $0[1], x2: $0[2], y2: $0[3]) } }
  var centredBoxes: [CenteredBox] { rows.map { CenteredBox(cx: $0[0], cy: $0[1], width: $0[2], height: $0[3]) } }
}

extension PixelBox {
  var values: [Float] { [x1, y1, x2, y2] }
}

extension CenteredBox {
  var values: [Float] { [cx, cy, width, height] }
}
