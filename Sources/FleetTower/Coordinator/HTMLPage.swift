import Artifacts
import Bytes
import Fleet
import Foundation
import JSON
import Plotting
import Sweep
import Transport

/// The dashboard's pages. Whatever comes from outside goes through `escaped`; there is no script, and no file besides.
enum HTMLPage {
  static func overview(_ sweeps: [SweepSummary], _ workers: [WorkerStatus]) -> HTTPResponse {
    let rows = sweeps.reversed().prefix(Dashboard.rowLimit).map { sweep in
      row([
        link("/sweeps/\(sweep.sweep)", sweep.sweep.name), badge(of: sweep), number(sweep.priority ?? 0),
        number(sweep.trials), progress(sweep.jobs), number(sweep.jobs.leased), number(sweep.jobs.failed),
      ])
    }
    let body =
      section("Sweeps", count: sweeps.count)
      + table(
        ["sweep", "state", "#priority", "#trials", "jobs done", "#running", "#failed"], rows,
        empty: "Nothing has been submitted: <code>greensweep submit sweep.yaml</code>")
      + workersSection(workers)
    return document("Greensweep", heading: "Greensweep", body)
  }

  static func sweep(_ status: SweepStatus, _ results: ResultTable) -> HTTPResponse {
    let summary = status.summary
    let name = escaped(summary.sweep.name)
    let head =
      "<p class=\"facts\">\(badge(of: summary)) \(progress(summary.jobs)) <span>\(summary.trials) trials, "
      + "priority \(summary.priority ?? 0)</span> <span>JSON: \(link("/api/sweeps/\(summary.sweep)", "jobs")), "
      + "\(link("/api/sweeps/\(summary.sweep)/results", "results"))</span></p>"
    let measured = results.averaged.measured
    let notes = ([summary.held.map { "held: \($0)" }].compactMap { $0 } + measured.notes).map {
      "<p class=\"hold\">\(escaped($0))</p>"
    }.joined()
    let front = measured.rows.isEmpty ? "" : "<figure>\(measured.svg)</figure>"
    let jobs = status.jobs.map(row)
    let more = summary.jobs.total - status.jobs.count
    let body =
      head + notes + section("Pareto front", count: measured.front.count) + front
      + (measured.frontSummary.map { "<p class=\"dim\">\(escaped($0))</p>" } ?? "") + trials(measured)
      + section("Jobs", count: summary.jobs.total)
      + table(
        ["job", "stage", "of", "state", "worker", "#tries", "progress, or why it waits"], jobs, empty: "No jobs.")
      + (more > 0 ? "<p class=\"dim\">and \(more) more: <code>greensweep status \(name)</code></p>" : "")
    return document(summary.sweep.name, heading: "\(link("/", "Greensweep")) <small>\(name)</small>", body)
  }

  // MARK: - Parts

  private static func workersSection(_ workers: [WorkerStatus]) -> String {
    let rows = workers.prefix(Dashboard.rowLimit).map { worker in
      row([
        escaped(worker.name), badge(worker.isConnected ? (worker.isDraining ? "draining" : "connected") : "away"),
        "<td class=\"n\">\(worker.jobs.count) of \(worker.slots)</td>", escaped(worker.box.name),
        worker.jobs.prefix(8).map { "<code>\($0.short)</code>" }.joined(separator: " "),
      ])
    }
    return section("Workers", count: workers.count)
      + table(
        ["worker", "state", "#slots in use", "box", "jobs"], rows,
        empty: "None has joined: <code>greensweep worker</code>")
  }

  private static func trials(_ table: ResultTable) -> String {
    let metrics = Objective.Metric.allCases.filter { metric in
      table.rows.contains { $0.metrics[metric.rawValue] != nil }
    }
    let rows = (table.front + table.rows.filter { !$0.isOnFront }).prefix(Dashboard.rowLimit).map { trial in
      let axes = ["backbone", "optimizer", "sparsity_rate", "prune_ratio"] + (table.hasSeeds ? [] : ["seed"])
      let point = axes.map { axis in
        switch trial.point[axis] {
        case .string(let text): escaped(text)
        case .double(let value): number(plain(value))
        case .int(let value): number(value)
        default: ""
        }
      }
      let values = metrics.map { metric in number(table.text(of: metric, in: trial).map(escaped) ?? "–") }
      let seeds = table.hasSeeds ? [number(table.seedText(of: trial))] : []
      return row(
        [table.mark(of: trial), "<code>\(trial.trial.name)</code>"] + point + seeds + values,
        class: trial.isOnFront ? "front" : nil)
    }
    let seeds = table.hasSeeds ? "#seeds" : "#seed"
    let axes = ["", "trial", "backbone", "optimizer", "#sparsity", "#ratio", seeds]
    return Self.table(axes + metrics.map { "#\($0.title)" }, rows, empty: "Nothing has been measured yet.")
  }

