import Fleet
import JSON
import Plotting
import Settings
import Sweep
import Wording

/// The report of a sweep: one page that needs no script, no other file and no other host.
public struct ReportDocument: Sendable {
  /// A picture that stands in the page itself.
  public struct Picture: Hashable, Sendable {
    public var title: String
    /// `image/jpeg` or `image/png`.
    public var type: String
    public var base64: String

    public init(title: String, type: String, base64: String) {
      self.title = title
      self.type = type
      self.base64 = base64
    }
  }

  private let report: SweepReport
  private let table: ResultTable
  private let curves: [LearningCurve]
  private let pictures: [Picture]
  private let facts: [(name: String, value: String)]

  /// - Parameter facts: further lines for the section on hosts and versions.
  public init(
    _ report: SweepReport, curves: [LearningCurve] = [], pictures: [Picture] = [],
    facts: [(name: String, value: String)] = []
  ) {
    self.report = report
    table = report.table.averaged.measured
    self.curves = curves
    self.pictures = pictures
    self.facts = facts
  }

  public var html: String {
    let name = escaped(report.status.summary.sweep.name)
    let body = [head, front, results, learning, detections, settings, work, failures, legend].joined(separator: "\n")
    let hashes = HTML.styleHashes(in: "<style>\(HTML.style)</style>\(body)")
    return """
      <!doctype html><html lang="en"><head><meta charset="utf-8"><title>\(name)</title>
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src \(hashes)">
      <style>\(HTML.style)</style></head><body><header><h1>\(name)</h1></header><main>
      \(body)
      </main></body></html>

      """
  }

  // MARK: - Results

  private var head: String {
    let summary = report.status.summary
    let jobs = summary.jobs
    let state = summary.held == nil ? summary.state.rawValue : "held"
    let objectives = report.spec.objectives.map(\.description).joined(separator: ", ")
    let notes = ([summary.held.map { "held: \($0)" }].compactMap { $0 } + table.notes)
      .map { "<p class=\"hold\">\(escaped($0))</p>" }.joined()
    return """
      <p class="facts">\(HTML.badge(state)) <span>\(counted(summary.trials, "trial")), \
      \(jobs.succeeded) of \(counted(jobs.total, "job")) done\
      \(jobs.failed > 0 ? ", \(jobs.failed) failed" : "")</span> \
      <span>objectives: \(escaped(objectives))</span></p>
      \(notes)
      """
  }

  /// A plot over each thing to minimise.
  private var front: String {
    guard !table.rows.isEmpty else { return "<p class=\"dim\">Nothing has been measured yet.</p>" }
    let gain = table.objectives.first { $0.direction == .maximize } ?? Objective(.maximize, .map50)
    let costs = table.objectives.filter { $0.direction == .minimize }
    let plots = (costs.isEmpty ? [Objective(.minimize, .sizeMB)] : costs).map {
      "<figure>\(FrontPlot(table, x: $0, y: gain).svg)</figure>"
    }
    let landmarks = ResultTable.Landmark.allCases.compactMap { landmark in
      table.row(at: landmark).map { row in
        HTML.row(
          ["@\(landmark.rawValue)", "<code>\(escaped(row.trial.name))</code>", escaped(table.name(of: row))]
            + table.objectives.map { HTML.number(table.text(of: $0.metric, in: row).map(escaped) ?? "–") })
      }
    }
    let header = ["place", "trial", "of"] + table.objectives.map { "#\($0.metric.title)" }
    return HTML.section("Pareto front", count: table.front.count)
      + (table.frontSummary.map { "<p class=\"dim\">\(escaped($0))</p>" } ?? "")
      + HTML.table(header, landmarks, empty: "No trial is on the front.") + plots.joined()
  }

  private var results: String {
    let more = table.rows.count - HTML.rowLimit
    let rest =
      more > 0
      ? "<p class=\"dim\">and \(more) more: <code>greensweep pareto \(escaped(table.sweep.name))</code></p>" : ""
    return HTML.section(table.hasSeeds ? "Configurations" : "Trials", count: table.rows.count) + HTML.trials(table)
      + rest
  }

  private var learning: String {
    guard let svg = LearningCurvePlot(curves).svg else { return "" }
    return HTML.section("Learning curves of the front", count: curves.count)
      + "<figure>\(svg)</figure><p class=\"dim\">Dots mark where sparsity training or fine-tuning begins.</p>"
  }

  private var detections: String {
    pictures.map { picture in
      "<h2>\(escaped(picture.title))</h2><figure><img alt=\"\(escaped(picture.title))\" "
        + "src=\"data:\(escaped(picture.type));base64,\(picture.base64)\"></figure>"
    }.joined()
  }

  // MARK: - How it was made

