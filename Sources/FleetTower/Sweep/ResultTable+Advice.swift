import JSON
import Plotting

extension ResultTable {
  /// Which trials to look at first, in words, one line each: the best one by the first objective to maximise, the best
  /// of those that cost at most half as much, and the cheapest that loses little. The cost is the first objective to
  /// minimise. Empty where nothing can be compared.
  public var advice: [String] {
    guard let gain = objectives.first(where: { $0.direction == .maximize }),
      let cost = objectives.first(where: { $0.direction == .minimize })
    else { return [] }
    let judged = rows.compactMap { row -> Candidate? in
      guard row.state == .done, let gained = row.value(of: gain), let costs = row.value(of: cost) else { return nil }
      return Candidate(row: row, gain: gained, cost: costs)
    }
    guard let best = judged.max(by: { ($0.gain, -$0.cost) < ($1.gain, -$1.cost) }) else { return [] }
    func line(_ title: String, _ candidate: Candidate) -> String {
      var figures =
        "\(gain.metric.rawValue) \(gain.metric.format(candidate.gain)), "
        + "\(cost.metric.rawValue) \(cost.metric.format(candidate.cost))"
      if candidate.row != best.row, best.cost > 0 {
        let saved = (1 - candidate.cost / best.cost) * 100
        figures += " (\(fixed(saved, decimals: 0)) % less for \(gain.metric.format(best.gain - candidate.gain)))"
      }
      let ratio = candidate.row.point["prune_ratio"]?.double ?? 0
      let name = candidate.row.point["backbone"]?.string ?? "model"
      return "\(title): \(candidate.row.trial) (\(name)\(ratio > 0 ? " pruned by \(ratio)" : "")): \(figures)"
    }
    var lines = [line("best \(gain.metric.rawValue)", best)]
    let half = judged.filter { $0.cost <= best.cost / 2 }.max { ($0.gain, -$0.cost) < ($1.gain, -$1.cost) }
    if let half { lines.append(line("best at half its \(cost.metric.rawValue)", half)) }
    let near = judged.filter { $0.gain >= best.gain - Self.smallLoss }.min { ($0.cost, -$0.gain) < ($1.cost, -$1.gain) }
    if let near, near.row != best.row, near.row != half?.row {
      lines.append(line("least \(cost.metric.rawValue) within \(Self.smallLoss) of it", near))
    }
    return lines
  }

  private struct Candidate {
    var row: Row
    var gain: Double
    var cost: Double
  }

  /// A loss that few would mind.
  private static let smallLoss = 0.02
}
