public import Network

/// The channels of a network in the order in which they go: plans of any size are made from one ranking.
public struct ChannelRanking: Sendable {
  public let method: PruningMethod
  /// The largest number of units that can be asked to go without emptying a layer.
  public let largestCut: Int

  let units: ChannelUnits
  /// Per unit its score, or nothing where it may not be cut.
  let scores: [Float?]
  /// The candidates' scores, ascending.
  let sorted: [Float]
  private let before: PruningPlan.Cost

  /// - Throws: `PruningError` when the method does not fit the network or nothing can be cut, `NetworkError` when
  ///   parameters and network do not belong together.
  public init(_ network: Network, _ parameters: Parameters, _ method: PruningMethod) throws {
    guard method.roundTo >= 1, method.minimumChannels ?? 1 >= 1 else {
      throw PruningError("the least number of channels, and what it is a multiple of, are at least 1")
    }
    let parameters = try network.validated(parameters)
    self.method = method
    units = try ChannelUnits(network)
    scores = try units.scores(parameters, method)
    sorted = scores.compactMap(\.self).sorted()
    guard !sorted.isEmpty else { throw PruningError("\(network.name) has no channel that may be cut") }
    before = try PruningPlan.Cost(network)
    let firstToVanish = Self.vanishingCuts(units, scores, sorted).min() ?? .max
    largestCut = method.minimumChannels == nil ? min(firstToVanish, sorted.count) - 1 : sorted.count - 1
  }

  /// Units of tied channels that may go.
  public var candidateCount: Int { sorted.count }

  /// The plan that cuts a share of the candidates.
  /// - Parameter ratio: in [0, 1).
  /// - Throws: `PruningError` when it would empty a layer, with the layers and the largest ratio that would not.
  public func plan(ratio: Double) throws -> PruningPlan {
    guard ratio >= 0, ratio < 1 else { throw PruningError("prune ratio \(ratio) does not lie in [0, 1)") }
    return try plan(cutting: Int(Double(sorted.count) * ratio), ratio: ratio)
  }

  /// - Parameter count: units to cut, less than the candidates. Fewer go where scores are equal, or where the method's
  ///   floor or multiple keeps some.
  func plan(cutting count: Int, ratio: Double) throws -> PruningPlan {
    if count > largestCut { throw refusal(of: ratio, cutting: count) }
    let threshold = sorted[count]
    var isCut = scores.map { score in score.map { $0 < threshold } ?? false }
    restore(&isCut)
    return PruningPlan(
      network: units.network.name, method: method, ratio: ratio, threshold: threshold, candidateCount: sorted.count,
      layers: layers(isCut), groups: groups(isCut), before: before,
      after: try PruningPlan.Cost(units.network(without: isCut)))
  }

  // MARK: - Nothing may vanish

  /// Per node the least number of units to cut that leaves none of its channels: as many as score no more than its
  /// best one.
  private static func vanishingCuts(_ units: ChannelUnits, _ scores: [Float?], _ sorted: [Float]) -> [Int] {
    units.unitOf.map { node in
      let best = node.reduce(-Float.infinity) { max($0, scores[$1] ?? .infinity) }
      return best == .infinity ? .max : sorted.partitioningIndex { $0 > best }
    }
  }

  private func refusal(of ratio: Double, cutting count: Int) -> PruningError {
    let nodes = units.network.nodes
    let cuts = Self.vanishingCuts(units, scores, sorted)
    let emptied = cuts.indices.filter { cuts[$0] <= count }
    let layers = emptied.filter { nodes[$0].operation.bringsChannels }
    let limits = layers.sorted { (cuts[$0], $0) < (cuts[$1], $1) }.map { node in
      LayerLimit(
        layer: nodes[node].name, channelCount: units.unitOf[node].count,
        largestScore: units.unitOf[node].compactMap { scores[$0] }.max() ?? 0,
        vanishingRatio: Double(cuts[node]) / Double(sorted.count))
    }
    let worst = limits.prefix(3).map { limit in
      "\(limit.layer) (\(limit.channelCount) channels, largest score \(limit.largestScore), gone from "
        + "\(rounded(limit.vanishingRatio)) on)"
    }
    let rest = limits.count > 3 ? " and \(limits.count - 3) more" : ""
    return PruningError(
      """
      a prune ratio of \(ratio) leaves no channel in \(worst.joined(separator: ", "))\(rest); the largest ratio that \
      keeps one in every layer is \(Double(largestCut) / Double(sorted.count)); prune less, set a least number of \
      channels to keep, or train with more sparsity first
      """, emptied: limits)
  }

