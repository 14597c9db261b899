import JSON
import Plotting
import Wording

/// The table for people and for programs.
extension ResultTable {
  public enum Format: String, CaseIterable, Sendable { case table, json, csv, markdown, svg }

  static let axes = ["backbone", "optimizer", "seed", "sparsity_rate", "prune_ratio"]

  /// The objectives, then whatever else has been measured of what could be one.
  public var shownMetrics: [Objective.Metric] {
    let chosen = objectives.map(\.metric)
    return chosen
      + Objective.Metric.allCases.filter { metric in
        !chosen.contains(metric) && rows.contains { $0.metrics[metric.rawValue] != nil }
      }
  }

  /// The backbone, and every other axis along which the trials differ.
  public var variedAxes: [String] {
    ResultTable.axes.filter { axis in
      axis == "backbone" || Set(rows.map { $0.point[axis] ?? .null }).count > 1
    }
  }

  private func cells(of row: Row) -> [String] {
    [mark(of: row), row.trial.name]
      + variedAxes.map { text(of: row.point[$0] ?? .null) } + seedCell(of: row)
      + shownMetrics.map { text(of: $0, in: row) ?? "-" }
      + [row.state.rawValue]
  }

  /// `*` on the front, `?` cannot be judged, `~` by chance.
  public func mark(of row: Row) -> String {
    (row.isOnFront ? "*" : isUnjudged(row) ? "?" : "") + (row.ties == nil ? "" : "~")
  }

  /// The value with its deviation among seeds and its kind; nil if there is none.
  public func text(of metric: Objective.Metric, in row: Row) -> String? {
    guard let value = row.metrics[metric.rawValue] else { return nil }
    var text = metric.format(value)
    if let deviation = row.seeds?.deviations[metric.rawValue].map(metric.format), Double(deviation) ?? 0 > 0 {
      text += " ±" + deviation
    }
    if let kind = row.kind(of: metric) { text += " \(kind)" }
    return text
  }

  /// The backbone, and the axes along which the trials differ: `yolov5n p0.5`.
  public func name(of row: Row) -> String { row.name(along: Set(variedAxes)) }

  /// Whether rows stand for several seeds.
  public var hasSeeds: Bool { rows.contains { $0.seeds != nil } }

  /// How many seeds the row has the means of: `3`, or `2 of 3`.
  public func seedText(of row: Row) -> String {
    guard let seeds = row.seeds else { return "1" }
    return seeds.trials.count == seeds.planned ? "\(seeds.planned)" : "\(seeds.trials.count) of \(seeds.planned)"
  }

  private func seedCell(of row: Row) -> [String] { hasSeeds ? [seedText(of: row)] : [] }

  private var header: [String] {
    ["front", "trial"] + variedAxes + (hasSeeds ? ["seeds"] : []) + shownMetrics.map(\.rawValue) + ["state"]
  }

  private var isNumeric: [Bool] {
    [false, false] + variedAxes.map { $0 != "backbone" && $0 != "optimizer" } + (hasSeeds ? [true] : [])
      + shownMetrics.map { _ in true } + [false]
  }

  /// Columns aligned with blanks, for a terminal, and the notes. `*` marks the front, `?` what cannot be judged, `~`
  /// what is on the front or off it by chance.
  public var terminalText: String {
    textTable([header] + rows.map(cells), rightAligned: Set(isNumeric.indices.filter { isNumeric[$0] })) + "\n"
      + notes.map { "\($0.oneLine)\n" }.joined()
  }

  public var markdown: String {
    func line(_ cells: [String]) -> String { "| " + cells.map(escaped).joined(separator: " | ") + " |\n" }
    func escaped(_ cell: String) -> String { cell.oneLine.replacing("|", with: "\\|") }
    let rule = isNumeric.map { $0 ? "--:" : ":--" }
    return line(header) + line(rule) + rows.map { line(cells(of: $0)) }.joined()
      + notes.map { "\n\($0.oneLine)\n" }.joined()
  }

  /// A line per trial with all axes and all metrics at full precision (RFC 4180). `on_front` is empty for a trial that
  /// cannot be judged. Columns that only some sweeps need come last: the kind of values that have one, the means and
  /// deviations of a trial's configuration, and why a value is missing.
  public var csv: String {
    let names = measuredNames
    let extras = extraColumns
    let header = ["trial"] + ResultTable.axes + names + ["on_front", "state"] + extras.map(\.name)
    var text = header.map(quotedCSV).joined(separator: ",") + "\r\n"
    for row in rows {
      var cells = [row.trial.name]
      cells += ResultTable.axes.map { self.text(of: row.point[$0] ?? .null) }
      cells += names.map { name in row.metrics[name].map { "\($0)" } ?? "" }
      cells += [isUnjudged(row) ? "" : "\(row.isOnFront)", row.state.rawValue]
      cells += extras.map { extra in
        switch extra.value(row) {
        case .null: ""
        case .double(let number): "\(number)"
        case let other: self.text(of: other)
        }
      }
      text += cells.map(quotedCSV).joined(separator: ",") + "\r\n"
    }
    return text
  }

