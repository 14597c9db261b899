import Geometry
import Randomness

/// How well anchors suit a data set, and better ones where they do not (YOLOv5 `autoanchor`).
public enum AnchorFit {
  /// Anchors are recomputed when the best possible recall does not exceed this.
  public static let requiredRecall = 0.98

  /// Width and height of every box in pixels, on images whose longer side has `imageSize` pixels.
  /// - Parameter jitterSeed: with a seed, each image is scaled by a factor drawn from 0.9 … 1.1, as YOLOv5 does before
  ///   it checks anchors, so that training's zoom does not find them at the edge.
  public static func boxSizes(
    of images: [LabelledImage], imageSize: Int, jitterSeed: UInt64? = nil
  ) -> [SIMD2<Float>] {
    var generator = jitterSeed.map { SplitMix64(seed: $0) }
    return images.flatMap { image in
      let size = SIMD2(Double(image.width), Double(image.height))
      let jitter = generator?.uniform(0.9, 1.1) ?? 1
      let shown = Double(imageSize) * size / Double(max(image.width, image.height)) * jitter
      return image.labels.map { SIMD2(Float(Double($0.box.w) * shown.x), Float(Double($0.box.h) * shown.y)) }
    }
  }

  /// How anchors suit boxes. An anchor and a box fit as well as the worse of their width and height ratios (≤ 1); they
  /// match if that is above 1 / `ratioThreshold` (`anchor_t`).
  public struct Quality: Sendable, Hashable {
    /// Share of the boxes that some anchor matches.
    public var bestPossibleRecall: Double
    /// Mean number of anchors that match a box.
    public var anchorsPerBox: Double
    /// Mean fit of the best anchor, counting 0 where it does not match.
    public var fitness: Double
  }

  /// - Parameters:
  ///   - boxSizes: `N` × (width, height), pixels.
  ///   - anchors: (width, height), pixels.
  public static func quality(
    boxSizes: [SIMD2<Float>], anchors: [SIMD2<Float>], ratioThreshold: Float = 4
  ) -> Quality {
    guard !boxSizes.isEmpty else { return Quality(bestPossibleRecall: 0, anchorsPerBox: 0, fitness: 0) }
    let limit = 1 / ratioThreshold
    var matched = 0
    var matches = 0
    var fitness = 0.0
    for box in boxSizes {
      var best: Float = 0
      for anchor in anchors {
        let fit = fit(box, anchor)
        if fit > limit { matches += 1 }
        best = max(best, fit)
      }
      if best > limit {
        matched += 1
        fitness += Double(best)
      }
    }
    let count = Double(boxSizes.count)
    return Quality(
      bestPossibleRecall: Double(matched) / count, anchorsPerBox: Double(matches) / count, fitness: fitness / count)
  }

  /// Anchors for the boxes, ascending by area: k-means in units of the standard deviation, then random changes of which
  /// those are kept that raise the fitness. The same seed gives the same anchors.
  /// - Returns: nil if there are fewer usable boxes (2 pixels or more on a side) than anchors asked for.
  public static func anchors(
    for boxSizes: [SIMD2<Float>], count: Int, ratioThreshold: Float = 4, generations: Int = 1000, seed: UInt64
  ) -> [SIMD2<Float>]? {
    let usable = boxSizes.filter { $0.x >= 2 || $0.y >= 2 }
    guard count > 0, usable.count >= count else { return nil }
    var generator = SplitMix64(seed: seed)
    var anchors = cluster(usable, count: count, &generator)
    var fitness = quality(boxSizes: usable, anchors: anchors, ratioThreshold: ratioThreshold).fitness
    for _ in 0..<generations {
      let changed = mutated(anchors, &generator)
      let changedFitness = quality(boxSizes: usable, anchors: changed, ratioThreshold: ratioThreshold).fitness
      if changedFitness > fitness { (anchors, fitness) = (changed, changedFitness) }
    }
    return anchors.sorted { $0.x * $0.y < $1.x * $1.y }
  }

  private static func fit(_ box: SIMD2<Float>, _ anchor: SIMD2<Float>) -> Float {
    let ratio = box / anchor
    let inverse = anchor / box
    return min(min(ratio.x, inverse.x), min(ratio.y, inverse.y))
  }

  /// Nine of ten sides times a factor near 1 (normal, deviation up to 0.1), at least one of them changed.
  private static func mutated(_ anchors: [SIMD2<Float>], _ generator: inout SplitMix64) -> [SIMD2<Float>] {
    let strength = generator.unit()
    func side(_ value: Float) -> Float {
      guard generator.unit() < 0.9 else { return value }
      let factor = min(max(strength * generator.normal() * 0.1 + 1, 0.3), 3)
      return max(value * Float(factor), 2)
    }
    while true {
      let changed = anchors.map { SIMD2(side($0.x), side($0.y)) }
      if changed != anchors { return changed }
    }
  }

  /// The best of several runs of k-means from random boxes.
  private static func cluster(
    _ boxSizes: [SIMD2<Float>], count: Int, _ generator: inout SplitMix64
  ) -> [SIMD2<Float>] {
    let deviation = standardDeviation(boxSizes)
    let points = boxSizes.map { $0 / deviation }
    var best: (centers: [SIMD2<Float>], error: Float)?
    for _ in 0..<30 {
      var order = Array(points.indices)
      generator.shuffle(&order)
      var centers = order.prefix(count).map { points[$0] }
      var error = Float.infinity
      for _ in 0..<100 {
        let previous = error
        error = improve(&centers, points)
        if previous - error <= 1e-5 { break }
      }
      if error < best?.error ?? .infinity { best = (centers, error) }
    }
    return (best?.centers ?? []).map { $0 * deviation }
  }

  /// Moves each centre to the mean of the points nearest to it; a centre without points stays.
  /// - Returns: the mean distance to the nearest centre before the move.
  private static func improve(_ centers: inout [SIMD2<Float>], _ points: [SIMD2<Float>]) -> Float {
    var sums = [SIMD2<Float>](repeating: .zero, count: centers.count)
    var counts = [Float](repeating: 0, count: centers.count)
    var error: Float = 0
    for point in points {
      var nearest = 0
      var least = Float.infinity
      for (index, center) in centers.enumerated() {
        let difference = point - center
        let distance = (difference * difference).sum()
        if distance < least { (nearest, least) = (index, distance) }
      }
      sums[nearest] += point
      counts[nearest] += 1
      error += least.squareRoot()
    }
    for index in centers.indices where counts[index] > 0 { centers[index] = sums[index] / counts[index] }
    return error / Float(points.count)
  }

  /// Along each axis; 1 where all are equal.
  private static func standardDeviation(_ points: [SIMD2<Float>]) -> SIMD2<Float> {
    let mean = points.reduce(.zero, +) / Float(points.count)
    let variance = points.reduce(.zero) { $0 + ($1 - mean) * ($1 - mean) } / Float(points.count)
    let deviation = variance.squareRoot()
    return deviation.replacing(with: 1, where: deviation .== 0)
  }
}
