import JSON
import Wording

/// The results of a sweep: one row per trial, and which of them lie on the front.
///
/// Where the grid has several seeds, the front is that of configurations: trials that differ in their seed alone are
/// judged by their means, and are on the front together. `averaged` has a row for each configuration.
public struct ResultTable: Hashable, Sendable, Codable {
  public struct Row: Hashable, Sendable, Codable {
    public var trial: TrialID
    /// The grid point, by the axes' names in the sweep file.
    public var point: [String: PlainValue]
    /// The measurements so far, by the metrics' names; for a configuration the means of its seeds.
    public var metrics: [String: Double]
    public var state: TrialState
    public internal(set) var isOnFront = false
    /// Why a value that counts is not there, by the metric's name. nil: nothing is missing for good, or the coordinator
    /// is too old to tell.
    public var missing: [String: String]?
    /// How values that can be had in several ways were obtained (`MetricKind`), by the metric's name.
    public var kinds: [String: String]?
    /// The trials that the row stands for, if it stands for a configuration.
    public internal(set) var seeds: SeedSample?
    /// The rows from which chance alone may set it apart: its place on or off the front is within the noise of seeds.
    /// nil: there are none.
    public internal(set) var ties: [TrialID]?

    public init(trial: TrialID, point: [String: PlainValue], metrics: [String: Double], state: TrialState) {
      self.trial = trial
      self.point = point
      self.metrics = metrics
      self.state = state
    }

    /// The measured value; nil where there is none, or none that can be compared.
    public func value(of objective: Objective) -> Double? {
      let name = objective.metric.rawValue
      guard missing?[name] == nil else { return nil }
      return metrics[name].flatMap { $0.isFinite ? $0 : nil }
    }

    /// How the value was obtained; nil for metrics that can be had in one way only.
    public func kind(of metric: Objective.Metric) -> MetricKind? {
      guard metric.hasKinds, metrics[metric.rawValue] != nil else { return nil }
      return kinds?[metric.rawValue].flatMap(MetricKind.init) ?? .unknown
    }
  }

  public var sweep: SweepID
  public private(set) var objectives: [Objective]
  /// Best first by the first objective; trials without a value come last.
  public private(set) var rows: [Row]
  /// Remarks on the data set and on stages that came to nothing, for whoever reads the results, one a line; nil if
  /// there are none, or if the coordinator is too old to tell.
  public private(set) var remarks: [String]?

  public init(sweep: SweepID, objectives: [Objective], rows: [Row], remarks: [String]? = nil) {
    self.sweep = sweep
    self.objectives = objectives
    self.rows = rows
    self.remarks = remarks
    setApartKinds()
    markFront()
    sort()
  }

  /// The same trials judged by other objectives.
  public func judged(by objectives: [Objective]) -> ResultTable {
    ResultTable(sweep: sweep, objectives: objectives, rows: rows, remarks: remarks)
  }

  public var front: [Row] { rows.filter(\.isOnFront) }

  /// Whether the trial has ended and still cannot be judged, because it lacks the value of an objective.
  public func isUnjudged(_ row: Row) -> Bool {
    row.state.hasEnded && objectives.contains { row.value(of: $0) == nil }
  }

  /// Values of another kind than those of most rows cannot be compared with them, so they count as missing.
  private mutating func setApartKinds() {
    for metric in Set(objectives.map(\.metric)) where metric.hasKinds {
      let counts = Dictionary(rows.compactMap { $0.kind(of: metric) }.map { ($0, 1) }, uniquingKeysWith: +)
      guard counts.count > 1, let usual = counts.max(by: { ($0.value, $1.key) < ($1.value, $0.key) })?.key else {
        continue
      }
      for index in rows.indices {
        guard let kind = rows[index].kind(of: metric), kind != usual else { continue }
        rows[index].missing = (rows[index].missing ?? [:])
          .merging([metric.rawValue: "theirs is \(kind), that of most others \(usual)"]) { $1 }
      }
    }
  }

