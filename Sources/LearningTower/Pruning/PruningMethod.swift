public import Network

/// How channels are chosen, whatever number of them is to go.
public struct PruningMethod: Sendable, Hashable, Codable {
  public var policy: PruningPolicy
  public var importance: Importance
  /// Which channels' scores are compared with each other.
  public var scope: PruningScope
  /// The seed of the random importance.
  public var seed: UInt64
  /// The least number of channels that every map keeps, or all it has if that is less: the best of its channels stay
  /// although they score below the threshold. Without it a cut that would empty a layer is refused.
  public var minimumChannels: Int?
  /// The least share of its channels that every map keeps, in [0, 1].
  public var minimumShare: Double
  /// Every map keeps a multiple of this, rounded up, or all it has: hardware likes 8 and 16.
  public var roundTo: Int

  public init(
    _ policy: PruningPolicy, importance: Importance = .gamma, scope: PruningScope = .network, seed: UInt64 = 0,
    minimumChannels: Int? = nil, minimumShare: Double = 0, roundTo: Int = 1
  ) {
    self.policy = policy
    self.importance = importance
    self.scope = scope
    self.minimumShare = minimumShare
    self.seed = seed
    self.minimumChannels = minimumChannels
    self.roundTo = roundTo
  }

  /// Reads a method; files of older versions have neither scope nor least share.
  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      try values.decode(PruningPolicy.self, forKey: .policy),
      importance: try values.decode(Importance.self, forKey: .importance),
      scope: try values.decodeIfPresent(PruningScope.self, forKey: .scope) ?? .network,
      seed: try values.decode(UInt64.self, forKey: .seed),
      minimumChannels: try values.decodeIfPresent(Int.self, forKey: .minimumChannels),
      minimumShare: try values.decodeIfPresent(Double.self, forKey: .minimumShare) ?? 0,
      roundTo: try values.decode(Int.self, forKey: .roundTo))
  }
}

/// Which channels' scores are compared with each other.
public enum PruningScope: String, Sendable, Hashable, Codable, CaseIterable {
  /// All scores of the network, as they are.
  case network
  /// All scores of the network, each divided by the mean of its layer, because layers score on scales of their own.
  case normalized
  /// The scores of one layer: every layer loses the same share.
  case layer
}

/// Which channels may go. Both policies cut the first `int(N · ratio)` of the `N` candidates in ascending order of
/// their scores in the whole network; the threshold is the next one's score. Of equal scores each layer loses a like
/// share. A cut channel's scale and shift count as zero.
public enum PruningPolicy: String, Sendable, Hashable, Codable, CaseIterable {
  /// The study's, for YOLOv5: each channel by its own |gamma|, and batch norms tied by shortcuts left whole
  /// (`Network.sparsityExcludedBatchNorms`). Refuses a network in which other channels are tied.
  case study
  /// For every family: channels tied by sums, depthwise convolutions, shuffles and so on are cut together. A unit's
  /// score is the mean of its channels': the mean, because units of many batch norms and of one must compare. A unit
  /// counts once, however many channels are tied in it.
  case grouped
  /// As `grouped`, for channels that sparsity training towards a ratio has faded out (`ChannelFading`): the plan cuts
  /// those whose scales and shifts are zero, whatever ratio is asked for.
  case gradual
}

/// The definition of a channel's score.
public enum Importance: String, Sendable, Hashable, Codable, CaseIterable {
  /// |gamma| of its batch norm: all start at 1 and shrink under the same penalty (network slimming).
  case gamma
  /// The sum of its filter's |weights| (Li et al., ICLR 2017), in units of the convolution's mean, because filters of
  /// different sizes do not compare.
  case weightL1 = "weight_l1"
  /// The filter's Euclidean norm, in units of the convolution's mean.
  case weightL2 = "weight_l2"
  /// How much the loss changes without the channel, estimated from gradients over training pictures (`TaylorScores`).
  case taylor
  /// Drawn from the seed: what the others must beat.
  case random
}

extension PruningPolicy {
  /// The study's policy where it applies, otherwise the grouped one.
  public static func standard(for network: Network, importance: Importance = .gamma) -> PruningPolicy {
    guard importance == .gamma, !network.sparsityExcludedBatchNorms.isEmpty, let units = try? ChannelUnits(network)
    else { return .grouped }
    return units.firstTiedBatchNorm == nil ? .study : .grouped
  }
}
