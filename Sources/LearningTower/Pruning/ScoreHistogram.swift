import Foundation

/// How the scores of a network's channels are spread, in bins of equal width on a logarithmic scale: few channels score
/// high, most are orders of magnitude below them.
public struct ScoreHistogram: Sendable, Hashable, Codable {
  /// The decimal logarithms of the lowest and of the highest score.
  public var lowest: Double
  public var highest: Double
  /// How many units of tied channels lie in each bin, from low scores to high ones.
  public var counts: [Int]

  private static let binCount = 16

  /// Units that score zero are left out: they have been faded out, or the loss does not depend on them.
  /// - Returns: nil where no score is above zero.
  public init?(_ scores: some Sequence<Float>) {
    let logarithms = scores.filter { $0 > 0 && $0.isFinite }.map { log10(Double($0)) }
    guard let lowest = logarithms.min(), let highest = logarithms.max() else { return nil }
    (self.lowest, self.highest) = (lowest, highest)
    counts = Array(repeating: 0, count: highest > lowest ? Self.binCount : 1)
    for value in logarithms {
      let bin = highest > lowest ? Int((value - lowest) / (highest - lowest) * Double(Self.binCount)) : 0
      counts[min(bin, counts.count - 1)] += 1
    }
  }

  /// The decimal logarithms at the upper edges of the bins.
  public var upperEdges: [Double] {
    let width = (highest - lowest) / Double(counts.count)
    return counts.indices.map { $0 == counts.count - 1 ? highest : lowest + Double($0 + 1) * width }
  }
}
