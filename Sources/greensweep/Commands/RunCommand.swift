import Client
import Compute
import Dataset
import Dispatch
import Fleet
import Foundation
import JSON
import Pipeline
import Platform
import Settings
import Sweep
import Wording

extension Command {
  static let run = Command(
    name: "run", summary: "run a whole sweep on this machine: coordinator, workers, progress, results",
    positionals: ["SWEEP.yaml"],
    options: [
      Option("--data", "DIR", help: "everything the sweep makes (default: .greensweep/NAME)"),
      .workers, .workerThreads,
      Option("--http", "ADDR:PORT", help: "a read-only dashboard while it runs, on a loopback address"),
      .allowDamaged, .backend, .json,
    ],
    discussion: """
      Interrupted, it goes on where it stopped when the same command is given again; jobs that are done are not run
      again, also when the sweep file has changed around them. DIR/models then holds the models of the front.
      """
  ) { arguments in
    keepFilesPrivate()
    var preparation = try SweepPreparation(
      arguments.positionals[0], allowsDamaged: arguments.has("--allow-damaged"))
    // It chooses among hosts, and there is but this one.
    preparation.spec.placement = SweepPlacement()
    try MeasurableMetrics.require(preparation.spec.objectives)
    let folder = URL(filePath: arguments.string("--data") ?? ".greensweep/\(preparation.spec.name)")
    let pack = folder.appending(path: "dataset.tar").path
    try refuseOverwriting(SweepResults.files(in: folder) + [pack], ofInputs: preparation.files())
    let (workers, machine) = try arguments.localWorkers()
    let fleet = try LocalFleet(
      LocalFleet.Settings(
        folder: folder, workers: workers, threads: machine.threads, backend: machine.backend?.rawValue,
        httpAddress: arguments.string("--http")))
    if let address = arguments.string("--http") {
      printError("dashboard on http://\(address)/; the password is the token in \(fleet.tokenFile)")
    }
    stopOnSignals(fleet)
    defer { fleet.stop() }

    let connection = try OperatorConnection(fleet.address, tokenFile: fleet.tokenFile)
    let (submission, files) = try preparation.submission(packedAt: pack)
    let (sweep, isNew, _) = try await connection.client.submit(submission, files: files)
    try? FileManager.default.removeItem(atPath: pack)
    printError("\(isNew ? "running" : "going on with") \(sweep) in \(folder.relativePath)")
    try await SweepProgress(connection, sweep: sweep.name, fleet: fleet).followToTheEnd()

    let table = try await connection.results(sweep.name)
    let results = try await SweepResults(table, in: folder, from: connection, preparation, machine)
    if arguments.has("--json") {
      printJSON(text: table.json)
    } else {
      printLine(table.averaged.words + "\n" + results.summary)
    }
    try requireSuccess(await connection.status(sweep.name))
  }

  /// Ctrl-C leaves everything resumable. The handlers stay for the life of the process.
  private static func stopOnSignals(_ fleet: LocalFleet) {
    for number in [SIGINT, SIGTERM] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        defer { source.cancel() }  // Being named here is what keeps the source alive.
        printError("\nstopping; the same command goes on from here")
        fleet.stop()
        exit(1)
      }
      source.resume()
    }
  }
}

/// The files a finished sweep leaves for people.
struct SweepResults {
  let summary: String

  /// The files that are written anew.
  static func files(in folder: URL) -> [String] {
    ["results.csv", "results.md", "results.json", "front.svg", "detections.jpg", "report.html"].map {
      folder.appending(path: $0).path
    }
  }

  /// Writes the table and the plot, pulls the models of the front that are not there yet, and draws what they find.
  /// - Parameter machine: of one worker; the workers are idle by now.
  init(
    _ trials: ResultTable, in folder: URL, from connection: OperatorConnection, _ preparation: SweepPreparation,
    _ machine: Machine
  ) async throws {
    let models = folder.appending(path: "models")
    try FileManager.default.createDirectory(at: models, withIntermediateDirectories: true)
    let table = trials.averaged
    for (name, text) in [
      ("results.csv", trials.csv), ("results.md", table.markdown), ("results.json", trials.json),
      ("front.svg", table.svg),
    ] {
      try Data(text.utf8).write(to: folder.appending(path: name), options: .atomic)
    }
    var lines = table.advice.map(\.oneLine) + ["best models:"]
    var paths: [TrialID: String] = [:]
    for row in table.front {
      let name = "\(row.point["backbone"]?.string ?? "model")-\(row.trial).safetensors"
      let path = models.appending(path: name).relativePath
      if !FileManager.default.fileExists(atPath: path) { try await connection.pull(row.trial.name, to: path) }
      paths[row.trial] = path
      lines.append("  \(path)")
    }
    lines.append("table: \(folder.appending(path: "results.csv").relativePath), results.md, results.json")
    lines.append("front: \(folder.appending(path: "front.svg").relativePath)")
    let picture = folder.appending(path: "detections.jpg")
    do {
      try await Self.compare(table, paths, preparation, machine, from: connection, to: picture)
      lines.append("what they find: \(picture.relativePath)")
    } catch {
      printError("\(picture.relativePath): could not be drawn: \(error.words)")
    }
    let report = folder.appending(path: "report.html").relativePath
    let pictures = FileManager.default.fileExists(atPath: picture.path) ? [picture.path] : []
    try await connection.writeReport(of: table.sweep.name, pictures: pictures, to: report)
    lines.append("report: \(report)")
    if table.front.isEmpty { lines[table.advice.count] = "no model is on the front" }
    summary = lines.joined(separator: "\n")
  }
  /// The most models that a picture shows.
  private static let shownModels = 8

  /// Draws some validation images with what the best unpruned model and those of the front find in them.
  private static func compare(
    _ table: ResultTable, _ paths: [TrialID: String], _ preparation: SweepPreparation, _ machine: Machine,
    from connection: OperatorConnection, to picture: URL
  ) async throws {
    guard let images = preparation.contents[.val]?.images else { return }
    var paths = paths
    let whole = table.rows.first { $0.state == .done && $0.point["prune_ratio"]?.double == 0 }
    let passing = picture.deletingLastPathComponent().appending(path: "unpruned.safetensors").path
    defer { try? FileManager.default.removeItem(atPath: passing) }
    if let whole, paths[whole.trial] == nil {
      try await connection.pull(whole.trial.name, to: passing)
      paths[whole.trial] = passing
    }
    let others = table.front.filter { $0.trial != whole?.trial }
    let shown = min(others.count, shownModels - 1)
    let rows = [whole].compactMap { $0 } + (0..<shown).map { others[$0 * others.count / shown] }
    try compareDetections(
      of: rows.map { ComparedModel(path: paths[$0.trial]!, heading: $0.heading) }, in: images,
      classNames: preparation.classNames, imageSize: preparation.spec.common.imageSize, machine: machine,
      to: picture.path)
  }
}

extension ResultTable.Row {
  /// Its lines above what it finds.
  fileprivate var heading: [String] {
    let ratio = point["prune_ratio"]?.double ?? 0
    let figures: [(Objective.Metric, String)] = [(.map50, ""), (.sizeMB, " MB")]
    return [
      "\(point["backbone"]?.string ?? "model") \(ratio > 0 ? "pruned \(ratio)" : "unpruned")",
      figures.compactMap { metric, unit in
        metrics[metric.rawValue].map { "\(metric == .map50 ? "mAP50 " : "")\(metric.format($0))\(unit)" }
      }.joined(separator: "  "),
    ]
  }
}
