import Network

extension ChannelRanking {
  /// The groups of batch norms whose channels go together, in execution order; only those of which channels may go.
  public var groups: [[String]] { unitsOfGroups.map { $0.batchNorms.map { units.network.nodes[$0].name } } }

  /// The number of units of tied channels in each of the groups.
  public var unitCounts: [Int] { unitsOfGroups.map(\.units.count) }

  /// The plan that cuts a share of one group, the lowest scores first, and nothing else of the network.
  /// - Parameters:
  ///   - share: in [0, 1), rounded down to whole units; at least one of them stays.
  ///   - group: its place in `groups`.
  public func plan(cutting share: Double, ofGroup group: Int) throws -> PruningPlan {
    guard share >= 0, share < 1 else { throw PruningError("a share of \(share) does not lie in [0, 1)") }
    let candidates = unitsOfGroups[group].units
    let count = min(Int(Double(candidates.count) * share + 1e-9), candidates.count - 1)
    var isCut = [Bool](repeating: false, count: scores.count)
    for unit in candidates.prefix(count) { isCut[unit] = true }
    return PruningPlan(
      network: units.network.name, method: method, ratio: share, threshold: scores[candidates[count]]!,
      candidateCount: candidates.count, layers: layers(isCut), groups: groups(isCut), before: before,
      after: try PruningPlan.Cost(units.network(without: isCut)))
  }

  /// The units that may go of each group, by ascending score.
  private var unitsOfGroups: [(batchNorms: [Int], units: [Int])] {
    var indexOf: [[Int]: Int] = [:]
    var groups: [(batchNorms: [Int], units: [Int])] = []
    for (index, unit) in units.units.enumerated() where scores[index] != nil {
      let key = unit.batchNorms
      if let group = indexOf[key] {
        groups[group].units.append(index)
      } else {
        indexOf[key] = groups.count
        groups.append((key, [index]))
      }
    }
    for group in groups.indices { groups[group].units.sort { (scores[$0]!, $0) < (scores[$1]!, $1) } }
    return groups.sorted { $0.batchNorms.lexicographicallyPrecedes($1.batchNorms) }
  }
}
