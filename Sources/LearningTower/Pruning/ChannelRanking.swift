public import Network

/// The channels of a network in the order in which they go: plans of any size are made from one ranking.
public struct ChannelRanking: Sendable {
  public let method: PruningMethod
  /// The largest number of units that can be asked to go without emptying a layer.
  public let largestCut: Int

  let units: ChannelUnits
  /// Per unit its score, or nothing where it may not be cut.
  let scores: [Float?]
  /// The candidates in the order in which they go: by ascending score, and those of one score from all layers in turn,
  /// so that none loses more than its share.
  private let order: [Int]
  /// Per unit its place in `order`, or nothing where it may not be cut.
  private let rank: [Int?]
  /// Per unit whether it computes nothing.
  private let zeroUnits: [Bool]
  let before: PruningPlan.Cost

  /// - Throws: `PruningError` when the method does not fit the network or nothing can be cut, `NetworkError` when
  ///   parameters and network do not belong together.
  /// - Parameter taylor: measured for this network; needed by that importance only.
  public init(
    _ network: Network, _ parameters: Parameters, _ method: PruningMethod, taylor: TaylorScores? = nil
  ) throws {
    guard method.roundTo >= 1, method.minimumChannels ?? 1 >= 1 else {
      throw PruningError("the least number of channels, and what it is a multiple of, are at least 1")
    }
    let parameters = try network.validated(parameters)
    self.method = method
    units = try ChannelUnits(network)
    scores = try units.scores(parameters, method, taylor)
    zeroUnits = units.zeroUnits(parameters)
    order = Self.order(units, scores)
    guard !order.isEmpty else { throw PruningError("\(network.name) has no channel that may be cut") }
    var rank = [Int?](repeating: nil, count: scores.count)
    for (place, unit) in order.enumerated() { rank[unit] = place }
    self.rank = rank
    before = try PruningPlan.Cost(network)
    let firstToVanish = Self.vanishingCuts(units, rank).min() ?? .max
    largestCut =
      method.minimumChannels == nil && method.minimumShare == 0 ? min(firstToVanish, order.count) - 1 : order.count - 1
  }

  /// Units of tied channels that may go.
  public var candidateCount: Int { order.count }

  private static func order(_ units: ChannelUnits, _ scores: [Float?]) -> [Int] {
    let candidates = scores.indices.filter { scores[$0] != nil }
    let groups = Dictionary(grouping: candidates) { units.units[$0].batchNorms }
    // How far down its group a unit stands.
    var depth = [Double](repeating: 0, count: scores.count)
    for group in groups.values {
      for (place, unit) in group.enumerated() { depth[unit] = Double(place + 1) / Double(group.count) }
    }
    return candidates.sorted { (scores[$0]!, depth[$0], $0) < (scores[$1]!, depth[$1], $1) }
  }

  /// The plan that cuts a share of the candidates.
  /// - Parameter ratio: in [0, 1).
  /// - Throws: `PruningError` when it would empty a layer, with the layers and the largest ratio that would not.
  public func plan(ratio: Double) throws -> PruningPlan {
    guard ratio >= 0, ratio < 1 else { throw PruningError("prune ratio \(ratio) does not lie in [0, 1)") }
    return try plan(cutting: Int(Double(candidateCount) * ratio), ratio: ratio)
  }

  /// The plan that cuts what computes nothing: the channels that sparsity training has faded out.
  /// - Throws: `PruningError` when there is none.
  public func planOfZeroChannels() throws -> PruningPlan {
    let isCut = zip(zeroUnits, scores).map { $0 && $1 != nil }
    let count = isCut.count { $0 }
    guard count > 0 else {
      throw PruningError(
        "\(units.network.name) has no channel whose scale and shift are zero: let some fade out in "
          + "sparsity training first (a larger share, a smaller min_channels), or give another policy and a ratio")
    }
    return PruningPlan(
      network: units.network.name, method: method, ratio: Double(count) / Double(candidateCount),
      threshold: .leastNonzeroMagnitude, candidateCount: candidateCount, layers: layers(isCut), groups: groups(isCut),
      before: before, after: try PruningPlan.Cost(units.network(without: isCut)))
  }

