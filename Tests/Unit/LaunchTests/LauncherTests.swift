import Artifacts
import Bytes
import Foundation
import Synchronization
import Testing
import Transport

@testable import Fleet
@testable import Launch

/// Hosts that are folders of this machine: the scripts run in its own shell, with a home of their own, and bring a
/// stand-in for the program.
@Suite("Bringing hosts up and down", .serialized)
struct LauncherTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "greensweep-\(UUID().uuidString)").path
  private let runner: CommandRunner
  private let file: HostsFile

  init() throws {
    runner = try CommandRunner()
    for host in ["ada", "bob"] { try Files.createFolder("\(folder)/\(host)") }
    try Token(role: .worker).write(to: folder + "/worker.token")
    file = try HostsFile(
      Array(
        "coordinator: 127.0.0.1:1\nworker_token: worker.token\nhosts: [ada, {address: bob, labels: {q: it's}}]".utf8),
      name: "hosts.yaml", folder: folder)
  }

  /// A package whose program is a copy of `sleep` behind a script that writes a worker's name first.
  private func package(_ version: Int) throws -> LaunchPackage {
    let tree = "\(folder)/tree-\(version)"
    try Files.createFolder(tree + "/top/bin")
    let program = """
      #!/bin/sh
      [ "$1" = --version ] && exit 0
      mkdir -p cache && echo w-0123 >cache/worker-id
      echo "$@" >said
      exec "${0%/*}/sleep" 600
      """
    try Data(program.utf8).write(to: URL(filePath: tree + "/top/bin/greensweep"))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: tree + "/top/bin/greensweep")
    try FileManager.default.copyItem(atPath: "/bin/sleep", toPath: tree + "/top/bin/sleep")
    try Data("\(version)".utf8).write(to: URL(filePath: tree + "/top/version"))
    let path = "\(folder)/greensweep-\(version)-linux-x.tar.gz"
    let tar = Process()
    tar.executableURL = URL(filePath: "/bin/tar")
    tar.arguments = ["-C", tree, "-czf", path, "top"]
    try tar.run()
    tar.waitUntilExit()
    var package = try LaunchPackage(file: path)
    #if arch(x86_64)
      package.architecture = "x86_64"
    #else
      package.architecture = "aarch64"
    #endif
    return package
  }

  /// - Parameter steps: takes each step of each host.
  private func launcher(_ steps: @escaping @Sendable (String) -> Void = { _ in }) -> Launcher {
    let status = WorkerStatus(
      worker: WorkerID("w-0123"), name: "w", box: BoxID("b"), slots: 1, isConnected: true, isDraining: false, jobs: [])
    return Launcher(
      coordinator: file.coordinator, tokenFile: file.tokenFile, tunnels: nil,
      asOperator: Launcher.Operator(workers: { [status] }, drain: { _, _ in }),
      shell: { [runner, folder] host in
        // The coordinator is not there, and no host of this test tries.
        RemoteShell(
          runner: runner,
          command: ["HOME=\(folder)/\(host.name)", "XDG_RUNTIME_DIR=/nowhere", "PATH=\(folder)/bin", "/bin/sh", "-c"])
      }, onProgress: { host, step in steps("\(host.name) \(step)") })
  }

  /// The programs of a host, without bash, so that the way to the coordinator is not tried.
  private func layPrograms() throws {
    try Files.createFolder(folder + "/bin")
    let names = [
      "sh", "cat", "cut", "cp", "date", "df", "dirname", "env", "getconf", "gzip", "id", "mkdir", "mv", "readlink",
      "rm",
      "setsid", "sha256sum", "sleep", "tail", "tar", "uname",
    ]
    for name in names {
      let place = try #require(["/usr/bin/", "/bin/"].map { $0 + name }.first(where: Files.exists), "no \(name)")
      try FileManager.default.createSymbolicLink(atPath: "\(folder)/bin/\(name)", withDestinationPath: place)
    }
  }

  private func pid(_ host: String) throws -> pid_t {
    let text = try String(contentsOfFile: "\(folder)/\(host)/.greensweep/\(host)/pid", encoding: .utf8)
    return try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)))
  }

  /// A process that has ended and that nobody has waited for has no program any more.
  private func isRunning(_ process: pid_t) -> Bool {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/exe")) != nil
  }

  @Test func hostsComeUpStayAsTheyAreAndGoDown() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try layPrograms()
    let steps = Mutex<[String]>([])
    let launcher = launcher { step in steps.withLock { $0.append(step) } }
    let (first, second) = (try package(1), try package(2))
    func up(_ package: LaunchPackage) async throws -> [Launcher.UpOutcome] {
      try await Launcher.onEach(file.hosts) { host in try await launcher.up(host, package) { _ in } }.map {
        try $0.get()
      }
    }
    #expect(try await up(first) == [.started, .started])
    let pids = (try pid("ada"), try pid("bob"))
    #expect(isRunning(pids.0) && isRunning(pids.1))
    let home = "\(folder)/bob/.greensweep/bob"
    let said = try String(contentsOfFile: home + "/said", encoding: .utf8)
    #expect(
      said == "worker --join 127.0.0.1:1 --token-file token --name bob --cache cache --label q=it's\n")
    let mode = try FileManager.default.attributesOfItem(atPath: home + "/token")[.posixPermissions] as? Int
    #expect(mode == 0o600)
    #expect(try Files.read(home + "/token") == Files.read(file.tokenFile))

    // Again: nothing is done, and the same processes run.
    steps.withLock { $0 = [] }
    #expect(try await up(first) == [.unchanged, .unchanged])
    #expect(try pid("ada") == pids.0)
    #expect(steps.withLock { $0.allSatisfy { $0.hasSuffix("looking") || $0.contains("waiting") } })

    // Another version takes the place of the first.
    #expect(try await up(second) == [.started, .started])
    #expect(try !isRunning(pids.0) && pid("ada") != pids.0)
    let apps = try Files.names(in: home).filter { $0.hasPrefix("app-") }
    #expect(apps == ["app-\(second.name)"])

    let survey = try await launcher.status(file.hosts[0], []).0
    #expect(survey.running == second.name && survey.worker?.name == "w-0123" && survey.coordinator == .unknown)
    let last = try pid("ada")
    #expect(try await launcher.down(file.hosts[0], isHasty: true))
    #expect(try await launcher.down(file.hosts[0], isHasty: true) == false)
    #expect(!isRunning(last))
    #expect(try await launcher.down(file.hosts[1], isHasty: true))
  }

  @Test func oneHostsFailureStopsNoOtherAndIsToldInALine() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try layPrograms()
    let launcher = launcher()
    let package = try package(1)
    var damaged = package
    damaged.digest = try Digest(ofFile: file.tokenFile)
    let broken = damaged
    let results = await Launcher.onEach(file.hosts) { host in
      try await launcher.up(host, host.name == "ada" ? broken : package) { _ in }
    }
    #expect(throws: LaunchError.self) { try results[0].get() }
    if case .failure(let error) = results[0] { #expect("\(error)" == "the package has not arrived whole") }
    #expect(try results[1].get() == .started)
    #expect(try Files.names(in: folder + "/ada/.greensweep/ada").isEmpty)
    _ = try await launcher.down(file.hosts[1], isHasty: true)
  }
}
