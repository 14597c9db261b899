import Artifacts
import Bytes
import Fleet
import Foundation
import Transport
import Wording

/// Brings hosts up, down and to another version, all at once, each as its survey demands.
public struct Launcher: Sendable {
  /// The coordinator's side of it: an operator's requests.
  public struct Operator: Sendable {
    public var workers: @Sendable () async throws -> [WorkerStatus]
    public var drain: @Sendable (WorkerID, Bool) async throws -> Void

    public init(
      workers: @escaping @Sendable () async throws -> [WorkerStatus],
      drain: @escaping @Sendable (WorkerID, Bool) async throws -> Void
    ) {
      self.workers = workers
      self.drain = drain
    }
  }

  public var coordinator: Endpoint
  public var tokenFile: String
  /// The shell of a host.
  public var shell: @Sendable (FleetHost) -> RemoteShell
  /// Makes the coordinator reachable from a host where it is not; nil tells so instead.
  public var tunnels: Tunnels?
  public var asOperator: Operator
  /// Takes each host's present step, in a few words.
  public var onProgress: @Sendable (FleetHost, String) -> Void

  /// How many hosts are at work at once. A jump host's sshd turns away more than ten that have not logged in yet.
  public static let width = 8
  private static let surveySeconds = 60.0
  /// How long the coordinator may take to see a worker that has started.
  private static let patience = Duration.seconds(20)

  public init(
    coordinator: Endpoint, tokenFile: String, tunnels: Tunnels?, asOperator: Operator,
    shell: @escaping @Sendable (FleetHost) -> RemoteShell,
    onProgress: @escaping @Sendable (FleetHost, String) -> Void
  ) {
    self.coordinator = coordinator
    self.tokenFile = tokenFile
    self.tunnels = tunnels
    self.asOperator = asOperator
    self.shell = shell
    self.onProgress = onProgress
  }

  /// Does the same on all hosts, and returns each one's outcome in their order. No failure stops another host.
  /// - Parameter atOnce: on how many at a time.
  public static func onEach<Outcome: Sendable>(
    _ hosts: [FleetHost], atOnce: Int = width, _ work: @escaping @Sendable (FleetHost) async throws -> Outcome
  ) async -> [Result<Outcome, any Error>] {
    await withTaskGroup(of: (Int, Result<Outcome, any Error>).self) { group in
      var results = [Result<Outcome, any Error>?](repeating: nil, count: hosts.count)
      var rest = hosts.indices[...]
      func startNext() {
        guard let index = rest.popFirst() else { return }
        group.addTask {
          do { return (index, .success(try await work(hosts[index]))) } catch { return (index, .failure(error)) }
        }
      }
      for _ in 0..<atOnce { startNext() }
      for await (index, result) in group {
        results[index] = result
        startNext()
      }
      return results.map { $0! }  // Every host has had its turn.
    }
  }

  // MARK: - Up

  public enum UpOutcome: Hashable, Sendable {
    case unchanged, started
  }

  /// Brings one host to its wanted state: the package there, the token handed over, the worker seen by the coordinator.
  /// - Throws: `LaunchError` with the reason, in one line.
  public func up(_ host: FleetHost, _ package: LaunchPackage, remark: @Sendable (String) -> Void)
    async throws -> UpOutcome
  {
    onProgress(host, "looking")
    let shell = shell(host)
    var wanted = WantedWorker(
      host: host, coordinator: coordinator, package: package, token: try Digest(ofFile: tokenFile))
    var survey = try await survey(host, at: coordinator)
    if case .no = survey.coordinator, let tunnels {
      onProgress(host, "opening a tunnel")
      try await tunnels.open(for: host, to: coordinator)
      wanted.coordinator = tunnels.endpoint(to: coordinator)
      survey = try await self.survey(host, at: wanted.coordinator)
    }
    if let words = LaunchPlan.clockRemark(survey, now: Int(Date.now.timeIntervalSince1970)) { remark(words) }
    let steps =
      switch LaunchPlan(survey, wanted) {
      case .refused(let reason): throw LaunchError(reason)
      case .steps(let steps): steps
      }
    var worker = survey.worker
    for step in steps {
      switch step {
      case .copyPackage:
        onProgress(host, "copying \(package.byteCount >> 20) MB")
        _ = try await shell.run(HostScript.receive(package, for: host.name), input: package.path, seconds: 3600)
      case .stop:
        onProgress(host, "stopping its worker, which hands its jobs back")
        _ = try await shell.run(HostScript.stop(host.name), seconds: 90)
      case .handToken:
        _ = try await shell.run(HostScript.takeToken(for: host.name), input: tokenFile, seconds: 60)
      case .start:
        onProgress(host, "starting")
        worker = HostSurvey(lines: try await shell.run(HostScript.start(wanted), seconds: 60)).worker
      }
    }
    guard let worker else { throw LaunchError("its worker has no name: look at ~/.greensweep/\(host.name)/log there") }
    onProgress(host, "waiting for the coordinator to see it")
    try await waitUntilSeen(worker, on: host)
    return steps.isEmpty ? .unchanged : .started
  }

