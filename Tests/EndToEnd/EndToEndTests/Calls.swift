import Foundation

/// A folder that goes with the test.
final class TemporaryFolder: Sendable {
  private let root: URL

  init() throws {
    root = FileManager.default.temporaryDirectory.appending(path: "greensweep-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: root) }

  func url(_ name: String) -> URL { root.appending(path: name) }
  func path(_ name: String) -> String { url(name).path }
}

struct CallResult {
  var status: Int32
  var output: String
  var errors: String
}

/// A running call whose output goes to files, so that no full pipe can stall it.
final class Call {
  private let process = Process()
  private let output: URL
  private let errors: URL

  /// - Parameter shell: a line of `sh` that starts the program as `"$@"`; nil starts it directly.
  init(_ arguments: [String], shell: String? = nil) throws {
    let name = FileManager.default.temporaryDirectory.appending(path: "greensweep-call-\(UUID().uuidString)").path
    output = URL(filePath: name + ".out")
    errors = URL(filePath: name + ".err")
    for file in [output, errors] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let program = URL(filePath: tests).deletingLastPathComponent().appending(path: "greensweep")
    process.executableURL = shell == nil ? program : URL(filePath: "/bin/bash")
    process.arguments = (shell.map { ["-c", $0, "bash", program.path] } ?? []) + arguments
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
  }

  var isRunning: Bool { process.isRunning }
  func interrupt() { process.interrupt() }
  func kill() { Foundation.kill(process.processIdentifier, SIGKILL) }

  func finish() -> CallResult {
    process.waitUntilExit()
    defer { for file in [output, errors] { try? FileManager.default.removeItem(at: file) } }
    return CallResult(
      status: process.terminationStatus, output: (try? String(contentsOf: output, encoding: .utf8)) ?? "",
      errors: (try? String(contentsOf: errors, encoding: .utf8)) ?? "")
  }
}

func start(_ arguments: [String]) throws -> Call { try Call(arguments) }

func greensweep(_ arguments: [String], shell: String? = nil) throws -> CallResult {
  try Call(arguments, shell: shell).finish()
}
