@testable import Dataset
import Interchange
import TestSupport
import Testing

/// Resized and letterboxed pixels against OpenCV's, sizes and borders against YOLOv5's.
@Suite("letterbox") struct LetterboxTests {
  @Test func letterboxes() throws {
    let tensors = try Fixtures.safetensors("letterbox/letterbox.safetensors").tensors
    let cases = try Fixtures.json("letterbox/letterbox.json").object.filter { !$0.key.hasPrefix("_") }
    let input = try image(#require(tensors["input"]))
    #expect(cases.count == 9)
    for (name, expected) in cases {
      let shape: [Int] =
        if expected["new_shape"].isArray {
          expected["new_shape"].ints
        } else {
          [expected["new_shape"].int, expected["new_shape"].int]
        }
      let letterbox = Letterbox(
        width: input.width, height: input.height, intoWidth: shape[1], height: shape[0],
        isMinimal: expected["auto"].bool, isStretched: expected.has("scaleFill"),
        mayEnlarge: !expected.has("scaleup"))
      #expect([letterbox.height, letterbox.width] == expected["shape_hw"].ints, "\(name)")
      #expect([letterbox.ratioX, letterbox.ratioY] == expected["ratio_wh"].doubles, "\(name)")
      #expect([letterbox.padX, letterbox.padY] == expected["pad_wh"].doubles, "\(name)")
      try expectResized(input.letterboxed(letterbox), tensors[name], name)
    }
  }

  @Test func imagesAreFittedToTheLongSide() throws {
    let tensors = try Fixtures.safetensors("letterbox/load_image.safetensors").tensors
    let cases = try Fixtures.json("letterbox/load_image.json").object.filter { !$0.key.hasPrefix("_") }
    let input = try image(#require(tensors["input"]))
    #expect(cases.count == 8)
    for (name, expected) in cases {
      let fitted = input.fitted(longSide: expected["img_size"].int, isTraining: expected["augment"].bool)
      #expect([fitted.height, fitted.width] == expected["hw"].ints, "\(name)")
      try expectResized(fitted, tensors[name], name)
    }
  }

  @Test func rectangularBatchesHaveTheSmallestShapes() throws {
    let fixture = try Fixtures.json("letterbox/rect_batches.json")
    let sizes = fixture["shapes_wh"].array.map { (width: $0[0].int, height: $0[1].int) }
    for (name, imageSize, padding) in [
      ("img640_pad0.5", 640, 0.5), ("img64_pad0.5", 64, 0.5), ("img320_pad0.0", 320, 0),
    ] {
      let order = RectangularBatches.order(sizes)
      #expect(order == fixture[name]["sorted_order"].ints)
      let shapes = RectangularBatches.shapes(
        order.map { sizes[$0] }, batchSize: fixture["batch_size"].int, imageSize: imageSize,
        stride: fixture["stride"].int, padding: padding)
      #expect(shapes.map { [$0.height, $0.width] } == fixture[name]["batch_shapes_hw"].array.map(\.ints))
    }
  }

  /// Every value within ± 1.
  private func expectResized(_ actual: Image, _ expected: StoredTensor?, _ name: String) throws {
    let expected = try image(#require(expected))
    try #require(actual.width == expected.width && actual.height == expected.height, "\(name)")
    let worst = zip(actual.pixels, expected.pixels).map { abs(Int($0) - Int($1)) }.max()
    #expect(try #require(worst) <= 1, "\(name)")
  }
}

/// A fixture of shape height × width × 3.
func image(_ tensor: StoredTensor) throws -> Image {
  try #require(tensor.shape.count == 3 && tensor.shape[2] == 3)
  return Image(width: tensor.shape[1], height: tensor.shape[0], pixels: tensor.integers.map { UInt8($0) })
}