  private static func row(_ job: JobStatus) -> String {
    var state = job.reason.map(escaped) ?? ""
    if state.isEmpty, job.state == .running, let epochs = job.epochs {
      state =
        "<progress max=\"\(max(1, epochs.epochs))\" value=\"\(max(0, epochs.epoch))\"></progress> "
        + "epoch \(epochs.epoch) of \(epochs.epochs)"
      if let map50 = epochs.values["map50"] { state += ", mAP50 \(Objective.Metric.map50.format(map50))" }
    }
    return row([
      "<code>\(job.job.short)</code>", job.stage.rawValue, escaped(job.title), badge(job.state.rawValue),
      escaped(job.worker ?? ""),
      number(job.attempts), state,
    ])
  }

  private static func section(_ title: String, count: Int) -> String { "<h2>\(title) <small>\(count)</small></h2>" }

  /// - Parameter header: titles; those of numbers begin with `#`.
  private static func table(_ header: [String], _ rows: [String], empty: String) -> String {
    if rows.isEmpty { return "<p class=\"dim\">\(empty)</p>" }
    let head = header.map { $0.hasPrefix("#") ? "<th class=\"n\">\($0.dropFirst())</th>" : "<th>\($0)</th>" }.joined()
    return "<div class=\"wide\"><table><thead><tr>\(head)</tr></thead><tbody>\(rows.joined())</tbody></table></div>"
  }

  /// - Parameter cells: escaped; what begins with `<td` is a cell already.
  private static func row(_ cells: [String], class name: String? = nil) -> String {
    let cells = cells.map { $0.hasPrefix("<td") ? $0 : "<td>\($0)</td>" }.joined()
    return "<tr\(name.map { " class=\"\($0)\"" } ?? "")>\(cells)</tr>"
  }

  private static func number(_ value: some CustomStringConvertible) -> String { "<td class=\"n\">\(value)</td>" }
  private static func badge(_ word: String) -> String {
    "<span class=\"badge \(escaped(word))\">\(escaped(word))</span>"
  }

  private static func badge(of sweep: SweepSummary) -> String {
    badge(sweep.held == nil ? sweep.state.rawValue : "held")
  }

  /// - Parameter path: of letters that need no escape in an address, as sweeps' names are.
  private static func link(_ path: String, _ text: String) -> String {
    "<a href=\"\(escaped(path))\">\(escaped(text))</a>"
  }

  private static func progress(_ jobs: JobCounts) -> String {
    "<span class=\"bar\"><progress max=\"\(max(1, jobs.total))\" value=\"\(jobs.succeeded)\"></progress> "
      + "\(jobs.succeeded) of \(jobs.total)</span>"
  }

  // MARK: - The document

  /// - Parameter heading: escaped, as the body is.
  private static func document(_ title: String, heading: String, _ body: String) -> HTTPResponse {
    let page = """
      <!doctype html><html lang="en"><head><meta charset="utf-8"><title>\(escaped(title))</title>
      <meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="5">
      <style>\(style)</style></head><body><header><h1>\(heading)</h1></header><main>\(body)</main></body></html>

      """
    return HTTPResponse(
      contentType: "text/html; charset=utf-8",
      contentSecurityPolicy: "default-src 'none'; style-src \(styleHashes(in: page))", body: page.utf8)
  }

  /// Exactly the page's own style sheets may be used: nothing that somebody smuggles in.
  private static func styleHashes(in page: String) -> String {
    let sheets = page.components(separatedBy: "<style>").dropFirst().map { $0.components(separatedBy: "</style>")[0] }
    let hashes = sheets.compactMap { sheet -> String? in
      guard let digest = try? Digest(of: Array(sheet.utf8).span) else { return nil }
      return "'sha256-\(Data(digest.bytes).base64EncodedString())'"
    }
    return Set(hashes).sorted().joined(separator: " ")
  }

  private static let style = """
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
    overflow-x:auto}figure svg{max-width:100%;min-width:760px;height:auto}
    """
}