  /// - Parameter count: units to cut, less than the candidates. Fewer go where the method's floor or multiple keeps
  ///   some.
  func plan(cutting count: Int, ratio: Double) throws -> PruningPlan {
    if count > largestCut { throw refusal(of: ratio, cutting: count) }
    var isCut = rank.map { $0.map { $0 < count } ?? false }
    restore(&isCut)
    return PruningPlan(
      network: units.network.name, method: method, ratio: ratio, threshold: scores[order[count]]!,
      candidateCount: candidateCount,
      layers: layers(isCut), groups: groups(isCut), before: before,
      after: try PruningPlan.Cost(units.network(without: isCut)))
  }

  // MARK: - Nothing may vanish

  /// Per node the least number of units to cut that leaves none of its channels.
  private static func vanishingCuts(_ units: ChannelUnits, _ rank: [Int?]) -> [Int] {
    units.unitOf.map { node in
      let last = node.reduce(-1) { max($0, rank[$1] ?? .max - 1) }
      return last < 0 ? .max : last + 1
    }
  }

  private func refusal(of ratio: Double, cutting count: Int) -> PruningError {
    let nodes = units.network.nodes
    let cuts = Self.vanishingCuts(units, rank)
    let emptied = cuts.indices.filter { cuts[$0] <= count }
    let layers = emptied.filter { nodes[$0].operation.bringsChannels }
    let limits = layers.sorted { (cuts[$0], $0) < (cuts[$1], $1) }.map { node in
      LayerLimit(
        layer: nodes[node].name, channelCount: units.unitOf[node].count,
        largestScore: units.unitOf[node].compactMap { scores[$0] }.max() ?? 0,
        vanishingRatio: Double(cuts[node]) / Double(candidateCount))
    }
    let worst = limits.prefix(3).map { limit in
      "\(limit.layer) (\(limit.channelCount) channels, largest score \(limit.largestScore), gone from "
        + "\(rounded(limit.vanishingRatio)) on)"
    }
    let rest = limits.count > 3 ? " and \(limits.count - 3) more" : ""
    return PruningError(
      """
      a prune ratio of \(ratio) leaves no channel in \(worst.joined(separator: ", "))\(rest); the largest ratio that \
      keeps one in every layer is \(Double(largestCut) / Double(candidateCount)); prune less, set a least number of \
      channels to keep, or train with more sparsity first
      """, emptied: limits)
  }

  /// Takes cuts back, best first, until every map keeps the floor and the multiple, or all it has. What is taken back
  /// returns to every map it is tied to, so they are gone through until none changes.
  private func restore(_ isCut: inout [Bool]) {
    guard method.minimumChannels != nil || method.minimumShare > 0 || method.roundTo > 1 else { return }
    var changes = true
    while changes {
      changes = false
      for map in units.unitOf {
        var kept = map.count { !isCut[$0] }
        let floor = max(method.minimumChannels ?? 1, Int((method.minimumShare * Double(map.count)).rounded(.up)))
        guard kept < map.count, kept < floor || kept % method.roundTo != 0 else { continue }
        for unit in Set(map).filter({ isCut[$0] }).sorted(by: { rank[$0]! > rank[$1]! }) {
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
  func groups(_ isCut: [Bool]) -> [PruningPlan.Group] {
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

  func layers(_ isCut: [Bool]) -> [PruningPlan.Layer] {
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
  var bringsChannels: Bool {
    switch self {
    case .batchNorm, .slice: true
    default: false
    }
  }
}

extension ChannelUnits.Unit {
  /// The batch norms that the unit ties, each once, in node order.
  var batchNorms: [Int] {
    var result: [Int] = []
    for member in members where result.last != member.batchNorm { result.append(member.batchNorm) }
    return result
  }
}

/// To three decimals, for people.
func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
