public import Network

/// How channels are scored and which may go. Both cut what scores below one threshold for the whole network: element
/// `int(N · ratio)` of the `N` candidates' scores in ascending order. A cut channel's scale and shift count as zero.
public enum PruningPolicy: String, Sendable, Hashable, Codable, CaseIterable {
  /// The study's, for YOLOv5: each channel by its own |gamma|, and batch norms tied by shortcuts left whole
  /// (`Network.sparsityExcludedBatchNorms`). Refuses a network in which other channels are tied.
  case study
  /// For every family: channels tied by sums, depthwise convolutions, shuffles and so on are cut together. A unit's
  /// score is the mean of its |gamma|s: the mean, because units of many batch norms and of one must compare; all batch
  /// norms start at gamma 1 and shrink under the same penalty. A unit counts once, however many channels are tied in
  /// it.
  case grouped
}

extension PruningPolicy {
  /// The study's policy where it applies, otherwise the grouped one.
  public static func standard(for network: Network) -> PruningPolicy {
    network.sparsityExcludedBatchNorms.isEmpty ? .grouped : .study
  }
}

extension PruningPlan {
  /// Scores the channels of `network` by the gammas in `parameters` and chooses those that go.
  /// - Parameter ratio: the share of the candidates to cut, in [0, 1).
  /// - Throws: `PruningError` when the ratio would empty a layer (naming the layers and the largest ratio that would
  ///   not) or the policy does not fit the network; `NetworkError` when parameters and network do not belong together.
  public init(
    _ network: Network, _ parameters: Parameters, policy: PruningPolicy, ratio: Double
  ) throws {
    guard ratio >= 0, ratio < 1 else { throw PruningError("prune ratio \(ratio) does not lie in [0, 1)") }
    let parameters = try network.validated(parameters)
    let units = try ChannelUnits(network)
    let scores = try Self.scores(units, parameters, policy)

    let sorted = scores.compactMap(\.self).sorted()
    guard !sorted.isEmpty else { throw PruningError("\(network.name) has no channel that may be cut") }
    let threshold = sorted[Int(Double(sorted.count) * ratio)]
    let isCut = scores.map { score in score.map { $0 < threshold } ?? false }
    try Self.checkNothingEmptied(units, scores, sorted, threshold, ratio)

    self.network = network.name
    self.policy = policy
    self.ratio = ratio
    self.threshold = threshold
    candidateCount = sorted.count
    groups = Self.groups(units, scores, isCut)
    before = try Cost(network)
    after = try Cost(units.network(without: isCut))
  }

  /// Per unit its score, or nothing where it may not be cut.
  private static func scores(
    _ units: ChannelUnits, _ parameters: Parameters, _ policy: PruningPolicy
  ) throws(PruningError) -> [Float?] {
    let nodes = units.network.nodes
    var gammas: [Int: [Float]] = [:]
    for (index, node) in nodes.enumerated() {
      guard case .batchNorm = node.operation, let gamma = parameters["\(node.name).weight"]?.values else { continue }
      guard gamma.allSatisfy(\.isFinite) else { throw PruningError("\(node.name) has scales that are not numbers") }
      gammas[index] = gamma.map(abs)
    }
    let excluded = policy == .study ? Set(units.network.sparsityExcludedBatchNorms) : []
    var scores: [Float?] = []
    for unit in units.units {
      if policy == .study {
        let free = unit.members.filter { !excluded.contains(nodes[$0.batchNorm].name) }
        if let first = free.first, unit.members.count > 1 || unit.fixedReason != nil {
          throw PruningError(
            """
            the study's policy cuts channels one by one, but those of \(nodes[first.batchNorm].name) in \
            \(units.network.name) are tied to others; use the grouped policy
            """)
        }
        scores.append(free.first.map { gammas[$0.batchNorm]![$0.channel] })
      } else if unit.fixedReason != nil {
        scores.append(nil)
      } else {
        let sum = unit.members.reduce(0.0) { $0 + Double(gammas[$1.batchNorm]![$1.channel]) }
        scores.append(Float(sum / Double(unit.members.count)))
      }
    }
    return scores
  }

  private static func checkNothingEmptied(
    _ units: ChannelUnits, _ scores: [Float?], _ sorted: [Float], _ threshold: Float, _ ratio: Double
  ) throws(PruningError) {
    // A node keeps a channel as long as the threshold does not exceed its best score.
    let best = units.unitOf.map { node in node.map { scores[$0] ?? .infinity }.max() ?? .infinity }
    let emptied = best.indices.filter { best[$0] < threshold }
    guard !emptied.isEmpty else { return }
    let highest = best.min() ?? .infinity
    let safeCount = sorted.count { $0 <= highest } - 1
    let nodes = units.network.nodes
    let batchNorms = emptied.filter { if case .batchNorm = nodes[$0].operation { true } else { false } }
    let names = (batchNorms.isEmpty ? emptied : batchNorms).map { nodes[$0].name }
    throw PruningError(
      """
      a prune ratio of \(ratio) leaves no channel in \(names.joined(separator: ", ")); the largest ratio that keeps \
      one in every layer is \(Double(safeCount) / Double(sorted.count)); prune less, or train with more sparsity first
      """)
  }

  /// Units that tie the same batch norms, together.
  private static func groups(_ units: ChannelUnits, _ scores: [Float?], _ isCut: [Bool]) -> [Group] {
    var groups: [Group] = []
    var indexOf: [[Int]: Int] = [:]
    for (index, unit) in units.units.enumerated() where !unit.members.isEmpty {
      var key: [Int] = []
      for member in unit.members where key.last != member.batchNorm { key.append(member.batchNorm) }
      let group =
        indexOf[key]
        ?? {
          indexOf[key] = groups.count
          let reason = scores[index] == nil ? unit.fixedReason?.rawValue ?? "left whole by the study" : nil
          groups.append(
            Group(
              batchNorms: key.map { units.network.nodes[$0].name }, unitCount: 0, cut: [], fixedReason: reason))
          return groups.count - 1
        }()
      groups[group].unitCount += 1
      if isCut[index], let score = scores[index] {
        let channels = key.map { node in unit.members.filter { $0.batchNorm == node }.map(\.channel) }
        groups[group].cut.append(Cut(score: score, channels: channels))
      }
    }
    return groups
  }
}
