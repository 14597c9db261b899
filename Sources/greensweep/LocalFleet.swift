import Dispatch
import Foundation
import Synchronization
import Transport
import Wording

/// A coordinator and workers as processes of this program on this machine: the same daemons, over the same TLS, as on a
/// cluster. A daemon that dies is started again; all of them end when this process does.
final class LocalFleet: Sendable {
  struct Settings: Sendable {
    /// Holds `coordinator/`, `worker-1/` … and a log of each.
    var folder: URL
    var workers: Int
    var threads: Int
    var backend: String?
    /// Where the coordinator shows its dashboard.
    var httpAddress: String?
  }

  /// What the daemons' hidden option says: leave when standard input closes, as it does when `run` is gone.
  static let attachedOption = Option("--attached", help: "leave when standard input closes")
  private static let restartLimit = 20
  /// Foundation starts a process only where so many numbers of open files are allowed.
  private static let descriptorCount = 256

  private let settings: Settings
  private let program: URL
  private let state: Mutex<State>
  let address: String
  var tokenFile: String { settings.folder.appending(path: "coordinator/operator.token").path }

  /// A process and its end. (`Process.waitUntilExit` spins a run loop; a semaphore sleeps.)
  private struct Daemon {
    let process: Process
    private let ended = DispatchSemaphore(value: 0)

    init(_ process: Process) {
      self.process = process
      process.terminationHandler = { [ended] _ in ended.signal() }
    }

    /// Any number of threads may wait.
    func waitUntilEnded() {
      ended.wait()
      ended.signal()
    }
  }

  private struct State {
    var daemons: [String: Daemon] = [:]
    var restarts = 0
    var isStopping = false
  }

  /// Starts all daemons.
  init(_ settings: Settings) throws {
    let limit = raiseDescriptorLimit()
    guard limit >= Self.descriptorCount else {
      throw WorkError(
        "only \(limit) files may be open at once, and a sweep needs \(Self.descriptorCount): raise the limit "
          + "(ulimit -n 1024) and try again")
    }
    self.settings = settings
    program = URL(filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
    state = Mutex(State())
    let folder = settings.folder.appending(path: "coordinator")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)

    let output = Pipe()
    let coordinator = Daemon(
      try Self.process(
        program, Self.coordinatorArguments(folder, listen: "127.0.0.1:0", http: settings.httpAddress),
        log: Self.log("coordinator", in: settings.folder)
      ))
    coordinator.process.standardOutput = output
    try coordinator.process.run()
    guard let address = Self.address(in: output) else {
      coordinator.waitUntilEnded()
      throw WorkError(
        "the coordinator did not start: \(Self.lastLines(of: Self.log("coordinator", in: settings.folder)))")
    }
    self.address = address
    supervise(
      "coordinator", coordinator,
      arguments: Self.coordinatorArguments(folder, listen: address, http: settings.httpAddress))
    for index in 1...settings.workers { try start("worker-\(index)", arguments: workerArguments(index)) }
  }

  /// Workers first, so that they can deliver what they have.
  func stop() {
    let daemons = state.withLock { state in
      state.isStopping = true
      return state.daemons
    }
    let workers = daemons.filter { $0.key != "coordinator" }.map(\.value)
    for daemon in workers { daemon.process.terminate() }
    for daemon in workers { daemon.waitUntilEnded() }
    daemons["coordinator"]?.process.terminate()
    daemons["coordinator"]?.waitUntilEnded()
  }

  private static func coordinatorArguments(_ folder: URL, listen: String, http: String?) -> [String] {
    ["coordinator", "--data", folder.path, "--listen", listen, attachedOption.name]
      + (http.map { ["--http", $0] } ?? [])
  }

  private func workerArguments(_ index: Int) -> [String] {
    let name = "worker-\(index)"
    return [
      "worker", "--join", address, "--name", name, "--slots", "1", "--threads", "\(settings.threads)",
      "--token-file", settings.folder.appending(path: "coordinator/worker.token").path,
      "--cache", settings.folder.appending(path: name).path, Self.attachedOption.name,
    ] + (settings.backend.map { ["--backend", $0] } ?? [])
  }

  private func start(_ name: String, arguments: [String]) throws {
    let daemon = Daemon(try Self.process(program, arguments, log: Self.log(name, in: settings.folder)))
    try daemon.process.run()
    supervise(name, daemon, arguments: arguments)
  }

  private func supervise(_ name: String, _ daemon: Daemon, arguments: [String]) {
    state.withLock { $0.daemons[name] = daemon }
    Thread.detachNewThread { [self] in
      daemon.waitUntilEnded()
      let startsAgain = state.withLock { state in
        guard !state.isStopping, state.restarts < Self.restartLimit else { return false }
        state.restarts += 1
        return true
      }
      guard startsAgain else { return }
      printError("\(name) has ended unexpectedly; starting it again")
      Thread.sleep(forTimeInterval: 0.5)
      do { try start(name, arguments: arguments) } catch { printError("\(name): \(error.words)") }
    }
  }

  private static func process(_ program: URL, _ arguments: [String], log: URL) throws -> Process {
    if !FileManager.default.fileExists(atPath: log.path) {
      _ = FileManager.default.createFile(atPath: log.path, contents: nil, attributes: [.posixPermissions: 0o600])
    }
    let handle = try FileHandle(forWritingTo: log)
    try handle.seekToEnd()
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    process.standardInput = Pipe()  // Closes with this process.
    process.standardOutput = handle
    process.standardError = handle
    return process
  }

  private static func log(_ name: String, in folder: URL) -> URL { folder.appending(path: "\(name).log") }

  private static func lastLines(of log: URL) -> String {
    let text = (try? String(contentsOf: log, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").suffix(5).joined(separator: "\n")
  }

  /// The address in the coordinator's first line; nil if it ended without one.
  private static func address(in output: Pipe) -> String? {
    var line = Data()
    while let byte = try? output.fileHandleForReading.read(upToCount: 1), let first = byte.first, first != 0x0A {
      line.append(first)
    }
    return String(decoding: line, as: UTF8.self).split(separator: " ").last.map(String.init)
  }
}

/// Tells this process to leave, as SIGTERM would, when its standard input closes.
func leaveWhenStandardInputCloses() {
  Thread.detachNewThread {
    while let data = try? FileHandle.standardInput.read(upToCount: 4096), !data.isEmpty {}
    kill(getpid(), SIGTERM)
  }
}
