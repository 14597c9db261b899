import Artifacts
import Bytes
import Foundation
import JSON
import Plotting
import Sweep

/// Parts of pages that the dashboard and the report share. Whatever comes from outside goes through `escaped`; there is
/// no script, and no file besides.
public enum HTML {
  /// Rows of a table of trials; further ones are left out.
  public static let rowLimit = 200

  /// The columns of the table that people read in a terminal; the front first.
  public static func trials(_ table: ResultTable) -> String {
    let rows = (table.front + table.rows.filter { !$0.isOnFront }).prefix(rowLimit).map { trial in
      let point = table.variedAxes.map { axis in
        switch trial.point[axis] {
        case .string(let text): escaped(text)
        case .double(let value): number(plain(value))
        case .int(let value): number(value)
        default: ""
        }
      }
      let values = table.shownMetrics.map { number(table.text(of: $0, in: trial).map(escaped) ?? "–") }
      let seeds = table.hasSeeds ? [number(table.seedText(of: trial))] : []
      return row(
        [table.mark(of: trial), "<code>\(escaped(trial.trial.name))</code>"] + point + seeds + values,
        class: trial.isOnFront ? "front" : nil)
    }
    let axes = table.variedAxes.map {
      ($0 == "backbone" || $0 == "optimizer" ? "" : "#") + $0.replacing("_", with: " ")
    }
    let header = ["", "trial"] + axes + (table.hasSeeds ? ["#seeds"] : []) + table.shownMetrics.map { "#\($0.title)" }
    return Self.table(header, rows, empty: "Nothing has been measured yet.")
  }

  /// A heading with the number of things below it.
  public static func section(_ title: String, count: Int) -> String { "<h2>\(title) <small>\(count)</small></h2>" }

  /// - Parameter header: titles; those of numbers begin with `#`.
  public static func table(_ header: [String], _ rows: [String], empty: String) -> String {
    if rows.isEmpty { return "<p class=\"dim\">\(empty)</p>" }
    let head = header.map { $0.hasPrefix("#") ? "<th class=\"n\">\($0.dropFirst())</th>" : "<th>\($0)</th>" }.joined()
    return "<div class=\"wide\"><table><thead><tr>\(head)</tr></thead><tbody>\(rows.joined())</tbody></table></div>"
  }

  /// - Parameter cells: escaped; what begins with `<td` is a cell already.
  public static func row(_ cells: [String], class name: String? = nil) -> String {
    let cells = cells.map { $0.hasPrefix("<td") ? $0 : "<td>\($0)</td>" }.joined()
    return "<tr\(name.map { " class=\"\($0)\"" } ?? "")>\(cells)</tr>"
  }

  /// A cell of a table, aligned at the right.
  public static func number(_ value: some CustomStringConvertible) -> String { "<td class=\"n\">\(value)</td>" }
  /// A word of state in its colour.
  public static func badge(_ word: String) -> String {
    "<span class=\"badge \(escaped(word))\">\(escaped(word))</span>"
  }

  /// Exactly the page's own style sheets may be used: nothing that somebody smuggles in.
  public static func styleHashes(in page: String) -> String {
    let sheets = page.components(separatedBy: "<style>").dropFirst().map { $0.components(separatedBy: "</style>")[0] }
    let hashes = sheets.compactMap { sheet -> String? in
      guard let digest = try? Digest(of: Array(sheet.utf8).span) else { return nil }
      return "'sha256-\(Data(digest.bytes).base64EncodedString())'"
    }
    return Set(hashes).sorted().joined(separator: " ")
  }

  /// The style sheet, for light, dark and paper.
  public static let style = """
    :root{color-scheme:light dark;--ground:#f6f7f8;--card:#fff;--ink:#1a1d21;--dim:#626a73;--line:#e3e6ea;
    --link:#0b62a4;--good:#0a7d4f;--busy:#0b62a4;--bad:#b3261e;--hold:#8a5a00}
    @media (prefers-color-scheme:dark){:root{--ground:#0f1215;--card:#16191d;--ink:#e8eaed;--dim:#9aa3ad;--line:#2a3037;
    --link:#6db9f2;--good:#4cc38a;--busy:#6db9f2;--bad:#ff8a80;--hold:#e5b567}}
    body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.45 system-ui,"DejaVu Sans",sans-serif}
    header{background:var(--card);border-bottom:1px solid var(--line);padding:14px 28px}
    main{padding:6px 28px 40px;max-width:1280px}
    h1{font-size:20px;margin:0}h2{font-size:16px;margin:26px 0 10px}
    small{color:var(--dim);font-weight:400;font-size:.85em}a{color:var(--link);text-decoration:none}
    a:hover{text-decoration:underline}
    .wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
    table{border-collapse:collapse;width:100%}th,td{padding:7px 14px;text-align:left;white-space:nowrap}
    td:last-child{white-space:normal}th{color:var(--dim);font-weight:500;font-size:13px}
    tbody tr{border-top:1px solid var(--line)}.n{text-align:right;font-variant-numeric:tabular-nums}
    tr.front td:first-child{box-shadow:inset 4px 0 var(--good)}tr.front{font-weight:600}
    code{font:13px ui-monospace,"DejaVu Sans Mono",monospace}.dim{color:var(--dim)}
    .facts{display:flex;gap:18px;flex-wrap:wrap;align-items:center}.bar{white-space:nowrap}
    .badge{display:inline-block;padding:1px 9px;border-radius:99px;border:1px solid currentColor;font-size:13px;
    color:var(--dim)}.running,.ready{color:var(--busy)}.finished,.succeeded,.connected{color:var(--good)}
    .failed,.blocked,.away{color:var(--bad)}.paused,.stopping,.stopped,.draining,.hold,.held{color:var(--hold)}
    progress{height:9px;width:130px;vertical-align:middle;accent-color:var(--good)}
    figure{margin:0 0 14px;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:8px;
    overflow-x:auto}figure svg{max-width:100%;min-width:760px;height:auto}.wide+figure{margin-top:14px}
    figure img{max-width:100%;height:auto;display:block}pre{overflow-x:auto;background:var(--card);padding:12px 16px;
    border:1px solid var(--line);border-radius:10px;font:13px/1.5 ui-monospace,"DejaVu Sans Mono",monospace}
    @page{size:A4 landscape;margin:12mm}
    @media print{:root{color-scheme:light;--ground:#fff;--card:#fff;--ink:#000;--dim:#444;--line:#bbb}
    body{font-size:11px}main{padding:0;max-width:none}header{padding:0 0 8px}h2{break-after:avoid}
    .wide{overflow:visible;border-radius:0}th,td{padding:3px 7px;white-space:normal}th,code,pre{font-size:10px}
    tr,figure,figure svg,pre{break-inside:avoid}figure svg{min-width:0;
    max-height:82mm}.n{white-space:nowrap}pre{white-space:pre-wrap}}
    """
}
