import Client
import Fleet
import Foundation
import Interchange
import Pipeline
import Platform
import Sweep
import Wording

extension Command {
  static let submit = Command(
    name: "submit", summary: "hand a sweep to a coordinator", positionals: ["SWEEP.yaml"],
    options: Option.connection + [
      Option("--wait", help: "show progress until it is done, then the table"),
      Option("--priority", "N", help: "higher goes first, from -1000 to 1000 (default: the sweep file's, or 0)"),
      .allowDamaged, .json,
    ]
  ) { arguments in
    keepFilesPrivate()  // The packed data set passes through a folder of all users.
    var preparation = try SweepPreparation(
      arguments.positionals[0], allowsDamaged: arguments.has("--allow-damaged"))
    if let priority = try arguments.int("--priority", in: SweepSpec.priorityRange) {
      preparation.spec.priority = priority
    }
    let connection = try OperatorConnection(arguments)
    let pack = FileManager.default.temporaryDirectory.appending(path: "greensweep-\(UUID().uuidString).tar").path
    defer { try? FileManager.default.removeItem(atPath: pack) }
    let (submission, files) = try preparation.submission(packedAt: pack)
    let (sweep, isNew, notice) = try await connection.client.submit(submission, files: files) { reference in
      printError("uploading \(reference.byteCount) bytes")
    }
    printError(isNew ? "submitted \(sweep)" : "\(sweep) was submitted before")
    if let notice { printError("nothing of it starts: \(notice)") }
    guard arguments.has("--wait") else {
      return arguments.has("--json") ? printJSON(["sweep": sweep]) : printLine(sweep.name)
    }
    try await SweepProgress(connection, sweep: sweep.name).followToTheEnd()
    let table = try await connection.results(sweep.name)
    if arguments.has("--json") { printJSON(text: table.json) } else { printLine(table.averaged.words) }
    try requireSuccess(await connection.status(sweep.name))
  }

  static let status = Command(
    name: "status", summary: "sweeps, or the jobs of one", positionals: ["SWEEP"], optionalPositionals: 1,
    options: Option.connection + [Option("--watch", help: "show it again every two seconds until it is done"), .json]
  ) { arguments in
    let connection = try OperatorConnection(arguments)
    guard let sweep = arguments.positionals.first else {
      try arguments.refuse(["--watch"], because: "name the SWEEP to watch")
      let sweeps = try await connection.sweeps()
      return arguments.has("--json") ? printJSON(sweeps) : printLine(StatusText.overview(sweeps))
    }
    if arguments.has("--watch") { try await SweepProgress(connection, sweep: sweep).followToTheEnd() }
    let status = try await connection.status(sweep)
    if arguments.has("--json") { printJSON(status) } else { printLine(StatusText.jobs(status)) }
  }

