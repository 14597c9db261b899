@testable import Dataset
import Randomness
import Testing

@Suite("anchor fit") struct AnchorFitTests {
  @Test func qualityByHand() {
    // Fits of 10×20 with 10×10 and 20×80: 1/2, and min(1/2, 1/4) = 1/4, which does not exceed 1/4.
    let quality = AnchorFit.quality(
      boxSizes: [SIMD2(10, 20), SIMD2(100, 100)], anchors: [SIMD2(10, 10), SIMD2(20, 80)])
    #expect(quality.bestPossibleRecall == 0.5)
    #expect(quality.anchorsPerBox == 0.5)
    #expect(quality.fitness == 0.25)
    #expect(AnchorFit.quality(boxSizes: [], anchors: []).bestPossibleRecall == 0)
  }

  @Test func boxesAreMeasuredOnTheResizedImage() {
    let image = LabelledImage(
      path: "", width: 200, height: 100, labels: [Label(classIndex: 0, cx: 0.5, cy: 0.5, w: 0.5, h: 0.5)])
    #expect(AnchorFit.boxSizes(of: [image], imageSize: 400) == [SIMD2(200, 100)])
    let jittered = AnchorFit.boxSizes(of: [image], imageSize: 400, jitterSeed: 1)[0]
    #expect(jittered != SIMD2(200, 100) && abs(jittered.x / 200 - 1) <= 0.1 && jittered.x == 2 * jittered.y)
  }

  @Test func clustersAreFound() throws {
    var generator = SplitMix64(seed: 4)
    let centers: [SIMD2<Float>] = [SIMD2(10, 12), SIMD2(40, 20), SIMD2(60, 90)]
    let boxes = (0..<300).map { centers[$0 % 3] * SIMD2(repeating: Float(generator.uniform(0.9, 1.1))) }
    let anchors = try #require(AnchorFit.anchors(for: boxes, count: 3, seed: 2))
    for (anchor, center) in zip(anchors, centers) {
      #expect(abs(anchor.x / center.x - 1) < 0.1 && abs(anchor.y / center.y - 1) < 0.1)
    }
    #expect(anchors == AnchorFit.anchors(for: boxes, count: 3, seed: 2))
    #expect(AnchorFit.anchors(for: boxes, count: 301, seed: 2) == nil)
  }
}