  /// The settings as a sweep file writes them, defaults left out.
  private var settings: String {
    func flow(_ value: PlainValue) -> String { value.canonicalJSON }
    func members(_ values: [String: PlainValue]) -> String {
      values.sorted { $0.key < $1.key }.map { "\($0.key): \(flow($0.value))" }.joined(separator: ", ")
    }
    let spec = report.spec
    var lines = ["name: \(spec.name)", "dataset: \(spec.dataset)"]
    lines += spec.common.values.sorted { $0.key < $1.key }.map { "\($0.key): \(flow($0.value))" }
    lines += [
      "grid:", "  backbone: \(flow(.array(spec.grid.backbone.map { .string($0) })))",
      "  optimizer: \(flow(.array(spec.grid.optimizer.map { .string($0) })))",
      "  seed: \(flow(.array(spec.grid.seed.map { .int($0) })))",
      "  sparsity_rate: \(flow(.array(spec.grid.sparsityRate.map { .double($0) })))",
      "  prune_ratio: \(flow(.array(spec.grid.pruneRatio.map { .double($0) })))", "stages:",
    ]
    lines += Stage.allCases.filter { !spec.stages[$0].values.isEmpty }
      .map { "  \($0.rawValue): {\(members(spec.stages[$0].values))}" }
    lines.append("objectives: [\(spec.objectives.map(\.description).joined(separator: ", "))]")
    return "<h2>The sweep</h2><pre>\(lines.map(escaped).joined(separator: "\n"))</pre>"
  }

  private var work: String {
    let rows = report.stages.map { work in
      HTML.row([
        work.stage.rawValue, escaped(work.worker), HTML.number(work.jobs), HTML.number(duration(work.wallSeconds)),
        HTML.number(duration(work.processorSeconds)),
      ])
    }
    var facts = facts
    facts.insert(("data set", "\(report.dataset.digest), \(report.dataset.byteCount) bytes packed"), at: 0)
    if let box = report.benchmarkBox {
      let workers = Set(report.stages.filter { $0.stage == .benchmark }.map(\.worker)).sorted()
      facts.append(("latencies and energies from", workers.isEmpty ? box.name : workers.joined(separator: ", ")))
    }
    if let work = report.status.work {
      facts.append(("time of all stages", duration(work.wallSeconds)))
      facts.append(("processor time", duration(work.processorSeconds)))
      facts.append(("processor time spared by sharing stages", duration(work.sparedProcessorSeconds)))
    }
    let lines = facts.map { HTML.row([escaped($0.name), escaped($0.value)]) }
    return "<h2>Hosts, versions and times</h2>"
      + HTML.table(
        ["stage", "worker", "#jobs", "#time", "#processor time"], rows, empty: "Nothing has been finished yet.")
      + "<p></p>" + HTML.table(["fact", "value"], lines, empty: "")
  }

  /// The jobs that failed in the end, and the attempts that ended without a result.
  private var failures: String {
    let jobs = report.jobs.filter { $0.state == .failed || $0.state == .blocked || $0.state == .cancelled }
    let rows = jobs.prefix(HTML.rowLimit).map { job in
      HTML.row([
        "<code>\(job.job.short)</code>", job.stage.rawValue, escaped(job.title), HTML.badge(job.state.rawValue),
        escaped((job.reason ?? "").shortened(to: 600)),
      ])
    }
    let attempts = report.jobs.flatMap { job in
      job.attempts.filter { $0.outcome != "succeeded" && $0.outcome != "running" }.map { (job, $0) }
    }
    let tries = attempts.prefix(HTML.rowLimit).map { job, attempt in
      HTML.row([
        "<code>\(job.job.short)</code>", job.stage.rawValue, escaped(job.title), escaped(attempt.worker),
        escaped(attempt.outcome.shortened(to: 600)),
      ])
    }
    var text =
      HTML.section("What failed", count: jobs.count)
      + HTML.table(["job", "stage", "of", "state", "why"], rows, empty: "Nothing.")
    if !tries.isEmpty {
      text +=
        HTML.section("Attempts that ended without a result", count: attempts.count)
        + HTML.table(["job", "stage", "of", "worker", "outcome"], tries, empty: "")
    }
    return text
  }

  private var legend: String {
    """
    <h2>How to read it</h2><p>A trial is on the front (<b>*</b>) if no other one is at least as good in every \
    objective and better in one. <b>?</b> marks trials that cannot be judged because a value is missing, <b>~</b> a \
    place on the front, or off it, that the noise of the seeds may have made. With several seeds, values are means ± \
    one sample standard deviation. Energy is that of the whole host for one image, <i>measured</i> by its counters or \
    <i>modelled</i> from processor time and calibrated watts. Times are those of the attempts that finished a job.</p>
    """
  }
}

/// Seconds as `42 s`, `3 min 10 s`, `2 h 5 min`.
private func duration(_ seconds: Double) -> String {
  guard seconds.isFinite, abs(seconds) < 1e12 else { return "?" }
  if seconds < 10 { return "\(fixed(max(0, seconds), decimals: 1)) s" }
  let whole = Int(seconds.rounded())
  switch whole {
  case ..<60: return "\(whole) s"
  case ..<3600: return "\(whole / 60) min \(whole % 60) s"
  default: return "\(whole / 3600) h \(whole % 3600 / 60) min"
  }
}
