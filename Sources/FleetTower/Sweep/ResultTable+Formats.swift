import JSON
import Plotting
import Wording

/// The table for people and for programs.
extension ResultTable {
  public enum Format: String, CaseIterable, Sendable { case table, json, csv, markdown, svg }

  static let axes = ["backbone", "optimizer", "seed", "sparsity_rate", "prune_ratio"]

  /// The objectives, then whatever else has been measured of what could be one.
  private var metrics: [Objective.Metric] {
    let chosen = objectives.map(\.metric)
    return chosen
      + Objective.Metric.allCases.filter { metric in
        !chosen.contains(metric) && rows.contains { $0.metrics[metric.rawValue] != nil }
      }
  }

  /// The backbone, and every other axis along which the trials differ.
  private var variedAxes: [String] {
    ResultTable.axes.filter { axis in
      axis == "backbone" || Set(rows.map { $0.point[axis] ?? .null }).count > 1
    }
  }

  private func cells(of row: Row) -> [String] {
    [row.isOnFront ? "*" : isUnjudged(row) ? "?" : "", row.trial.name]
      + variedAxes.map { text(of: row.point[$0] ?? .null) }
      + metrics.map { metric in row.metrics[metric.rawValue].map { metric.format($0) } ?? "-" }
      + [row.state.rawValue]
  }

  private var header: [String] { ["front", "trial"] + variedAxes + metrics.map(\.rawValue) + ["state"] }

  private var isNumeric: [Bool] {
    [false, false] + variedAxes.map { $0 != "backbone" && $0 != "optimizer" } + metrics.map { _ in true } + [false]
  }

  /// Columns aligned with blanks, for a terminal, and the notes. `*` marks the front, `?` what cannot be judged.
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

  /// All axes and all metrics at full precision (RFC 4180). `on_front` is empty for a trial that cannot be judged.
  public var csv: String {
    let names = measuredNames
    var text = (["trial"] + ResultTable.axes + names + ["on_front", "state"]).joined(separator: ",") + "\r\n"
    for row in rows {
      var cells = [row.trial.name]
      cells += ResultTable.axes.map { self.text(of: row.point[$0] ?? .null) }
      cells += names.map { name in row.metrics[name].map { "\($0)" } ?? "" }
      cells += [isUnjudged(row) ? "" : "\(row.isOnFront)", row.state.rawValue]
      text += cells.map(quotedCSV).joined(separator: ",") + "\r\n"
    }
    return text
  }

  /// A list of flat objects: `trial`, the axes, the metrics, `on_front` (null for a trial that cannot be judged),
  /// `state`.
  public var plainValue: PlainValue {
    .array(
      rows.map { row in
        var members = row.point
        for name in measuredNames { members[name] = row.metrics[name].map { .double($0) } ?? .null }
        members["trial"] = .string(row.trial.name)
        members["on_front"] = isUnjudged(row) ? .null : .bool(row.isOnFront)
        members["state"] = .string(row.state.rawValue)
        return .object(members)
      })
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

  private func text(of value: PlainValue) -> String {
    switch value {
    case .string(let text): text
    case .double(let number): plain(number)
    default: value.canonicalJSON
    }
  }
}

private func quotedCSV(_ text: String) -> String {
  guard text.contains(where: { ",\"\r\n".contains($0) }) else { return text }
  return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
}
