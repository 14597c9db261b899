import Network

extension ChannelRanking {
  /// The plan that cuts least and still brings a quantity down to a limit, found by bisection over the number of units
  /// cut.
  ///
  /// A quantity that is measured is noisy: a cut that seems slower than a smaller one is measured once more, and the
  /// better figure counts.
  /// - Parameters:
  ///   - quantity: what it is called in an error, such as `parameters`.
  ///   - share: how much of the way there to go: one of several rounds.
  ///   - measurementLimit: how often it may be measured; the best plan found until then counts.
  ///   - measure: the quantity of the network after the plan.
  /// - Throws: `PruningError` when even the largest cut does not bring it there, and what `measure` throws.
  public func plan(
    bringing quantity: String, to limit: Double, share: Double = 1, measurementLimit: Int = 64,
    measure: (PruningPlan) throws -> Double
  ) throws -> PruningPlan {
    func plan(_ count: Int) throws -> PruningPlan {
      try self.plan(cutting: count, ratio: Double(count) / Double(candidateCount))
    }
    let whole = try plan(0)
    var tooMuch = (count: 0, value: try measure(whole))
    if tooMuch.value <= limit { return whole }
    let limit = share < 1 ? tooMuch.value - (tooMuch.value - limit) * share : limit
    var best = try plan(largestCut)
    let least = try measure(best)
    guard least <= limit else {
      let floor = method.minimumChannels == nil ? "; a least number of channels to keep lets more go elsewhere" : ""
      throw PruningError(
        """
        \(units.network.name) cannot be brought to \(shown(limit)) \(quantity): the largest cut that keeps a channel \
        in every layer, a ratio of \(rounded(best.ratio)), leaves \(shown(least))\(floor)
        """)
    }
    var (enough, measurements) = (largestCut, 2)
    while enough - tooMuch.count > 1, measurements < measurementLimit {
      let count = (enough + tooMuch.count) / 2
      let candidate = try plan(count)
      var value = try measure(candidate)
      measurements += 1
      if value > tooMuch.value, measurements < measurementLimit {
        value = min(value, try measure(candidate))
        measurements += 1
      }
      if value <= limit { (enough, best) = (count, candidate) } else { tooMuch = (count, value) }
    }
    return best
  }
}

/// For people: whole where it is whole.
private func shown(_ value: Double) -> String { Int(exactly: value).map(String.init) ?? String(rounded(value)) }
