import Network
import Randomness

extension ChannelUnits {
  /// Per unit its score, or nothing where it may not be cut.
  /// - Throws: `PruningError` when the method does not fit the network, or a score would not be a number.
  func scores(
    _ parameters: Parameters, _ method: PruningMethod, _ taylor: TaylorScores?
  ) throws(PruningError) -> [Float?] {
    switch method.policy {
    case .study:
      guard method.importance == .gamma else {
        throw PruningError("the study's policy scores by gamma only; use the grouped policy")
      }
      return try studyScores(try gammas(parameters))
    case .grouped, .gradual:
      let scores: [Float?]
      switch method.importance {
      case .gamma:
        let gammas = try gammas(parameters)
        scores = units.map { unit in
          mean(unit.members.map { Double(gammas[$0.batchNorm]![$0.channel]) })
        }
      case .weightL1: scores = try filterScores(parameters) { $0.reduce(0) { $0 + Double(abs($1)) } }
      case .weightL2:
        scores = try filterScores(parameters) { $0.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }
      case .random:
        var random = SplitMix64(seed: method.seed, stream: "importance")
        scores = units.map { _ in (random.nextSignedUnit() + 1) / 2 }
      case .taylor:
        guard let taylor, taylor.values.count == units.count else {
          throw PruningError("taylor scores are measured on training pictures: give a data set")
        }
        scores = taylor.values.map { Float($0) }
      }
      let isZero = zeroUnits(parameters)
      let candidates = units.indices.map { index in
        units[index].fixedReason != nil ? nil : isZero[index] ? 0 : scores[index]
      }
      return scoped(candidates, method.scope)
    }
  }

  /// Per unit whether the scales and shifts of all its channels are zero: it computes nothing, so nothing changes when
  /// it is cut.
  func zeroUnits(_ parameters: Parameters) -> [Bool] {
    var values: [Int: (gamma: [Float], beta: [Float])] = [:]
    for (index, node) in network.nodes.enumerated() {
      guard case .batchNorm = node.operation, let gamma = parameters["\(node.name).weight"]?.values,
        let beta = parameters["\(node.name).bias"]?.values
      else { continue }
      values[index] = (gamma, beta)
    }
    return units.map { unit in
      !unit.members.isEmpty
        && unit.members.allSatisfy { member in
          values[member.batchNorm].map { $0.gamma[member.channel] == 0 && $0.beta[member.channel] == 0 } ?? false
        }
    }
  }

  /// The scores made comparable across the network. A layer is a set of units that tie the same batch norms.
  private func scoped(_ scores: [Float?], _ scope: PruningScope) -> [Float?] {
    guard scope != .network else { return scores }
    var result = scores
    for layer in Dictionary(grouping: units.indices.filter { scores[$0] != nil }, by: { units[$0].batchNorms }).values {
      switch scope {
      case .network: break
      case .normalized:
        let mean = layer.reduce(0.0) { $0 + Double(scores[$1]!) } / Double(layer.count)
        for unit in layer { result[unit] = mean > 0 ? Float(Double(scores[unit]!) / mean) : 0 }
      case .layer:
        let ranked = layer.sorted { (scores[$0]!, $0) < (scores[$1]!, $1) }
        for (rank, unit) in ranked.enumerated() { result[unit] = (Float(rank) + 0.5) / Float(layer.count) }
      }
    }
    return result
  }

  private func mean(_ values: [Double]) -> Float? {
    values.isEmpty ? nil : Float(values.reduce(0, +) / Double(values.count))
  }

  /// |gamma| by batch norm.
  private func gammas(_ parameters: Parameters) throws(PruningError) -> [Int: [Float]] {
    var gammas: [Int: [Float]] = [:]
    for (index, node) in network.nodes.enumerated() {
      guard case .batchNorm = node.operation, let gamma = parameters["\(node.name).weight"]?.values else { continue }
      guard gamma.allSatisfy(\.isFinite) else { throw PruningError("\(node.name) has scales that are not numbers") }
      gammas[index] = gamma.map(abs)
    }
    return gammas
  }

  private func studyScores(_ gammas: [Int: [Float]]) throws(PruningError) -> [Float?] {
    if let tied = firstTiedBatchNorm {
      throw PruningError(
        """
        the study's policy cuts channels one by one, but those of \(network.nodes[tied].name) in \
        \(network.name) are tied to others; use the grouped policy
        """)
    }
    let excluded = Set(network.sparsityExcludedBatchNorms)
    return units.map { unit in
      let free = unit.members.first { !excluded.contains(network.nodes[$0.batchNorm].name) }
      return free.map { gammas[$0.batchNorm]![$0.channel] }
    }
  }

  /// The first batch norm that the study's policy would cut although its channels cannot go one by one.
  var firstTiedBatchNorm: Int? {
    let excluded = Set(network.sparsityExcludedBatchNorms)
    for unit in units where unit.members.count > 1 || unit.fixedReason.map({ $0 != .wholeLayer }) ?? false {
      if let free = unit.members.first(where: { !excluded.contains(network.nodes[$0.batchNorm].name) }) {
        return free.batchNorm
      }
    }
    return nil
  }

  /// Per unit the mean over the filters that make its channels, each in units of its convolution's mean.
  private func filterScores(
    _ parameters: Parameters, norm: (ArraySlice<Float>) -> Double
  ) throws(PruningError) -> [Float?] {
    var norms: [[Double]] = Array(repeating: [], count: units.count)
    for (index, node) in network.nodes.enumerated() {
      guard case .convolution(let c) = node.operation, let weight = parameters["\(node.name).weight"]?.values else {
        continue
      }
      let size = weight.count / c.outputChannels
      let filters = (0..<c.outputChannels).map { norm(weight[($0 * size)..<(($0 + 1) * size)]) }
      let mean = filters.reduce(0, +) / Double(filters.count)
      guard mean.isFinite else { throw PruningError("\(node.name) has weights that are not numbers") }
      for (unit, filter) in zip(unitOf[index], filters) { norms[unit].append(mean > 0 ? filter / mean : 0) }
    }
    return norms.map(mean)
  }
}