  static let pareto = Command(
    name: "pareto", summary: "the results of a sweep, the front marked", positionals: ["SWEEP"],
    options: Option.connection + [
      Option("--x", "METRIC", needs: ["--y"], help: "judge by this metric and --y instead of the sweep's objectives"),
      Option(
        "--y", "METRIC", needs: ["--x"], help: "\(Objective.Metric.allCases.map(\.rawValue).joined(separator: ", "))"),
      Option("--without", "METRIC", repeats: true, help: "judge by the other objectives of the sweep; may be repeated"),
      Option("--seeds", help: "a row for each seed, instead of the means (CSV and JSON always have both)"),
      Option("--all", help: "all trials, not only those measured so far"),
      Option("--format", "FORMAT", help: "table, json, csv, markdown or svg (default: table)"),
      .json.excluding(["--format"]),
    ]
  ) { arguments in
    let formats = ResultTable.Format.allCases.map(\.rawValue)
    let name = try arguments.choice("--format", among: formats) ?? (arguments.has("--json") ? "json" : "table")
    let format = ResultTable.Format(rawValue: name)!
    let hasAllSeeds = format == .csv || format == .json
    if hasAllSeeds { try arguments.refuse(["--seeds"], because: "\(name) always has a row for each seed") }
    let axes = try ["--x", "--y"].map { try objective(arguments.choice($0, among: metricNames)) }
    if let x = axes[0], x == axes[1] { throw UsageError("pareto: --x and --y are the same metric; give two") }
    let chosen = axes.compactMap { $0 }
    let leftOut = arguments.strings("--without")
    for metric in leftOut where !metricNames.contains(metric) {
      throw UsageError("--without: no metric '\(metric)'" + suggestion(metric, among: metricNames))
    }
    let connection = try OperatorConnection(arguments)
    var table = try await connection.results(arguments.positionals[0], objectives: chosen.isEmpty ? nil : chosen)
    if !leftOut.isEmpty {
      let others = table.objectives.filter { !leftOut.contains($0.metric.rawValue) }
      guard !others.isEmpty else { throw UsageError("--without leaves no objective to judge by") }
      table = table.judged(by: others)
    }
    let rows = hasAllSeeds || arguments.has("--seeds") ? table : table.averaged
    let shown = arguments.has("--all") ? rows : rows.measured
    if format == .json { printJSON(text: shown.json) } else { printLine(shown.text(format)) }
  }

  static let workers = Command(
    name: "workers", summary: "list the workers, their slots and jobs", options: Option.connection + [.json]
  ) { arguments in
    let workers = try await OperatorConnection(arguments).workers()
    if arguments.has("--json") { return printJSON(workers) }
    printLine(StatusText.workers(workers))
  }

  static let drain = Command(
    name: "drain", summary: "let a worker finish what it runs and give it nothing more", positionals: ["WORKER"],
    options: Option.connection + [Option("--undo", help: "give it work again")]
  ) { arguments in
    let request = OperatorRequest.drain(worker: arguments.positionals[0], isDraining: !arguments.has("--undo"))
    printLine(try await OperatorConnection(arguments).order(request))
  }

  static let cancel = Command(
    name: "cancel", summary: "end a sweep and kill what runs of it; what is done stays", positionals: ["SWEEP"],
    options: Option.connection
  ) { arguments in
    printLine(try await OperatorConnection(arguments).order(.cancel(sweep: arguments.positionals[0])))
  }

  static let retry = Command(
    name: "retry", summary: "run again what failed of a sweep, or one job", positionals: ["SWEEP|JOB"],
    options: Option.connection
  ) { arguments in
    printLine(try await OperatorConnection(arguments).order(.retry(target: arguments.positionals[0])))
  }

  static let logs = Command(
    name: "logs", summary: "a job's attempts and what they printed", positionals: ["JOB"],
    options: Option.connection + [.json]
  ) { arguments in
    keepFilesPrivate()
    let connection = try OperatorConnection(arguments)
    let history = try await connection.logs(arguments.positionals[0])
    if arguments.has("--json") { return printJSON(history) }
    for entry in history.entries {
      printLine("attempt \(entry.attempt) on \(entry.worker): \(entry.outcome)".oneLine)
      guard let log = entry.log else { continue }
      let file = FileManager.default.temporaryDirectory.appending(path: "greensweep-\(UUID().uuidString).log")
      defer { try? FileManager.default.removeItem(at: file) }
      try await connection.client.pull(log, to: file.path)
      printLine(String(decoding: try Data(contentsOf: file), as: UTF8.self))
    }
  }

