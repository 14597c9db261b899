import Foundation
import Glibc
import Transport
import Wording

/// Runs commands as child processes, any number at the same time.
public actor CommandRunner {
  private nonisolated let loop: EventLoop
  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }

  public init() throws { loop = try EventLoop(name: "commands") }

  /// - Parameters:
  ///   - input: a file that the command reads as its standard input; nil lets it read nothing.
  ///   - seconds: after so long it is killed.
  func run(_ command: [String], input: String?, seconds: Double) async throws -> CommandResult {
    try await withCheckedThrowingContinuation { continuation in
      var output: [String] = []
      var errors: [UInt8] = []
      do {
        _ = try ChildProcess(
          "/usr/bin/env", arguments: command, environment: Self.environment, folder: "/", input: input ?? "/dev/null",
          on: loop, limits: ChildLimits(seconds: seconds)
        ) { event in
          switch event {
          case .line(let line): if output.count < 1_000 { output.append(line) }
          case .errorOutput(let bytes): errors += bytes.prefix(1 << 16 - min(errors.count, 1 << 16))
          case .exited(let ending):
            let result = CommandResult(
              ending: ending, output: output, errors: String(decoding: errors, as: UTF8.self))
            continuation.resume(returning: result)
          }
        }
      } catch {
        continuation.resume(throwing: error)
      }
    }
  }

  /// This process's own, without the ways to tokens.
  private static let environment = ProcessInfo.processInfo.environment
    .filter { !$0.key.hasPrefix("GREENSWEEP_") }.map { "\($0.key)=\($0.value)" }.sorted()
}

/// How a command ended, and its words.
struct CommandResult: Sendable {
  let ending: ChildProcess.Ending
  let output: [String]
  let errors: String

  /// The last line that says something, of a command that failed.
  var complaint: String {
    let lines = errors.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
    let telling = lines.last { !$0.isEmpty && !$0.hasPrefix("Warning:") && !$0.hasPrefix("tar: Exiting") }
    return telling.map { $0.shortened(to: 300) } ?? "\(ending)"
  }
}

/// The shell of a host.
public struct RemoteShell: Sendable {
  let runner: CommandRunner
  /// The command that runs a script, its last argument.
  let command: [String]

  /// Over the system's `ssh`, with its agent, configuration and jump hosts. It may ask no questions.
  /// - Parameter configuration: the file to use instead of `~/.ssh/config`.
  public static func ssh(_ address: String, configuration: String?, _ runner: CommandRunner) -> RemoteShell {
    RemoteShell(
      runner: runner,
      command: SSHOptions.words(configuration) + ["-o", "ClearAllForwardings=yes", "-T", "--", address])
  }

  /// - Parameter input: a file of this machine that the script reads as its standard input.
  /// - Throws: `LaunchError` with the last words of a script that failed.
  func run(_ script: String, input: String? = nil, seconds: Double) async throws -> [String] {
    let words = command + ["exec /bin/sh -c " + script.shellQuoted]
    let result = try await runner.run(words, input: input, seconds: seconds)
    guard result.ending == .status(0) else {
      if case .overran = result.ending { throw LaunchError("no answer within \(Int(seconds)) s") }
      throw LaunchError(Self.advised(result.complaint))
    }
    return result.output
  }

  /// ssh's complaint with the advice it lacks.
  private static func advised(_ complaint: String) -> String {
    if complaint.contains("Host key verification failed") {
      return "\(complaint) Log in once by hand with ssh, to see its key and accept it"
    }
    if complaint.contains("Permission denied (") {
      return "\(complaint) Is the right key in ssh's agent or configuration?"
    }
    return complaint
  }
}

enum SSHOptions {
  static func words(_ configuration: String?) -> [String] {
    ["ssh"] + (configuration.map { ["-F", $0] } ?? [])
      + ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15"]
  }
}

/// Why a host cannot be brought to what was wanted.
public struct LaunchError: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
