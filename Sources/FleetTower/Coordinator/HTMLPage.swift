import Fleet
import JSON
import Plotting
import Reporting
import Sweep
import Transport
import Wording

/// The dashboard's pages. Whatever comes from outside goes through `escaped`; there is no script, and no file besides.
enum HTMLPage {
  static func overview(_ sweeps: [SweepSummary], _ workers: [WorkerStatus]) -> HTTPResponse {
    let rows = sweeps.reversed().prefix(Dashboard.rowLimit).map { sweep in
      HTML.row([
        link("/sweeps/\(sweep.sweep)", sweep.sweep.name), badge(of: sweep), HTML.number(sweep.priority ?? 0),
        HTML.number(sweep.trials), progress(sweep.jobs), HTML.number(sweep.jobs.leased), HTML.number(sweep.jobs.failed),
      ])
    }
    let body =
      HTML.section("Sweeps", count: sweeps.count)
      + HTML.table(
        ["sweep", "state", "#priority", "#trials", "jobs done", "#running", "#failed"], rows,
        empty: "Nothing has been submitted: <code>greensweep submit sweep.yaml</code>")
      + workersSection(workers)
    return document("Greensweep", heading: "Greensweep", body)
  }

  static func sweep(_ status: SweepStatus, _ results: ResultTable) -> HTTPResponse {
    let summary = status.summary
    let name = escaped(summary.sweep.name)
    let head =
      "<p class=\"facts\">\(badge(of: summary)) \(progress(summary.jobs)) <span>\(counted(summary.trials, "trial")), "
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
      head + notes + HTML.section("Pareto front", count: measured.front.count) + front
      + (measured.frontSummary.map { "<p class=\"dim\">\(escaped($0))</p>" } ?? "") + HTML.trials(measured)
      + HTML.section("Jobs", count: summary.jobs.total)
      + HTML.table(
        ["job", "stage", "of", "state", "worker", "#tries", "progress, or why it waits"], jobs, empty: "No jobs.")
      + (more > 0 ? "<p class=\"dim\">and \(more) more: <code>greensweep status \(name)</code></p>" : "")
    return document(summary.sweep.name, heading: "\(link("/", "Greensweep")) <small>\(name)</small>", body)
  }

  // MARK: - Parts

  private static func workersSection(_ workers: [WorkerStatus]) -> String {
    let rows = workers.prefix(Dashboard.rowLimit).map { worker in
      HTML.row([
        escaped(worker.name), HTML.badge(worker.isConnected ? (worker.isDraining ? "draining" : "connected") : "away"),
        "<td class=\"n\">\(worker.jobs.count) of \(worker.slots)</td>", escaped(worker.box.name),
        worker.jobs.prefix(8).map { "<code>\($0.short)</code>" }.joined(separator: " "),
      ])
    }
    return HTML.section("Workers", count: workers.count)
      + HTML.table(
        ["worker", "state", "#slots in use", "box", "jobs"], rows,
        empty: "None has joined: <code>greensweep worker</code>")
  }

  private static func row(_ job: JobStatus) -> String {
    var state = job.reason.map(escaped) ?? ""
    if state.isEmpty, job.state == .running, let epochs = job.epochs {
      state =
        "<progress max=\"\(max(1, epochs.epochs))\" value=\"\(max(0, epochs.epoch))\"></progress> "
        + "epoch \(epochs.epoch) of \(epochs.epochs)"
      if let map50 = epochs.values["map50"] { state += ", mAP50 \(Objective.Metric.map50.format(map50))" }
      if let fading = epochs.fading { state += ", \(fading)" }
    }
    return HTML.row([
      "<code>\(job.job.short)</code>", job.stage.rawValue, escaped(job.title), HTML.badge(job.state.rawValue),
      escaped(job.worker ?? ""),
      HTML.number(job.attempts), state,
    ])
  }

  private static func badge(of sweep: SweepSummary) -> String {
    HTML.badge(sweep.held == nil ? sweep.state.rawValue : "held")
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
      <style>\(HTML.style)</style></head><body><header><h1>\(heading)</h1></header><main>\(body)</main></body></html>

      """
    return HTTPResponse(
      contentType: "text/html; charset=utf-8",
      contentSecurityPolicy: "default-src 'none'; style-src \(HTML.styleHashes(in: page))", body: page.utf8)
  }
}