  /// By the objectives in their order, then by name, so that the order never depends on who finished first.
  private mutating func sort() {
    rows.sort { a, b in
      for objective in objectives {
        switch (a.value(of: objective), b.value(of: objective)) {
        case (let x?, let y?) where x != y: return objective.prefers(x, to: y)
        case (.some, nil): return true
        case (nil, .some): return false
        default: continue
        }
      }
      return a.trial < b.trial
    }
  }

  /// Configurations are judged, and their trials marked as they are.
  private mutating func markFront() {
    let (configurations, members) = configurations
    let judged = ResultTable.judge(configurations, by: objectives)
    for (configuration, members) in zip(judged, members) {
      for index in members {
        let counts = configuration.seeds.map { $0.trials.contains(rows[index].trial) } ?? true
        rows[index].isOnFront = configuration.isOnFront && counts
        rows[index].ties = counts ? configuration.ties : nil
      }
    }
  }

  private static func judge(_ rows: [Row], by objectives: [Objective]) -> [Row] {
    var rows = rows
    let points = rows.map { row in objectives.map { row.value(of: $0) } }
    let membership = ParetoFront.membership(of: points, objectives: objectives)
    for index in rows.indices { rows[index].isOnFront = membership[index] }
    markTies(&rows, by: objectives)
    return rows
  }
}

// MARK: - Notes

extension ResultTable {
  /// The notes that belong beside the rows: for each objective that trials lack although they have ended, how many, why
  /// and what can be done; which places on the front are a matter of chance; then the remarks.
  public var notes: [String] {
    let ended = rows.filter(\.state.hasEnded)
    return objectives.flatMap { notes(onMissing: $0, among: ended) } + [tieNote].compactMap { $0 } + benchmarkNotes
      + (remarks ?? [])
  }

  /// One note for each reason.
  private func notes(onMissing objective: Objective, among ended: [Row]) -> [String] {
    let name = objective.metric.rawValue
    let lacking = ended.filter { $0.value(of: objective) == nil }
    let reasons = Dictionary(grouping: lacking) { row in
      row.missing?[name]
        ?? (row.metrics[name] == nil ? "it could not be measured where they ran" : "theirs is not a number")
    }
    let remedy =
      objectives.count > 1 ? ": 'greensweep pareto \(sweep) --without \(name)' judges by the other objectives" : ""
    return reasons.sorted { $0.key < $1.key }.map { reason, rows in
      "? \(rows.count) of \(ended.count) finished trials have no \(name) to compare (\(list(rows.map(\.trial)))), as "
        + "\(reason); they are not judged\(remedy)"
    }
  }

  private var tieNote: String? {
    let pairs = rows.compactMap { row in row.ties.map { "\(row.trial) with \(list($0))" } }
    guard !pairs.isEmpty else { return nil }
    return "~ on the front, or off it, by less than the noise of the seeds: " + pairs.prefix(8).joined(separator: "; ")
      + (pairs.count > 8 ? " and \(pairs.count - 8) more" : "")
  }
}

/// The first ones by name, and how many more there are.
func list(_ trials: [TrialID]) -> String {
  trials.prefix(4).map(\.name).joined(separator: ", ") + (trials.count > 4 ? " and \(trials.count - 4) more" : "")
}

extension SweepSpec {
  /// Remarks on sparsity training that came to nothing, with the remedy.
  /// - Parameter trials: those on whose way it did.
  public func remarks(onVainSparsityIn trials: [TrialID]) -> [String] {
    guard !trials.isEmpty else { return [] }
    let place = "(\(counted(trials.count, "trial")): \(list(trials)))"
    return [
      isGradual
        ? "! no channel has faded out during sparsify \(place): give a larger prune_ratio or a smaller min_channels"
        : "! sparsify has left the scales as they were \(place): give a higher sparsity_rate or more epochs, or take "
          + "the policy gradual, which needs no rate"
    ]
  }
}

public enum TrialState: String, Hashable, Sendable, Codable {
  case waiting, running, done, failed, cancelled

  public var hasEnded: Bool { self == .done || self == .failed || self == .cancelled }
}
