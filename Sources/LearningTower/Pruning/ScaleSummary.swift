public import Network

/// How far sparsity training has come: the batch-norm scales and the scores of the channels that may be cut, at a
/// glance.
public struct ScaleSummary: Sendable, Hashable, Codable {
  /// The share of the prunable units whose scales and shifts are all zero: they can be cut without any change.
  public var zeroShare: Double
  /// The share of them that is to be zero at the end; nil where the training has no such aim.
  public var targetShare: Double?
  /// The share of the prunable channels whose |gamma| is below 0.01.
  public var nearZeroShare: Double
  /// |gamma| below which a tenth, half and nine tenths of the prunable channels lie.
  public var lowerScale: Double
  public var medianScale: Double
  public var upperScale: Double
  /// The scores by which channels would be cut; nil where none is above zero.
  public var scores: ScoreHistogram?

  enum CodingKeys: String, CodingKey {
    case scores
    case zeroShare = "zero_share"
    case targetShare = "target_share"
    case nearZeroShare = "near_zero_share"
    case lowerScale = "gamma_10"
    case medianScale = "gamma_50"
    case upperScale = "gamma_90"
  }

  public init(
    zeroShare: Double, nearZeroShare: Double, lowerScale: Double, medianScale: Double, upperScale: Double,
    targetShare: Double? = nil
  ) {
    self.zeroShare = zeroShare
    self.nearZeroShare = nearZeroShare
    self.lowerScale = lowerScale
    self.medianScale = medianScale
    self.upperScale = upperScale
    self.targetShare = targetShare
  }

  /// - Parameters:
  ///   - targetShare: the share of the units that is to be zero at the end.
  ///   - method: how channels would be chosen.
  ///   - taylor: what that importance needs.
  /// - Throws: `NetworkError` when the network cannot be analysed or parameters are missing.
  public init(
    _ network: Network, _ parameters: Parameters, targetShare: Double? = nil,
    by method: PruningMethod = PruningMethod(.grouped), taylor: TaylorScores? = nil
  ) throws {
    let units = try ChannelUnits(network)
    let parameters = try network.validated(parameters)
    let candidates = units.units.indices.filter { units.units[$0].fixedReason == nil }
    let isZero = units.zeroUnits(parameters)
    let scales = candidates.flatMap { index in
      units.units[index].members.map { member in
        Double(abs(parameters["\(network.nodes[member.batchNorm].name).weight"]!.values[member.channel]))
      }
    }.sorted()
    func share(_ count: Int, of total: Int) -> Double { total == 0 ? 0 : Double(count) / Double(total) }
    func quantile(_ fraction: Double) -> Double {
      scales.isEmpty ? 0 : scales[min(Int(fraction * Double(scales.count)), scales.count - 1)]
    }
    zeroShare = share(candidates.count { isZero[$0] }, of: candidates.count)
    nearZeroShare = share(scales.count { $0 < 0.01 }, of: scales.count)
    lowerScale = quantile(0.1)
    medianScale = quantile(0.5)
    upperScale = quantile(0.9)
    self.targetShare = targetShare
    scores = (try? units.scores(parameters, method, taylor)).flatMap { ScoreHistogram($0.compactMap(\.self)) }
  }
}
