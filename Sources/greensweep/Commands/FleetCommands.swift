import Artifacts
import Fleet
import Foundation
import Launch
import Synchronization
import Transport
import Wording

extension Command {
  private static let hostsFile = "HOSTS.yaml"
  private static let ssh = Option(
    "--ssh-config", "FILE", help: "the configuration of ssh (default: ~/.ssh/config and the system's)")
  private static let package = Option(
    "--package", "TARBALL", help: "from cluster/package.sh (default: the hosts file's ‘package’)")
  private static let tunnel = Option(
    "--tunnel", help: "lead hosts that cannot reach the coordinator to it through ssh, over this machine")
  private static let connection = Option.connection.map { option in
    option.name == "--coordinator"
      ? Option(option.name, option.value, help: "as seen from here (default: the hosts file's)") : option
  }

  static let fleetUp = Command(
    name: "fleet up", summary: "bring the program to hosts by ssh and start a worker on each", positionals: [hostsFile],
    options: connection + [package, tunnel, ssh],
    discussion: """
      All hosts at once: looks at each, copies the package if it has another one, hands the worker token over and starts
      the worker, as a unit of the user's systemd where that outlives a login, otherwise detached. Run again, it changes
      only what differs. It needs ssh without questions (a key in the agent); everything lies in ~/.greensweep/NAME.

        coordinator: 10.0.0.1:7433          # as the hosts reach it
        worker_token: worker.token          # of the coordinator's data folder
        package: greensweep-linux-x86_64.tar.gz
        hosts:
          - ada                             # whatever ssh takes
          - {address: lab@10.0.0.7, name: bob, slots: 2, threads: 8, memory_limit_mb: 8000,
             labels: {site: lab}, cache: /scratch/greensweep}
      """
  ) { arguments in
    try await bringUp(arguments, atOnce: Launcher.width)
  }

  static let fleetUpgrade = Command(
    name: "fleet upgrade", summary: "bring another version to hosts, one after the other", positionals: [hostsFile],
    options: connection + [package, tunnel, ssh],
    discussion:
      "As ‘fleet up’. Each worker hands its jobs back with their newest checkpoints; the next host waits for it."
  ) { arguments in
    try await bringUp(arguments, atOnce: 1)
  }

  static let fleetDown = Command(
    name: "fleet down", summary: "end the workers on hosts, after they have finished what they run",
    positionals: [hostsFile],
    options: connection + [Option("--now", help: "hand jobs back with their newest checkpoints instead"), ssh]
  ) { arguments in
    let fleet = try FleetCall(arguments)
    let launcher = fleet.launcher(hasTunnels: true)
    let isHasty = arguments.has("--now")
    try await fleet.onEach(atOnce: Launcher.width) { host in
      try await launcher.down(host, isHasty: isHasty) ? "down" : "was not running"
    }
  }

  static let fleetStatus = Command(
    name: "fleet status", summary: "how the workers on hosts stand", positionals: [hostsFile],
    options: connection + [ssh, .json]
  ) { arguments in
    let fleet = try FleetCall(arguments)
    let launcher = fleet.launcher(hasTunnels: false)
    let workers = try await fleet.connection.workers()
    let results = await Launcher.onEach(fleet.file.hosts) { host in try await launcher.status(host, workers) }
    let reports = zip(fleet.file.hosts, results).map { HostReport($0, $1) }
    if arguments.has("--json") { return printJSON(reports) }
    let rows = reports.map { report in
      [
        report.host, report.state, report.worker ?? "-", report.jobs.map { "\($0)" } ?? "-", report.package ?? "-",
        report.freeMB.map { "\($0) MB" } ?? "-", report.reason ?? "",
      ]
    }
    printLine(textTable([["host", "state", "worker", "jobs", "package", "free", ""]] + rows))
  }

  private static func bringUp(_ arguments: Arguments, atOnce: Int) async throws {
    let fleet = try FleetCall(arguments)
    let launcher = fleet.launcher(hasTunnels: arguments.has("--tunnel"))
    let token = try Token(file: fleet.file.tokenFile)
    guard token.role == .worker else { throw UsageError("\(fleet.file.tokenFile): \(token.role.mismatch)") }
    guard let path = arguments.string("--package") ?? fleet.file.package else {
      throw UsageError("no package: give --package TARBALL, or name it in \(arguments.positionals[0]) as ‘package’")
    }
    let package = try LaunchPackage(file: path)
    let lines = fleet.lines
    try await fleet.onEach(atOnce: atOnce) { host in
      let outcome = try await launcher.up(host, package) { lines.show(host.name, $0) }
      return outcome == .unchanged ? "up, nothing to change" : "up"
    }
  }
}

