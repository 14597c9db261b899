import JSON

/// The trials of one configuration that differ in their seed alone, and how far their values lie apart.
public struct SeedSample: Hashable, Sendable, Codable {
  /// The trials whose means the row has.
  public var trials: [TrialID]
  /// How many the sweep has.
  public var planned: Int
  /// The sample standard deviations (n - 1) by the metrics' names; empty for a single trial.
  public var deviations: [String: Double]
}

extension ResultTable {
  /// A row for each configuration, with the means of its seeds; the table itself if no two trials differ in their seed
  /// alone.
  ///
  /// The means are those of the trials that have a value of every objective, or of all while none has. The row has the
  /// name of the trial whose value of the first objective is nearest to the mean, so that its model is a typical one.
  public var averaged: ResultTable {
    let rows = configurations.rows
    guard rows.contains(where: { $0.seeds != nil }) else { return self }
    return ResultTable(sweep: sweep, objectives: objectives, rows: rows, remarks: remarks)
  }

  /// The configurations, and for each the indices of its trials.
  var configurations: (rows: [Row], members: [[Int]]) {
    func single() -> (rows: [Row], members: [[Int]]) { (rows, rows.indices.map { [$0] }) }
    guard let first = rows.first?.point["seed"], rows.contains(where: { $0.point["seed"] != first }) else {
      return single()
    }
    var members: [[Int]] = []
    var places: [[String: PlainValue]: Int] = [:]
    for (index, row) in rows.enumerated() {
      var point = row.point
      point["seed"] = nil
      let place = places[point] ?? members.count
      if place == members.count {
        places[point] = place
        members.append([])
      }
      members[place].append(index)
    }
    if members.count == rows.count { return single() }
    return (members.map(configuration), members)
  }

  private func configuration(of members: [Int]) -> Row {
    let all = members.map { rows[$0] }.sorted {
      ($0.point["seed"]?.int ?? 0, $0.trial) < ($1.point["seed"]?.int ?? 0, $1.trial)
    }
    let complete = all.filter { row in objectives.allSatisfy { row.value(of: $0) != nil } }
    let counted = complete.isEmpty ? all.filter { !$0.metrics.isEmpty } : complete
    var (means, deviations): ([String: Double], [String: Double]) = ([:], [:])
    for name in Set(counted.flatMap(\.metrics.keys)) {
      let values = counted.compactMap { $0.metrics[name] }.filter(\.isFinite)
      guard let statistics = SampleStatistics(values) else { continue }
      means[name] = statistics.mean
      deviations[name] = statistics.deviation
    }
    let objective = objectives.first
    let typical = counted.min { a, b in
      func distance(_ row: Row) -> Double {
        guard let objective, let value = row.value(of: objective) else { return .infinity }
        return abs(value - (means[objective.metric.rawValue] ?? value))
      }
      return distance(a) < distance(b)
    }
    var row = Row(
      trial: (typical ?? all[0]).trial, point: all[0].point, metrics: means, state: TrialState(of: all.map(\.state)))
    row.point["seed"] = nil
    row.kinds = (typical ?? all[0]).kinds
    if complete.isEmpty { row.missing = all.lazy.compactMap(\.missing).first }
    row.seeds = SeedSample(trials: counted.map(\.trial), planned: all.count, deviations: deviations)
    return row
  }

  /// Marks the rows whose place is within the noise of seeds: those on the front that another member of it beats beyond
  /// the noise (it is better in something, and in nothing worse), and those off it that no member beats so.
  static func markTies(_ rows: inout [Row], by objectives: [Objective]) {
    for index in rows.indices { rows[index].ties = nil }
    guard rows.contains(where: { $0.seeds?.deviations.isEmpty == false }) else { return }
    let front = rows.filter(\.isOnFront)
    func comparisons(_ a: Row, _ b: Row) -> [Int] { objectives.map { a.comparison(with: b, by: $0) } }
    for index in rows.indices where objectives.allSatisfy({ rows[index].value(of: $0) != nil }) {
      let row = rows[index]
      let others = front.filter { $0.trial != row.trial }.map { (trial: $0.trial, signs: comparisons($0, row)) }
      let beating = others.filter { !$0.signs.contains(-1) && $0.signs.contains(1) }
      if row.isOnFront, !beating.isEmpty {
        rows[index].ties = beating.map(\.trial)
      } else if !row.isOnFront, beating.isEmpty {
        rows[index].ties = others.filter { !$0.signs.contains { $0 != 0 } }.map(\.trial)
      }
    }
  }
}

extension ResultTable.Row {
  /// - Returns: 1 if this row is better beyond the noise of seeds, -1 if it is worse, 0 if chance may have made the
  ///   difference. A row of one seed has no noise: values decide.
  fileprivate func comparison(with other: ResultTable.Row, by objective: Objective) -> Int {
    guard let a = value(of: objective), let b = other.value(of: objective), a != b else { return 0 }
    let name = objective.metric.rawValue
    if let own = seeds, let others = other.seeds, let x = own.deviations[name], let y = others.deviations[name] {
      let (m, n) = (own.trials.count, others.trials.count)
      if !isDifference(a - b, beyondNoiseOf: (x, m), (y, n)) { return 0 }
    }
    return objective.prefers(a, to: b) ? 1 : -1
  }
}

extension TrialState {
  /// That of several trials together.
  fileprivate init(of states: [TrialState]) {
    func any(_ state: TrialState) -> Bool { states.contains(state) }
    if states.allSatisfy({ $0 == .waiting }) {
      self = .waiting
    } else if any(.waiting) || any(.running) {
      self = .running
    } else {
      self = any(.failed) ? .failed : any(.cancelled) ? .cancelled : .done
    }
  }
}
