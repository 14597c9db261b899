import JSON

/// The results of a sweep: one row per trial, and which of them lie on the front.
public struct ResultTable: Hashable, Sendable, Codable {
  public struct Row: Hashable, Sendable, Codable {
    public var trial: TrialID
    /// The grid point, by the axes' names in the sweep file.
    public var point: [String: PlainValue]
    /// The measurements so far, by the metrics' names.
    public var metrics: [String: Double]
    public var state: TrialState
    public internal(set) var isOnFront = false

    public init(trial: TrialID, point: [String: PlainValue], metrics: [String: Double], state: TrialState) {
      self.trial = trial
      self.point = point
      self.metrics = metrics
      self.state = state
    }

    /// The measured value; nil where there is none, or none that can be compared.
    public func value(of objective: Objective) -> Double? {
      metrics[objective.metric.rawValue].flatMap { $0.isFinite ? $0 : nil }
    }
  }

  public var sweep: SweepID
  public private(set) var objectives: [Objective]
  /// Best first by the first objective; trials without a value come last.
  public private(set) var rows: [Row]
  /// Remarks on the data set for whoever reads the results, one a line; nil if there are none, or if the coordinator
  /// is too old to tell.
  public private(set) var remarks: [String]?

  public init(sweep: SweepID, objectives: [Objective], rows: [Row], remarks: [String]? = nil) {
    self.sweep = sweep
    self.objectives = objectives
    self.rows = rows
    self.remarks = remarks
    markFront()
    sort()
  }

  /// The same trials judged by other objectives.
  public func judged(by objectives: [Objective]) -> ResultTable {
    ResultTable(sweep: sweep, objectives: objectives, rows: rows, remarks: remarks)
  }

  public var front: [Row] { rows.filter(\.isOnFront) }

  /// Whether the trial is done and still cannot be judged, because it lacks the value of an objective.
  func isUnjudged(_ row: Row) -> Bool { row.state == .done && objectives.contains { row.value(of: $0) == nil } }

  /// The notes that belong beside the rows: for each objective that trials lack although they are done, how many, why
  /// and what can be done; then the remarks.
  public var notes: [String] {
    let done = rows.filter { $0.state == .done }
    return objectives.compactMap { objective in
      let lacking = done.count(where: { $0.value(of: objective) == nil })
      let name = objective.metric.rawValue
      guard lacking > 0 else { return nil }
      return
        "? \(lacking) of \(done.count) finished trials have no \(name), which could not be measured on the host where "
        + "they ran, so that they are not judged: 'greensweep pareto \(sweep) --without \(name)' judges by the other "
        + "objectives"
    } + (remarks ?? [])
  }

  private mutating func markFront() {
    let points = rows.map { row in objectives.map { row.value(of: $0) } }
    let membership = ParetoFront.membership(of: points, objectives: objectives)
    for index in rows.indices { rows[index].isOnFront = membership[index] }
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
}

public enum TrialState: String, Hashable, Sendable, Codable {
  case waiting, running, done, failed, cancelled
}