  private func survey(_ host: FleetHost, at coordinator: Endpoint?) async throws -> HostSurvey {
    let script = HostScript.survey(host.name, cache: host.cache, coordinator: coordinator)
    return HostSurvey(lines: try await shell(host).run(script, seconds: Self.surveySeconds))
  }

  private func waitUntilSeen(_ worker: WorkerID, on host: FleetHost) async throws {
    let end = ContinuousClock.now + Self.patience
    while true {
      if let status = try await asOperator.workers().first(where: { $0.worker == worker && $0.isConnected }) {
        // Marked by an earlier `down` that was interrupted, it would take no jobs.
        if status.isDraining { try await asOperator.drain(worker, false) }
        return
      }
      guard ContinuousClock.now < end else { break }
      try await Task.sleep(for: .milliseconds(250))
    }
    let words = try await shell(host).run(HostScript.lastWords(host.name), seconds: 60).last
    throw LaunchError(
      "it runs, but the coordinator has not seen it for \(Self.patience.components.seconds) s"
        + (words.map { "; its log ends: \($0)" } ?? ""))
  }

  // MARK: - Down

  /// Ends the worker of a host.
  /// - Parameter isHasty: what runs is handed back with its newest checkpoint; otherwise it is finished first.
  /// - Returns: whether there was one.
  public func down(_ host: FleetHost, isHasty: Bool) async throws -> Bool {
    onProgress(host, "looking")
    let survey = try await survey(host, at: nil)
    let isRunning = survey.running != nil
    if isRunning, !isHasty, let worker = survey.worker { try await drain(worker, host) }
    onProgress(host, "stopping")
    _ = try await shell(host).run(HostScript.stop(host.name), seconds: 90)
    if isRunning, !isHasty, let worker = survey.worker { try await asOperator.drain(worker, false) }
    await tunnels?.close(for: host)
    return isRunning
  }

  /// Waits until the worker has finished what it runs and has left.
  private func drain(_ worker: WorkerID, _ host: FleetHost) async throws {
    guard try await asOperator.workers().contains(where: { $0.worker == worker && $0.isConnected }) else { return }
    try await asOperator.drain(worker, true)
    while let status = try await asOperator.workers().first(where: { $0.worker == worker && $0.isConnected }) {
      onProgress(host, "waiting for the end of \(counted(status.jobs.count, "job")) (--now hands them back instead)")
      try await Task.sleep(for: .milliseconds(500))
    }
  }

  // MARK: - Status

  /// - Returns: the survey and, if it is connected, the coordinator's view of the worker.
  public func status(_ host: FleetHost, _ workers: [WorkerStatus]) async throws -> (HostSurvey, WorkerStatus?) {
    let survey = try await survey(host, at: nil)
    return (survey, workers.first { $0.worker == survey.worker && $0.isConnected })
  }
}

/// Ways from hosts back to the coordinator: for each host an `ssh -R` in the background on this machine, which its
/// control socket finds again.
public struct Tunnels: Sendable {
  let folder: String
  let configuration: String?
  let runner: CommandRunner

  /// - Parameter folder: of this user, for the sockets; made when missing.
  public init(folder: String, configuration: String?, _ runner: CommandRunner) {
    self.folder = folder
    self.configuration = configuration
    self.runner = runner
  }

  /// The end of the tunnel on the host.
  func endpoint(to coordinator: Endpoint) -> Endpoint { Endpoint(host: "127.0.0.1", port: coordinator.port) }

  func open(for host: FleetHost, to coordinator: Endpoint) async throws {
    if try await control("check", host) { return }
    let way = "\(endpoint(to: coordinator)):\(coordinator)"
    let ssh =
      SSHOptions.words(configuration) + [
        "-f", "-N", "-T", "-M", "-S", socket(host), "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveCountMax=4",
        "-R", way, "--", host.address,
      ]
    // It stays behind with the standard streams it has, so these must not be ours.
    let log = (socket(host) + ".log").shellQuoted
    let script = """
      umask 077; mkdir -p \(folder.shellQuoted) && \(ssh.map(\.shellQuoted).joined(separator: " ")) \
      </dev/null >/dev/null 2>\(log) || { cat \(log) >&2; exit 1; }
      """
    let result = try await runner.run(["sh", "-c", script], input: nil, seconds: 60)
    guard result.ending == .status(0) else { throw LaunchError("no tunnel: \(result.complaint)") }
  }

  func close(for host: FleetHost) async { _ = try? await control("exit", host) }

  /// - Returns: whether a tunnel is there to obey.
  private func control(_ order: String, _ host: FleetHost) async throws -> Bool {
    let words = SSHOptions.words(configuration) + ["-S", socket(host), "-O", order, "--", host.address]
    return try await runner.run(words, input: nil, seconds: 20).ending == .status(0)
  }

  private func socket(_ host: FleetHost) -> String { "\(folder)/\(host.name)" }
}