  /// Takes cuts back, best first, until every map keeps the floor and the multiple, or all it has. What is taken back
  /// returns to every map it is tied to, so they are gone through until none changes.
  private func restore(_ isCut: inout [Bool]) {
    guard method.minimumChannels != nil || method.roundTo > 1 else { return }
    let floor = method.minimumChannels ?? 1
    var changes = true
    while changes {
      changes = false
      for map in units.unitOf {
        var kept = map.count { !isCut[$0] }
        guard kept < map.count, kept < floor || kept % method.roundTo != 0 else { continue }
        for unit in Set(map).filter({ isCut[$0] }).sorted(by: { (scores[$0]!, $1) > (scores[$1]!, $0) }) {
          isCut[unit] = false
          changes = true
          kept += map.count { $0 == unit }
          if kept >= floor, kept % method.roundTo == 0 { break }
        }
      }
    }
  }

  // MARK: - The plan's tables

  /// Units that tie the same batch norms, together.
  private func groups(_ isCut: [Bool]) -> [PruningPlan.Group] {
    struct Key: Hashable {
      var batchNorms: [Int]
      var isCandidate: Bool
    }
    var groups: [PruningPlan.Group] = []
    var indexOf: [Key: Int] = [:]
    for (index, unit) in units.units.enumerated() where !unit.members.isEmpty {
      let key = Key(batchNorms: unit.batchNorms, isCandidate: scores[index] != nil)
      let group = indexOf[key] ?? groups.count
      if group == groups.count {
        indexOf[key] = group
        let reason = key.isCandidate ? nil : unit.fixedReason?.rawValue ?? unscoredReason
        groups.append(
          PruningPlan.Group(
            batchNorms: key.batchNorms.map { units.network.nodes[$0].name }, unitCount: 0, cut: [],
            fixedReason: reason))
      }
      groups[group].unitCount += 1
      guard let score = scores[index] else { continue }
      groups[group].lowestScore = min(groups[group].lowestScore ?? score, score)
      groups[group].highestScore = max(groups[group].highestScore ?? score, score)
      if isCut[index] {
        let channels = key.batchNorms.map { node in unit.members.filter { $0.batchNorm == node }.map(\.channel) }
        groups[group].cut.append(PruningPlan.Cut(score: score, channels: channels))
      }
    }
    return groups
  }

  private var unscoredReason: String { method.policy == .study ? "left whole by the study" : "no filter scores it" }

  private func layers(_ isCut: [Bool]) -> [PruningPlan.Layer] {
    units.network.nodes.indices.compactMap { index in
      guard case .batchNorm = units.network.nodes[index].operation else { return nil }
      let channels = units.unitOf[index]
      return PruningPlan.Layer(
        batchNorm: units.network.nodes[index].name, channelCount: channels.count,
        keptCount: channels.count { !isCut[$0] })
    }
  }
}

extension Operation {
  /// Whether its channels can vanish while all maps it reads keep some: other maps vanish only together with one of
  /// these.
  fileprivate var bringsChannels: Bool {
    switch self {
    case .batchNorm, .slice: true
    default: false
    }
  }
}

extension ChannelUnits.Unit {
  /// Each once, in node order.
  var batchNorms: [Int] {
    var result: [Int] = []
    for member in members where result.last != member.batchNorm { result.append(member.batchNorm) }
    return result
  }
}

extension [Float] {
  /// The first index of a sorted array at which the condition holds, or the count.
  fileprivate func partitioningIndex(where isBeyond: (Float) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isBeyond(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

/// To three decimals, for people.
func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
