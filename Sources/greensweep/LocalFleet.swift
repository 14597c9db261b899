import Artifacts
import Dispatch
import Foundation
import Synchronization
import Transport
import Wording

/// A coordinator and workers as processes of this program on this machine: the same daemons, over the same TLS, as on a
/// cluster. All of them end when this process does. A daemon that dies is started again, after a pause that grows while
/// it keeps dying early; the fleet fails when one dies again and again and the sweep makes no progress meanwhile.
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

  /// The daemons' hidden option: they leave when standard input closes, as it does when `run` is gone.
  static let attachedOption = Option("--attached", help: "leave when standard input closes")
  /// Foundation starts a process only where so many numbers of open files are allowed.
  private static let descriptorCount = 256
  /// A daemon that dies earlier than this has died early.
  private static let shortLife = Duration.seconds(30)
  /// Early deaths in a row, without progress, after which the fleet fails.
  private static let shortLifeLimit = 7
  /// How long what an earlier run left behind may take to end. A worker delivers its checkpoints for 20 s.
  private static let patience = Duration.seconds(40)

  private let settings: Settings
  private let program: URL
  private let state: Mutex<State>
  /// Held as long as this process uses the folder.
  private let lock: Artifacts.FileDescriptor
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
    var isStopping = false
    var lastProgress = ContinuousClock.now
    /// Why the fleet cannot go on.
    var failure: String?
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
    lock = try Artifacts.FileDescriptor(settings.folder.appending(path: "run.lock").path, .update)
    guard try lock.lockExclusively() else {
      throw WorkError(
        "another 'greensweep run' is at work in \(settings.folder.relativePath): wait for its end, or give this one a "
          + "--data folder of its own")
    }
    try Self.waitForLeftovers(in: settings)

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
    supervise(name, try launch(name, arguments), arguments: arguments)
  }

  private func launch(_ name: String, _ arguments: [String]) throws -> Daemon {
    let daemon = Daemon(try Self.process(program, arguments, log: Self.log(name, in: settings.folder)))
    try daemon.process.run()
    return daemon
  }

  /// Starts the daemon again whenever it ends, on a thread of its own, until the fleet stops or fails.
  private func supervise(_ name: String, _ first: Daemon, arguments: [String]) {
    state.withLock { $0.daemons[name] = first }
    Thread.detachNewThread { [self] in
      var daemon: Daemon? = first
      var shortLives = 0
      var shortLivesBegan = ContinuousClock.now
      while true {
        let start = ContinuousClock.now
        daemon?.waitUntilEnded()
        let isShort = daemon == nil || ContinuousClock.now - start < Self.shortLife
        if !isShort || shortLives == 0 { shortLivesBegan = start }
        shortLives = isShort ? shortLives + 1 : 0
        let (isStopping, hasProgressed) = state.withLock { ($0.isStopping, $0.lastProgress > shortLivesBegan) }
        if isStopping { return }
        if shortLives >= Self.shortLifeLimit, !hasProgressed { return fail(name, shortLives) }
        let pause = min(0.5 * pow(2, Double(max(shortLives - 1, 0))), 30)
        printError("\(name) has ended unexpectedly; starting it again in \(pause) s")
        Thread.sleep(forTimeInterval: pause)
        do {
          let next = try launch(name, arguments)
          daemon = next
          let isLate = state.withLock { state in
            state.daemons[name] = next
            return state.isStopping
          }
          // `stop` has not seen it.
          if isLate { return next.process.terminate() }
        } catch {
          printError("\(name): \(error.words)")
          daemon = nil
        }
      }
    }
  }

  private func fail(_ name: String, _ count: Int) {
    let log = Self.log(name, in: settings.folder)
    let failure =
      "\(name) has ended \(count) times in a row soon after its start, and the sweep made no progress meanwhile; the "
      + "same command goes on from here. Its log \(log.relativePath) ends with:\n\(Self.lastLines(of: log))"
    state.withLock { $0.failure = $0.failure ?? failure }
  }

  /// Called whenever the sweep has got further.
  func noteProgress() { state.withLock { $0.lastProgress = .now } }

  /// - Throws: `WorkError` if the fleet has failed.
  func check() throws {
    if let failure = state.withLock({ $0.failure }) { throw WorkError(failure) }
  }

  /// The daemons of a run that was killed end by themselves, after workers have delivered what they have.
  private static func waitForLeftovers(in settings: Settings) throws {
    let end = ContinuousClock.now + patience
    var hasTold = false
    for name in ["coordinator"] + (1...settings.workers).map({ "worker-\($0)" }) {
      let path = settings.folder.appending(path: "\(name)/lock").path
      while Files.exists(path), try !Artifacts.FileDescriptor(path, .update).lockExclusively() {
        let processes = Files.lockHolders(of: path).map { "process \($0)" }.joined(separator: ", ")
        guard ContinuousClock.now < end else {
          throw WorkError("the \(name) of an earlier run is still there (\(processes)): end it, then try again")
        }
        if !hasTold { printError("waiting for the processes of an earlier run to end (\(processes))") }
        hasTold = true
        Thread.sleep(forTimeInterval: 0.2)
      }
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
