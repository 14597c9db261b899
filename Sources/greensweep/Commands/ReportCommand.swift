import Client
import Fleet
import Foundation
import JSON
import Platform
import Reporting
import Sweep
import Wording

extension Command {
  static let report = Command(
    name: "report", summary: "write a sweep's report: one HTML file that needs nothing else", positionals: ["SWEEP"],
    options: Option.connection + [
      Option("--output", "FILE", aliases: ["-o"], help: "(default: SWEEP-report.html)"),
      Option(
        "--picture", "FILE", repeats: true,
        help: "a JPEG or PNG to show, such as a run's detections.jpg; may be repeated"),
    ],
    discussion: """
      It has the front, the table, learning curves of the front, the settings, hosts, times and what failed, in light
      and dark and for paper. Example: greensweep report campus -o campus.html
      """
  ) { arguments in
    let sweep = arguments.positionals[0]
    let output = arguments.string("--output") ?? "\(sweep)-report.html"
    let pictures = arguments.strings("--picture")
    try refuseOverwriting([output], ofInputs: pictures + [arguments.tokenFile].compactMap { $0 })
    try await OperatorConnection(arguments).writeReport(of: sweep, pictures: pictures, to: output)
    printLine(output)
  }
}

extension OperatorConnection {
  /// The most trials whose learning curves are fetched.
  private static let curveLimit = 8

  /// Writes the sweep's report, with learning curves of some trials of the front.
  func writeReport(of sweep: String, pictures: [String] = [], to output: String) async throws {
    let shown = try pictures.map { try ReportDocument.Picture(file: $0) }
    let report = try await report(sweep)
    var facts = [
      ("report made by", "greensweep \(Greensweep.version)"),
      ("made at", Date.now.formatted(.iso8601.dateSeparator(.dash).timeSeparator(.colon))),
    ]
    if let host = try await benchmarkHost(of: report) { facts.append(("benchmarked on", host)) }
    let document = ReportDocument(report, curves: try await curves(of: report), pictures: shown, facts: facts)
    do {
      try Data(document.html.utf8).write(to: URL(filePath: output), options: .atomic)
    } catch {
      throw WorkError("\(output): cannot be written: \(reason(of: error))")
    }
  }

  private func curves(of report: SweepReport) async throws -> [LearningCurve] {
    let table = report.table.averaged
    var files: [JobKey: String] = [:]
    var curves: [LearningCurve] = []
    for row in table.front.prefix(Self.curveLimit) {
      var curve = LearningCurve(name: table.name(of: row))
      for job in report.jobs where job.trials.contains(row.trial) {
        guard let epochs = job.artifacts[OutputRole.epochs.rawValue] else { continue }
        if files[job.job] == nil { files[job.job] = try await text(of: epochs) }
        curve.append(epochsFile: files[job.job] ?? "")
      }
      curves.append(curve)
    }
    return curves
  }

  /// The processor, threads and backend that a benchmark's own report names; nil if there is none.
  private func benchmarkHost(of report: SweepReport) async throws -> String? {
    struct Report: Decodable {
      var processor: String?
      var threads: Int
      var backend: String
    }
    guard
      let file = report.jobs.lazy.filter({ $0.stage == .benchmark }).compactMap({
        $0.artifacts[OutputRole.report.rawValue]
      })
      .first, let found = try? JSON.decode(Report.self, from: Array(try await text(of: file).utf8))
    else { return nil }
    return "\(found.processor ?? "an unknown processor"), \(counted(found.threads, "thread")), \(found.backend)"
  }

  /// The text of a small artifact.
  private func text(of artifact: ArtifactReference) async throws -> String {
    guard artifact.byteCount <= 16 << 20 else { return "" }
    let file = FileManager.default.temporaryDirectory.appending(path: "greensweep-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    try await client.pull(artifact, to: file.path)
    return String(decoding: try Data(contentsOf: file), as: UTF8.self)
  }
}

extension ReportDocument.Picture {
  private static let sizeLimit = 32 << 20

  fileprivate init(file: String) throws {
    let data: Data
    do { data = try Data(contentsOf: URL(filePath: file)) } catch {
      throw WorkError("\(file): cannot be read: \(reason(of: error))")
    }
    let types: [(start: [UInt8], type: String)] = [
      ([0xff, 0xd8, 0xff], "image/jpeg"), ([0x89, 0x50, 0x4e, 0x47], "image/png"),
    ]
    guard data.count <= Self.sizeLimit, let type = types.first(where: { data.starts(with: $0.start) })?.type else {
      throw UsageError("report: \(file) is not a JPEG or PNG of at most \(Self.sizeLimit >> 20) MB")
    }
    self.init(
      title: "Detections in validation images (\(URL(filePath: file).lastPathComponent))", type: type,
      base64: data.base64EncodedString())
  }
}
