@testable import Dataset
import Geometry
import Interchange
import TestSupport
import Testing

/// Augmentation from fixed draws against YOLOv5's with OpenCV.
@Suite("augmentation") struct AugmentationTests {
  @Test func colourJitter() throws {
    let tensors = try Fixtures.safetensors("augment/hsv.safetensors").tensors
    let before = try image(#require(tensors["before_bgr"])).reversedChannels
    let expectedHSV = try image(#require(tensors["hsv_of_before"])).pixels
    let tables = HSVTables.shared
    for i in stride(from: 0, to: expectedHSV.count, by: 3) {
      let pixel = before.pixels[i..<(i + 3)].map { Int32($0) }
      let (hue, saturation, value) = hsv(
        pixel[0], pixel[1], pixel[2], tables.saturationDivision.span, tables.hueDivision.span)
      #expect([hue, saturation, value] == expectedHSV[i..<(i + 3)].map { Int($0) })
    }
    for name in ["a", "b", "identity", "max", "min"] {
      let gains = try Fixtures.json("augment/hsv.json")[name]["gains_h_s_v"].doubles
      let jitter = ColourJitter(hueGain: gains[0], saturationGain: gains[1], valueGain: gains[2])
      // Hues end at 179; the fixture's table goes on to 255 as if they did not.
      let table = try #require(tensors["lut_\(name)"]).integers.map { UInt8($0) }
      #expect(Array(jitter.hue[..<180]) == Array(table[..<180]), "\(name)")
      #expect(jitter.saturation == Array(table[256..<512]), "\(name)")
      #expect(jitter.value == Array(table[512...]), "\(name)")
      var after = before.pixels
      jitter.apply(to: &after)
      let expected = try image(#require(tensors["after_bgr_\(name)"])).reversedChannels.pixels
      #expect(after == expected, "\(name): \(zip(after, expected).count { $0 != $1 }) values differ")
    }
  }

  @Test(arguments: [
    "translate_scale", "full_affine", "mosaic_border", "mosaic_border_identity", "perspective", "shrink_drops_boxes",
    "identity",
  ])
  func randomPerspective(name: String) throws {
    let tensors = try Fixtures.safetensors("augment/random_perspective.safetensors").tensors
    let fixture = try Fixtures.json("augment/random_perspective.json")[name]
    let before = try image(#require(tensors["before"]))
    let expected = try image(#require(tensors["\(name).after"]))
    let draw = PerspectiveDraw(fixture["draws_P20_P21_angle_scale_shearx_sheary_tx_ty"].doubles)
    let matrix = draw.matrix(
      width: before.width, height: before.height, resultWidth: expected.width, resultHeight: expected.height)
    if fixture["M"].isArray {
      let rows = fixture["M"].array
      let values = [matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f, matrix.g, matrix.h, matrix.i]
      expectClose(Array(values[..<(rows.count * 3)]), rows.flatMap(\.doubles), absolute: 1e-12)
    } else {
      #expect(matrix == .identity)
    }
    expectWarped(before.pixels, matrix, width: before.width, height: before.height, expected, name)
    let boxes = draw.boxes(
      try boxes(tensors["targets_before"]), matrix, resultWidth: expected.width, resultHeight: expected.height)
    try expectBoxes(boxes, tensors["\(name).targets"])
    #expect(boxes.count == fixture["kept"].int)
  }

  @Test(arguments: ["a", "b", "c"])
  func mosaic(name: String) throws {
    let tensors = try Fixtures.safetensors("augment/mosaic.safetensors").tensors
    let fixture = try Fixtures.json("augment/mosaic.json")[name]
    let size = fixture["img_size"].int
    let order = fixture["tile_order_tl_tr_bl_br"].ints
    let images = try order.map { try image(#require(tensors["image\($0)"])) }
    let labels = try order.map { try #require(tensors["labels\($0)"]).labels }
    let sizes = images.map { ($0.width, $0.height) }
    let mosaic = Mosaic(
      imageSize: size, centerX: Int(fixture["xc_draw"].double), centerY: Int(fixture["yc_draw"].double), sizes: sizes)
    for (tile, expected) in zip(mosaic.tiles, fixture["tiles"].array) {
      let visible = tile.visible
      #expect([visible.left, visible.top, visible.right, visible.bottom] == expected["dst_x1y1x2y2"].ints)
      #expect([tile.left, tile.top] == [expected["padw"].int, expected["padh"].int])
      #expect([visible.left - tile.left, visible.top - tile.top] == Array(expected["src_x1y1x2y2"].ints[..<2]))
    }
    var canvas = [UInt8](repeating: 0, count: mosaic.side * mosaic.side * 3)
    mosaic.draw(
      images, PixelRectangle(left: 0, top: 0, right: mosaic.side, bottom: mosaic.side), into: &canvas)
    #expect(canvas == (try image(#require(tensors["\(name).mosaic4"])).pixels))
    let boxes = mosaic.boxes(labels, sizes: sizes)
    try expectBoxes(boxes, tensors["\(name).labels4"])

    let draw = PerspectiveDraw(fixture["perspective_draws_P20_P21_angle_scale_shx_shy_tx_ty"].doubles)
    let matrix = draw.matrix(width: mosaic.side, height: mosaic.side, resultWidth: size, resultHeight: size)
    let expected = try image(#require(tensors["\(name).after"]))
    expectWarped(canvas, matrix, width: mosaic.side, height: mosaic.side, expected, name)
    try expectBoxes(draw.boxes(boxes, matrix, resultWidth: size, resultHeight: size), tensors["\(name).labels_after"])

    // Only the part that the warp reads has to be drawn.
    let warp = Warp(matrix, width: mosaic.side, height: mosaic.side, resultWidth: size, resultHeight: size)
    var sparse = [UInt8](repeating: 255, count: canvas.count)
    mosaic.draw(images, warp.sourceRegion, into: &sparse)
    var (fromWhole, fromPart) = (
      [UInt8](repeating: 0, count: size * size * 3), [UInt8](repeating: 0, count: size * size * 3)
    )
    warp.apply(canvas.span, into: &fromWhole)
    warp.apply(sparse.span, into: &fromPart)
    #expect(fromWhole == fromPart)
  }

  @Test func mixup() throws {
    let tensors = try Fixtures.safetensors("augment/mixup.safetensors").tensors
    var pixels = try image(#require(tensors["image_a"])).pixels
    let ratio = try Fixtures.json("augment/mixup.json")["ratio"].double
    mix(&pixels, try image(#require(tensors["image_b"])).pixels, ratio: ratio)
    #expect(pixels == (try image(#require(tensors["after"])).pixels))
  }

  @Test func boxCandidates() throws {
    let tensors = try Fixtures.safetensors("augment/box_candidates.safetensors").tensors
    let before = try #require(tensors["box1_xyxy"]).corners
    let after = try #require(tensors["box2_xyxy"]).corners
    for (threshold, name) in [(0.1, "keep_area0.10"), (0.01, "keep_area0.01")] {
      let kept = zip(before, after).map {
        $1.isWorthKeeping(original: $0, zoom: 1, areaThreshold: threshold) ? 1 : 0
      }
      #expect(kept == (try #require(tensors[name])).integers)
    }
  }

  @Test func anchors() throws {
    let tensors = try Fixtures.safetensors("augment/anchors.safetensors").tensors
    let fixture = try Fixtures.json("augment/anchors.json")
    let labels = try #require(tensors["labels"]).labels
    let owners = try #require(tensors["image_of_label"]).integers
    let sides = try #require(tensors["shapes_wh"]).floats
    let images = (0..<40).map { index in
      LabelledImage(
        path: "", width: Int(sides[index * 2]), height: Int(sides[index * 2 + 1]),
        labels: zip(labels, owners).filter { $0.1 == index }.map(\.0))
    }
    let anchors = fixture["anchors_px"].array.map { SIMD2($0[0].float, $0[1].float) }
    for imageSize in [640, 320, 64] {
      let boxSizes = AnchorFit.boxSizes(of: images, imageSize: imageSize)
      for threshold in [4.0, 2.91] {
        let expected = fixture["cases"]["img\(imageSize)_thr\(threshold)"]
        let quality = AnchorFit.quality(boxSizes: boxSizes, anchors: anchors, ratioThreshold: Float(threshold))
        expectClose(quality.bestPossibleRecall, expected["best_possible_recall"].double, absolute: 1e-6)
        expectClose(
          quality.anchorsPerBox, expected["anchors_above_threshold_per_target"].double, absolute: 1e-6)
        expectClose(quality.fitness, expected["anchor_fitness"].double, absolute: 1e-6)
        #expect((quality.bestPossibleRecall <= AnchorFit.requiredRecall) == expected["recompute"].bool)
      }
    }
    // Random, so not the same anchors as the reference finds; but as good ones.
    let boxSizes = AnchorFit.boxSizes(of: images, imageSize: 320)
    let reference = fixture["kmean_anchors_img320_thr4_n9_gen1000"].array
    let found = try #require(AnchorFit.anchors(for: boxSizes, count: 9, seed: 0))
    let quality = AnchorFit.quality(boxSizes: boxSizes, anchors: found)
    #expect(quality.bestPossibleRecall >= (reference.map { $0["bpr"].double }.min() ?? 1) - 0.01)
    #expect(quality.fitness >= (reference.map { $0["fitness"].double }.min() ?? 1) - 0.01)
    #expect(found == AnchorFit.anchors(for: boxSizes, count: 9, seed: 0))
  }

  /// Mean difference ≤ 0.3, at most 1 % of the values off by more than 3, none by more than 8.
  private func expectWarped(
    _ source: [UInt8], _ matrix: Matrix3, width: Int, height: Int, _ expected: Image, _ name: String
  ) {
    var result = [UInt8](repeating: 0, count: expected.pixels.count)
    Warp(matrix, width: width, height: height, resultWidth: expected.width, resultHeight: expected.height)
      .apply(source.span, into: &result)
    let differences = zip(result, expected.pixels).map { abs(Int($0) - Int($1)) }
    #expect(Double(differences.reduce(0, +)) / Double(differences.count) <= 0.3, "\(name)")
    #expect(Double(differences.count { $0 > 3 }) <= 0.01 * Double(differences.count), "\(name)")
    #expect(differences.max() ?? 0 <= 8, "\(name)")
  }

  /// Corners within a thousandth of a pixel.
  private func expectBoxes(_ actual: [LabelledBox], _ expected: StoredTensor?) throws {
    let expected = try boxes(expected)
    #expect(actual.map(\.classIndex) == expected.map(\.classIndex))
    expectClose(
      actual.flatMap { [$0.box.x1, $0.box.y1, $0.box.x2, $0.box.y2] },
      expected.flatMap { [$0.box.x1, $0.box.y1, $0.box.x2, $0.box.y2] }, absolute: 1e-3)
  }

  private func boxes(_ tensor: StoredTensor?) throws -> [LabelledBox] {
    try #require(tensor).rows.map { row in
      LabelledBox(classIndex: Int(row[0]), PixelBox(x1: row[1], y1: row[2], x2: row[3], y2: row[4]))
    }
  }
}

extension Image {
  /// RGB from BGR, and back.
  fileprivate var reversedChannels: Image {
    var reversed = self
    for i in stride(from: 0, to: pixels.count, by: 3) { reversed.pixels.swapAt(i, i + 2) }
    return reversed
  }
}

extension PerspectiveDraw {
  /// In the order in which the reference draws.
  fileprivate init(_ draws: [Double]) {
    self.init(
      perspectiveX: draws[0], perspectiveY: draws[1], angleDegrees: draws[2], zoom: draws[3],
      shearXDegrees: draws[4], shearYDegrees: draws[5], centerX: draws[6], centerY: draws[7])
  }
}

extension StoredTensor {
  fileprivate var labels: [Label] {
    rows.map { Label(classIndex: Int($0[0]), cx: $0[1], cy: $0[2], w: $0[3], h: $0[4]) }
  }

  fileprivate var corners: [PixelBox] {
    rows.map { PixelBox(x1: $0[0], y1: $0[1], x2: $0[2], y2: $0[3]) }
  }
}