  static let pull = Command(
    name: "pull", summary: "fetch a trial's model", positionals: ["TRIAL|SWEEP@PLACE"],
    options: Option.connection + [
      Option("--output", "FILE", aliases: ["-o"], help: ".safetensors or .onnx (default: TRIAL.safetensors)"),
      Option("--image-size", "S", help: "side of the images of an ONNX file in pixels (default: 640)"),
    ],
    discussion: """
      SWEEP@best is the model of the front that is best by the first objective, SWEEP@knee the one nearest to the best
      values of all objectives, SWEEP@smallest the one with the smallest file. Example: greensweep pull campus@knee
      'greensweep export' writes ONNX in more ways.
      """
  ) { arguments in
    let name = arguments.positionals[0]
    let place = try FrontPlace(name)
    let output = arguments.string("--output") ?? (place?.fileName ?? "\(name).safetensors")
    let size = try arguments.imageSize()
    let isONNX = output.hasSuffix(".onnx")
    if !isONNX { try arguments.refuse(["--image-size"], because: "\(output) is no ONNX file") }
    try refuseOverwriting([output], ofInputs: [arguments.tokenFile].compactMap { $0 })
    let connection = try OperatorConnection(arguments)
    let model = isONNX ? "\(output).\(UUID().uuidString).safetensors" : output
    let trial = try await place?.trial(from: connection) ?? name
    try await connection.pull(trial, to: model)
    if isONNX {
      defer { try? FileManager.default.removeItem(atPath: model) }
      _ = try Pipeline.export(
        ExportRequest(model: model, output: output, options: .init(imageHeight: size, imageWidth: size)))
    }
    printLine(output)
  }
}

/// A point of a sweep's front by its name: `SWEEP@knee`.
private struct FrontPlace {
  let sweep: String
  let landmark: ResultTable.Landmark

  /// nil for a text without `@`.
  /// - Throws: `UsageError` if there is no such place.
  init?(_ text: String) throws {
    guard let at = text.lastIndex(of: "@") else { return nil }
    let word = String(text[text.index(after: at)...])
    guard let landmark = ResultTable.Landmark(rawValue: word) else {
      throw UsageError("pull: \(unknown("place", word, among: ResultTable.Landmark.allCases.map(\.rawValue)))")
    }
    sweep = String(text[..<at])
    self.landmark = landmark
  }

  var fileName: String { "\(sweep)-\(landmark.rawValue).safetensors" }

  func trial(from connection: OperatorConnection) async throws -> String {
    let table = try await connection.results(sweep).averaged
    guard let row = table.row(at: landmark) else {
      throw WorkError(
        "nothing of \(sweep) is on the front yet: 'greensweep pareto \(sweep) --all' says what is missing")
    }
    printError("\(landmark.rawValue) of \(table.sweep) is trial \(row.trial)")
    return "\(table.sweep)/\(row.trial)"
  }
}

private let metricNames = Objective.Metric.allCases.map(\.rawValue)

private func objective(_ metric: String?) -> Objective? {
  metric.flatMap(Objective.Metric.init(rawValue:)).map { Objective($0.naturalDirection, $0) }
}

/// - Throws: `WorkError`, so that the exit status tells, if anything of the sweep did not succeed.
func requireSuccess(_ status: SweepStatus) throws {
  let jobs = status.summary.jobs
  let sweep = status.summary.sweep
  if status.summary.state == .cancelled { throw WorkError("\(sweep) was cancelled") }
  if status.summary.state == .stopped {
    throw WorkError("\(sweep) was stopped: 'greensweep resume \(sweep)' goes on with it")
  }
  guard jobs.failed > 0 else { return }
  let reasons = status.jobs.filter { $0.state == .failed }.map {
    "\($0.stage) \($0.title): \($0.reason ?? "no reason given")"
  }
  throw WorkError(
    "\(counted(jobs.failed, "job")) failed:\n\(reasons.joined(separator: "\n"))\n'greensweep retry' runs them again")
}

extension ResultTable {
  /// The table for a terminal, and a line on its front.
  var words: String { terminalText + (frontSummary.map { "\n\($0)" } ?? "") }

  func text(_ format: Format) -> String {
    switch format {
    case .table: words
    case .json: json
    case .csv: csv
    case .markdown: markdown
    case .svg: svg
    }
  }
}
