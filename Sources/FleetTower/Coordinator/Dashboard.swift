import Fleet
import JSON
import Sweep
import Transport

/// The answers that the coordinator gives to browsers and monitors: read-only, one for each path.
struct Dashboard {
  let brain: CoordinatorBrain
  let shell: ShellFigures

  /// The figures that the brain does not know.
  struct ShellFigures {
    var connections = 0
    var httpConnections = 0
    var journalRecords = 0
    var durableJournalRecords = 0
    /// nil until it has been measured.
    var storeByteCount: Int?
  }

  /// Jobs and trials that a page lists; what lies beyond is counted.
  static let rowLimit = 200
  /// Sweeps of more jobs are answered in part only: as a page, or by `greensweep status`.
  static let jobLimit = 50_000

  func answer(_ path: String) throws(HTTPRefusal) -> HTTPResponse {
    let parts = path.split(separator: "/").map(String.init)
    switch (parts.first, parts.count) {
    case (nil, 0): return HTMLPage.overview(try sweeps(), try workers())
    case ("metrics", 1):
      return HTTPResponse(contentType: "text/plain; version=0.0.4; charset=utf-8", body: metrics.utf8)
    case ("sweeps", 2):
      guard let status = brain.glance(at: parts[1], limit: Self.rowLimit) else { throw notFound(path) }
      return HTMLPage.sweep(status, try results(parts[1]))
    case ("api", 2) where parts[1] == "sweeps": return json(try sweeps())
    case ("api", 2) where parts[1] == "workers": return json(try workers())
    case ("api", 3) where parts[1] == "sweeps":
      if let count = brain.glance(at: parts[2], limit: 0)?.summary.jobs.total, count > Self.jobLimit {
        throw HTTPRefusal(413, "the sweep has \(count) jobs: its page shows some, 'greensweep status' all")
      }
      guard case .sweep(let status) = brain.reading(.status(sweep: parts[2])) else { throw notFound(path) }
      return json(status)
    case ("api", 4) where parts[1] == "sweeps" && parts[3] == "results":
      return HTTPResponse(contentType: "application/json", body: (try results(parts[2]).measured.json + "\n").utf8)
    default: throw notFound(path)
    }
  }

  private func notFound(_ path: String) -> HTTPRefusal { HTTPRefusal(404, "there is nothing at \(path.prefix(100))") }

  private func sweeps() throws(HTTPRefusal) -> [SweepSummary] {
    guard case .sweeps(let sweeps) = brain.reading(.status(sweep: nil)) else { throw notFound("sweeps") }
    return sweeps
  }

  private func workers() throws(HTTPRefusal) -> [WorkerStatus] {
    guard case .workers(let workers) = brain.reading(.workers) else { throw notFound("workers") }
    return workers
  }

  private func results(_ sweep: String) throws(HTTPRefusal) -> ResultTable {
    guard case .results(let table) = brain.reading(.results(sweep: sweep, objectives: nil)) else {
      throw notFound("sweeps/\(sweep)")
    }
    return table
  }

  private func json(_ value: some Encodable) -> HTTPResponse {
    HTTPResponse(contentType: "application/json", body: (JSON.sorted(value) + "\n").utf8)
  }
}

// MARK: - Metrics

extension Dashboard {
  /// Prometheus' text format.
  private var metrics: String {
    let figures = brain.figures
    let jobs = figures.jobs
    var text = MetricsText()
    text.add(
      "jobs", .gauge, "Jobs by state, each once however many sweeps share it.",
      [
        ("state=\"waiting\"", jobs.waiting), ("state=\"ready\"", jobs.ready), ("state=\"running\"", jobs.leased),
        ("state=\"succeeded\"", jobs.succeeded), ("state=\"failed\"", jobs.failed), ("state=\"blocked\"", jobs.blocked),
        ("state=\"cancelled\"", jobs.cancelled),
      ])
    text.add(
      "sweeps", .gauge, "Sweeps by state.",
      SweepSummary.State.allCases.map { ("state=\"\($0.rawValue)\"", figures.sweeps[$0] ?? 0) })
    text.add(
      "workers", .gauge, "Workers by state.",
      [
        ("state=\"taking_jobs\"", figures.connectedWorkers - figures.drainingWorkers),
        ("state=\"draining\"", figures.drainingWorkers), ("state=\"absent\"", figures.absentWorkers),
      ])
    text.add("slots", .gauge, "Slots of workers that take jobs.", [("", figures.slots)])
    text.add("free_slots", .gauge, "Those of them where nothing runs.", [("", figures.freeSlots)])
    text.add(
      "attempts_total", .counter, "Attempts at jobs ever started.", [("", Int(clamping: figures.startedAttempts))])
    text.add("failed_attempts_total", .counter, "Attempts that failed.", [("", figures.failedAttempts)])
    text.add("lost_attempts_total", .counter, "Attempts that vanished with their worker.", [("", figures.lostAttempts)])
    text.add("connections", .gauge, "Authenticated connections, transfers left out.", [("", shell.connections)])
    text.add("http_connections", .gauge, "Connections of browsers and monitors.", [("", shell.httpConnections)])
    text.add("journal_records_total", .counter, "Records of the journal.", [("", shell.journalRecords)])
    text.add(
      "journal_unwritten_records", .gauge, "Records that are not on the disk yet.",
      [("", shell.journalRecords - shell.durableJournalRecords)])
    if let count = shell.storeByteCount {
      text.add("store_bytes", .gauge, "Bytes of all artifacts, counted every half minute.", [("", count)])
    }
    return text.text
  }
}

private struct MetricsText {
  enum Kind: String { case gauge, counter }
  var text = ""

  mutating func add(_ name: String, _ kind: Kind, _ help: String, _ samples: [(labels: String, value: Int)]) {
    text += "# HELP greensweep_\(name) \(help)\n# TYPE greensweep_\(name) \(kind.rawValue)\n"
    for (labels, value) in samples { text += "greensweep_\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(value)\n" }
  }
}