  /// A list of flat objects, one per trial: `trial`, the axes, the metrics, `on_front` (null for a trial that cannot be
  /// judged), `state`, the members that only some sweeps need, as in the CSV, `places` (its names on the front) and the
  /// front's `table_hypervolume`.
  public var plainValue: PlainValue {
    let (names, extras, judged) = (measuredNames, extraColumns, averaged)
    let places = Landmark.allCases.map { (name: $0.rawValue, trial: judged.row(at: $0)?.trial) }
    let volume: PlainValue = judged.hypervolume.map { .double($0) } ?? .null
    return .array(
      rows.map { row in
        var members = row.point
        for name in names { members[name] = row.metrics[name].map { .double($0) } ?? .null }
        members["trial"] = .string(row.trial.name)
        members["on_front"] = isUnjudged(row) ? .null : .bool(row.isOnFront)
        members["state"] = .string(row.state.rawValue)
        for extra in extras { members[extra.name] = extra.value(row) }
        members["places"] = .array(places.filter { $0.trial == row.trial }.map { .string($0.name) })
        members["table_hypervolume"] = volume
        return .object(members)
      })
  }

  private struct ExtraColumn {
    let name: String
    let value: (Row) -> PlainValue
  }

  private var extraColumns: [ExtraColumn] {
    var columns = Objective.Metric.allCases.filter { metric in rows.contains { $0.kind(of: metric) != nil } }
      .map { metric in
        ExtraColumn(name: "\(metric.rawValue)_kind") { $0.kind(of: metric).map { .string($0.rawValue) } ?? .null }
      }
    let averaged = averaged
    if averaged.hasSeeds {
      var configurations: [TrialID: Row] = [:]
      for row in averaged.rows { for trial in row.seeds?.trials ?? [] { configurations[trial] = row } }
      func column(_ name: String, _ value: @escaping (Row) -> PlainValue) {
        columns.append(ExtraColumn(name: name) { configurations[$0.trial].map(value) ?? .null })
      }
      func number(_ value: Double?) -> PlainValue { value.map { .double($0) } ?? .null }
      column("configuration") { .string($0.trial.name) }
      column("seeds") { .int($0.seeds?.trials.count ?? 1) }
      column("is_tied") { .bool($0.ties != nil) }
      for name in measuredNames {
        column("\(name)_mean") { number($0.metrics[name]) }
        column("\(name)_deviation") { number($0.seeds?.deviations[name]) }
      }
    }
    if rows.contains(where: { $0.missing != nil }) {
      columns.append(
        ExtraColumn(name: "missing") { row in
          row.missing.map { reasons in
            .string(reasons.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: "; "))
          } ?? .null
        })
    }
    return columns
  }

  public var json: String { plainValue.canonicalJSON }

  /// Accuracy over the first thing to minimise, with the table's front.
  public var svg: String {
    let y = objectives.first { $0.direction == .maximize } ?? Objective(.maximize, .map50)
    let x = objectives.first { $0.direction == .minimize } ?? Objective(.minimize, .sizeMB)
    return FrontPlot(self, x: x, y: y).svg
  }

  /// Without the trials of which nothing is known yet.
  public var measured: ResultTable {
    ResultTable(sweep: sweep, objectives: objectives, rows: rows.filter { !$0.metrics.isEmpty }, remarks: remarks)
  }

  /// The objectives' names first, then all others that any trial has, sorted.
  private var measuredNames: [String] {
    let chosen = objectives.map(\.metric.rawValue)
    return chosen + Set(rows.flatMap(\.metrics.keys)).subtracting(chosen).sorted()
  }

  private func text(of axis: PlainValue) -> String {
    switch axis {
    case .string(let text): text
    case .double(let number): plain(number)
    default: axis.canonicalJSON
    }
  }
}

extension ResultTable.Row {
  /// - Parameter axes: those along which trials differ.
  func name(along axes: Set<String>) -> String {
    var parts = [point["backbone"]?.string ?? trial.name]
    if axes.contains("optimizer"), let optimizer = point["optimizer"]?.string { parts.append(optimizer) }
    if axes.contains("sparsity_rate"), let rate = point["sparsity_rate"]?.double { parts.append("s\(plain(rate))") }
    if axes.contains("prune_ratio"), let ratio = point["prune_ratio"]?.double { parts.append("p\(plain(ratio))") }
    if axes.contains("seed"), let seed = point["seed"]?.int { parts.append("#\(seed)") }
    return parts.joined(separator: " ")
  }
}

private func quotedCSV(_ text: String) -> String {
  guard text.contains(where: { ",\"\r\n".contains($0) }) else { return text }
  return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
}
