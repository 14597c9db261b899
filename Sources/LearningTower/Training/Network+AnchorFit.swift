import Dataset
import Network

extension Network {
  /// This network with anchors that fit the images' boxes: its own if they do (YOLOv5's `check_anchors`: the best
  /// possible recall, with every image scaled by a random factor, is above 0.98), else new ones by k-means and
  /// evolution, if these are better.
  public func fittingAnchors(
    to images: [LabelledImage], imageSize: Int, ratioLimit: Double, seed: UInt64
  ) -> Network {
    let sizes = AnchorFit.boxSizes(of: images, imageSize: imageSize, jitterSeed: seed)
    guard !sizes.isEmpty else { return self }
    func recall(_ anchors: [SIMD2<Float>]) -> Double {
      AnchorFit.quality(boxSizes: sizes, anchors: anchors, ratioThreshold: Float(ratioLimit)).bestPossibleRecall
    }
    let present = detect.anchors.flatMap { level in level.map { SIMD2($0.width, $0.height) } }
    let presentRecall = recall(present)
    guard presentRecall <= AnchorFit.requiredRecall else { return self }

    let better = AnchorFit.anchors(
      for: AnchorFit.boxSizes(of: images, imageSize: imageSize), count: present.count,
      ratioThreshold: Float(ratioLimit), seed: seed)
    guard let better, recall(better) > presentRecall else { return self }
    var network = self
    var next = better.makeIterator()
    for level in detect.anchors.indices {
      for anchor in detect.anchors[level].indices {
        guard let size = next.next() else { return self }
        network.detect.anchors[level][anchor] = Anchor(width: size.x, height: size.y)
      }
    }
    return network
  }
}
