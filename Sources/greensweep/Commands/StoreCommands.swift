import Bytes
import Client
import Coordinator
import Fleet
import Foundation
import Sweep
import Wording

/// The bytes a coordinator keeps.
extension Command {
  private static let data = Option(
    "--data", "DIR", excludes: ["--coordinator", "--token-file"],
    help: "the folder of a coordinator that does not run, instead of one that does")

  static let storeVerify = Command(
    name: "store verify", summary: "read everything a coordinator keeps, and repair what is damaged",
    options: Option.connection + [data, .json],
    discussion: """
      Damaged artifacts are set aside (artifacts/damaged in the coordinator's folder). A running coordinator asks its
      workers for them; models that none of them has are made again where they are needed, and data sets must be
      submitted again. The exit status is 1 if anything stays lost.
      """
  ) { arguments in
    let report: VerificationReport
    if let path = arguments.string("--data") {
      report = try await stoppedStore(path).verify { checked, total in
        if checked.isMultiple(of: 1_000) { printError("\(checked) of \(total) artifacts") }
      }
    } else {
      report = try await followVerification(OperatorConnection(arguments))
    }
    if arguments.has("--json") { printJSON(report) } else { printLine(report.text) }
    if let failure = report.failure { throw WorkError("the store could not be read to its end: \(failure)") }
    let lost = report.findings.count { $0.state == .lost || $0.state == .asked }
    if lost > 0 { throw WorkError("\(counted(lost, "artifact")) lost") }
  }

  static let storeCheck = Command(
    name: "store check", summary: "check the journal of a coordinator that does not run",
    options: [Option("--data", "DIR", help: "the coordinator's folder (default: greensweep-data)"), .json],
    discussion: """
      Reads every record, builds what the coordinator would know of sweeps, jobs and workers, and checks that it agrees
      with itself. Changes nothing. The exit status is 1 if something is wrong. Example:

        greensweep store check --data greensweep-data
      """
  ) { arguments in
    let report = try stoppedStore(arguments.string("--data") ?? "greensweep-data").check()
    if arguments.has("--json") { printJSON(report) } else { printLine(report.text) }
    if !report.violations.isEmpty { throw WorkError("the journal contradicts itself: report this as a fault") }
  }

  static let storeClean = Command(
    name: "store clean", summary: "remove what no sweep needs any more, and say what that frees",
    options: Option.connection + [
      data, Option("--dry-run", help: "only say what would be removed"), .json,
    ],
    discussion: """
      A coordinator does so by itself, every hour. Models, logs and whatever resuming needs stay; superseded checkpoints
      and artifacts that nothing references go, unless they are younger than an hour.
      """
  ) { arguments in
    let isDryRun = arguments.has("--dry-run")
    let report: CleaningReport
    if let path = arguments.string("--data") {
      report = try await stoppedStore(path).clean(isDryRun: isDryRun)
    } else {
      report = try await OperatorConnection(arguments).clean(isDryRun: isDryRun)
    }
    if arguments.has("--json") { return printJSON(report) }
    printLine(
      """
      \(counted(report.artifactsRemoved, "artifact")) \(isDryRun ? "to remove" : "removed"), \
      \(report.bytesFreed.shownAsBytes) freed; \(report.artifactsKept) kept, \(report.bytesKept.shownAsBytes)
      """)
  }

  private static func stoppedStore(_ path: String) throws -> StoppedStore {
    guard FileManager.default.fileExists(atPath: path + "/journal.sqlite") else {
      throw UsageError("\(path) is not a coordinator's folder")
    }
    return try StoppedStore(path)
  }

  /// Until everything was read and every worker asked.
  private static func followVerification(_ connection: OperatorConnection) async throws -> VerificationReport {
    var report = try await connection.verification(.verify)
    var shown = 0
    while report.isRunning || report.count(.asked) > 0 {
      if report.artifactsChecked >= shown + 1_000 {
        shown = report.artifactsChecked
        printError("\(shown) of \(counted(report.artifacts, "artifact"))")
      }
      try await Task.sleep(for: .milliseconds(200))
      report = try await connection.verification(.verification)
    }
    return report
  }
}

extension JournalReport {
  fileprivate var text: String {
    let head = "\(counted(records, "record")): \(counted(sweeps, "sweep")) of \(counted(jobs, "job"))"
    return violations.isEmpty ? head + ", and everything agrees" : ([head] + violations).joined(separator: "\n")
  }
}

extension VerificationReport {
  fileprivate var text: String {
    let damaged = findings.count(where: \.isDamaged)
    let head =
      "\(counted(artifactsChecked, "artifact")) read, \(bytesChecked.shownAsBytes): \(damaged) damaged, "
      + "\(findings.count - damaged) missing, \(count(.repaired)) repaired, \(count(.lost)) still missing"
    guard !findings.isEmpty else { return head }
    let rows = findings.map { finding in
      [
        String(finding.artifact.description.prefix(16)), finding.isDamaged ? "damaged" : "missing",
        finding.state.rawValue, finding.what,
      ]
    }
    return head + "\n\n" + textTable([["artifact", "was", "is", "what"]] + rows)
  }
}

extension Int {
  /// `1.2 GB`.
  fileprivate var shownAsBytes: String {
    let units = ["bytes", "kB", "MB", "GB", "TB"]
    var value = Double(self)
    var unit = 0
    while value >= 1000, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    return unit == 0 ? "\(self) bytes" : "\(value.shown(1)) \(units[unit])"
  }
}
