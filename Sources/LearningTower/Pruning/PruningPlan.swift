import Network

/// Which channels go, and what follows from it, before anything is cut. A plan is a value: it can be printed, stored
/// and applied later to the network it was made for.
public struct PruningPlan: Sendable, Hashable, Codable {
  /// The network's name, for the record.
  public var network: String
  public var policy: PruningPolicy
  /// The share of the candidate channels that goes, rounded down.
  public var ratio: Double
  /// Channels score at least this to stay.
  public var threshold: Float
  /// Units of channels that could have gone; `int(candidates · ratio)` of them do.
  public var candidateCount: Int
  /// In execution order, those with nothing to cut included.
  public var groups: [Group]
  public var before: Cost
  public var after: Cost

  /// Batch norms whose channels are tied to each other: what is cut of one is cut of all.
  public struct Group: Sendable, Hashable, Codable {
    /// Paths, such as `model.2.cv1.bn`.
    public var batchNorms: [String]
    /// Units of tied channels.
    public var unitCount: Int
    public var cut: [Cut]
    /// Why nothing may be cut here, if so.
    public var fixedReason: String?
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

  /// Channels of batch norms that go, in all.
  public var cutChannelCount: Int {
    groups.reduce(0) { $0 + $1.cut.reduce(0) { $0 + $1.channels.reduce(0) { $0 + $1.count } } }
  }

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
  public var description: String {
    var lines = [
      "\(network), \(policy.rawValue) policy, ratio \(ratio): \(groups.reduce(0) { $0 + $1.cut.count }) of "
        + "\(candidateCount) channels score below \(threshold)"
    ]
    for group in groups {
      let names = group.batchNorms.joined(separator: " + ")
      let kept = group.unitCount - group.cut.count
      lines.append("  \(names): \(group.unitCount) → \(kept)\(group.fixedReason.map { " (\($0))" } ?? "")")
    }
    func rounded(_ value: Double) -> String { String(Double((value * 1000).rounded()) / 1000) }
    lines.append("  parameters \(before.parameterCount) → \(after.parameterCount)")
    lines.append("  GFLOPs at 640 \(rounded(before.gflops)) → \(rounded(after.gflops))")
    lines.append("  megabytes \(rounded(before.sizeMegabytes)) → \(rounded(after.sizeMegabytes))")
    return lines.joined(separator: "\n")
  }
}
