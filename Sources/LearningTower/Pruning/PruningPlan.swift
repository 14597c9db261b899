import Network

/// Which channels go, and what follows from it, before anything is cut. A plan is a value: it can be printed, stored
/// and applied later to the network it was made for.
public struct PruningPlan: Sendable, Hashable, Codable {
  /// The network's name, for the record.
  public var network: String
  public var method: PruningMethod
  /// The share of the candidate channels that was asked to go, rounded down.
  public var ratio: Double
  /// The channels that go score no more than this; those that stay score no less, unless the method's floor or multiple
  /// keeps them.
  public var threshold: Float
  /// Units of channels that could have gone.
  public var candidateCount: Int
  /// The batch norms in execution order, those with nothing to cut included.
  public var layers: [Layer]
  /// In execution order, those with nothing to cut included.
  public var groups: [Group]
  public var before: Cost
  public var after: Cost

  /// The fate of the channels of one batch norm.
  public struct Layer: Sendable, Hashable, Codable {
    /// Its path, such as `model.2.cv1.bn`.
    public var batchNorm: String
    public var channelCount: Int
    public var keptCount: Int
  }

  /// Batch norms whose channels are tied to each other: what is cut of one is cut of all.
  public struct Group: Sendable, Hashable, Codable {
    /// Paths, such as `model.2.cv1.bn`.
    public var batchNorms: [String]
    /// Units of tied channels.
    public var unitCount: Int
    public var cut: [Cut]
    /// Why nothing may be cut here, if so.
    public var fixedReason: String?
    /// The lowest score of the units that may go.
    public var lowestScore: Float?
    public var highestScore: Float?
  }

  public struct Cut: Sendable, Hashable, Codable {
    public var score: Float
    /// For each of the group's batch norms the channels that go.
    public var channels: [[Int]]
  }

  public struct Cost: Sendable, Hashable, Codable {
    public var parameterCount: Int
    /// For an image of 640 × 640.
    public var gflops: Double
    /// Half precision, 10⁶ bytes.
    public var sizeMegabytes: Double

    init(_ network: Network) throws(NetworkError) {
      parameterCount = network.parameterCount
      gflops = try network.gflops(imageSize: 640)
      sizeMegabytes = network.sizeMegabytes
    }
  }

  /// Units of tied channels that go.
  public var cutUnitCount: Int { groups.reduce(0) { $0 + $1.cut.count } }

  /// The channels that go, by batch norm, ascending.
  public var cutChannels: [String: [Int]] {
    var result: [String: [Int]] = [:]
    for group in groups {
      for cut in group.cut {
        for (name, channels) in zip(group.batchNorms, cut.channels) { result[name, default: []] += channels }
      }
    }
    return result.mapValues { $0.sorted() }
  }
}

extension PruningPlan: CustomStringConvertible {
  /// The totals and the remarks, in lines.
  public var description: String {
    let totals = """
      \(network), \(method): \(cutUnitCount) of \(candidateCount) channels go (ratio \(rounded(ratio)), threshold \
      \(threshold))
      parameters \(before.parameterCount) → \(after.parameterCount)
      GFLOPs at 640 \(rounded(before.gflops)) → \(rounded(after.gflops))
      megabytes in half precision \(rounded(before.sizeMegabytes)) → \(rounded(after.sizeMegabytes))
      """
    return ([totals] + remarks).joined(separator: "\n")
  }

  /// Sentences about where less goes than was asked for, and where scores do not tell channels apart.
  public var remarks: [String] {
    var remarks: [String] = []
    // A ratio made from a count may be a hair below it.
    let asked = Int(Double(candidateCount) * ratio + 1e-6)
    if ratio > 0, asked == 0 {
      remarks.append("nothing goes: a ratio of \(ratio) is less than one of \(candidateCount) channels")
    }
    if asked > cutUnitCount {
      let floor = method.minimumChannels.map { "at least \($0)" }
      let multiple = method.roundTo > 1 ? "multiples of \(method.roundTo)" : nil
      remarks.append(
        "\(asked - cutUnitCount) of the \(asked) channels asked for stay, because layers keep "
          + [floor, multiple].compactMap(\.self).joined(separator: " and "))
    }
    let tiedCount = groups.reduce(0) { $0 + $1.cut.count { $0.score == threshold } }
    if tiedCount > 0 {
      remarks.append("\(tiedCount) of them score just the threshold: of equal scores, each layer loses a like share")
    }
    let scores = groups.flatMap { [$0.lowestScore, $0.highestScore].compactMap(\.self) }
    if tiedCount > 0, scores.allSatisfy({ $0 == threshold }) {
      remarks.append(
        "all channels score the same, so the scores say nothing: train with a sparsity rate first, or choose another "
          + "importance")
    }
    return remarks
  }
}

extension PruningMethod: CustomStringConvertible {
  public var description: String {
    var words = ["\(policy.rawValue) policy"]
    switch importance {
    case .gamma: words.append("scored by |gamma|")
    case .weightL1: words.append("scored by the filters' L1 norms")
    case .weightL2: words.append("scored by the filters' L2 norms")
    case .random: words.append("scored at random from seed \(seed)")
    case .taylor: words.append("scored by their effect on the loss")
    }
    switch scope {
    case .network: break
    case .normalized: words.append("in units of each layer's mean")
    case .layer: words.append("layer by layer")
    }
    if let minimumChannels { words.append("at least \(minimumChannels) a layer") }
    if minimumShare > 0 { words.append("at least \(rounded(minimumShare * 100)) % of a layer") }
    if roundTo > 1 { words.append("in multiples of \(roundTo)") }
    return words.joined(separator: ", ")
  }
}