/// The hosts file, the coordinator and the terminal of a call of one of the fleet's commands.
private struct FleetCall {
  let file: HostsFile
  let connection: OperatorConnection
  let lines: HostLines
  private let runner: CommandRunner
  private let configuration: String?

  init(_ arguments: Arguments) throws {
    file = try HostsFile(path: arguments.positionals[0])
    connection = try OperatorConnection(arguments, elsewhere: file.coordinator.description)
    lines = HostLines(file.hosts.map(\.name))
    runner = try CommandRunner()
    configuration = arguments.string("--ssh-config").map { URL(filePath: $0).path }
  }

  func launcher(hasTunnels: Bool) -> Launcher {
    let (connection, lines, runner, configuration) = (connection, lines, runner, configuration)
    let folder = FileManager.default.homeDirectoryForCurrentUser.appending(path: ".cache/greensweep/tunnels").path
    return Launcher(
      coordinator: file.coordinator, tokenFile: file.tokenFile,
      tunnels: hasTunnels ? Tunnels(folder: folder, configuration: configuration, runner) : nil,
      asOperator: Launcher.Operator(
        workers: { try await connection.workers() },
        drain: { _ = try await connection.order(.drain(worker: $0.name, isDraining: $1)) }),
      shell: { .ssh($0.address, configuration: configuration, runner) },
      onProgress: { lines.show($0.name, $1) })
  }

  /// Tells each host's outcome in a line.
  /// - Throws: `WorkError` if a host has failed; the others have had their turn.
  func onEach(atOnce: Int, _ work: @escaping @Sendable (FleetHost) async throws -> String) async throws {
    let lines = lines
    let results = await Launcher.onEach(file.hosts, atOnce: atOnce) { host in
      let start = ContinuousClock.now
      do {
        let words = try await work(host)
        lines.show(host.name, "\(words) (\(((ContinuousClock.now - start) / .seconds(1)).shown(1)) s)")
      } catch {
        lines.show(host.name, "failed: \(error.words)")
        throw error
      }
    }
    let failures = results.count { if case .failure = $0 { true } else { false } }
    if failures > 0 {
      throw WorkError("\(failures) of \(counted(results.count, "host")) failed; the same command tries them again")
    }
  }
}

/// Each host's present step: on a terminal a line of its own that is written over, elsewhere a line for every step.
private final class HostLines: Sendable {
  private let names: [String]
  private let width: Int
  private let isTerminal = StandardStream.errors.isTerminal
  private let steps: Mutex<[String: String]>

  init(_ names: [String]) {
    self.names = names
    width = names.map(\.count).max() ?? 0
    steps = Mutex([:])
  }

  func show(_ name: String, _ text: String) {
    steps.withLock { steps in
      guard steps[name] != text else { return }
      // The lines of all hosts are written anew, from the first one on.
      let back = isTerminal && !steps.isEmpty ? "\u{1b}[\(names.count)A" : ""
      steps[name] = text
      guard isTerminal else { return printError("\(name.padding(to: width))  \(text.oneLine)") }
      let rows = names.map { "\r\u{1b}[K\($0.padding(to: width))  \((steps[$0] ?? "waiting").shortened(to: 100))\n" }
      StandardStream.errors.write(back + rows.joined())
    }
  }
}

private struct HostReport: Encodable {
  let host: String
  let state: String
  var worker: String?
  var jobs: Int?
  var package: String?
  var freeMB: Int?
  var reason: String?

  init(_ host: FleetHost, _ result: Result<(HostSurvey, WorkerStatus?), any Error>) {
    self.host = host.name
    switch result {
    case .failure(let error):
      state = "unknown"
      reason = error.words.oneLine
    case .success(let (survey, status)):
      state = survey.running == nil ? "down" : status == nil ? "not connected" : "up"
      worker = survey.worker?.name
      jobs = status?.jobs.count
      package = survey.running ?? survey.packages.sorted().first
      freeMB = survey.freeByteCount.map { $0 >> 20 }
    }
  }
}
