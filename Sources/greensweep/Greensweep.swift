import Dataset
import Foundation
import JSON
import Pipeline
import Transport
import Wording

@main
enum Greensweep {
  static let version = "0.1.0"

  static let commands: [Command] = [
    .initSweep, .plan, .run, .coordinator, .worker, .tokenCreate, .tokenList, .tokenRevoke, .submit, .status, .pareto,
    .workers, .drain, .priority, .pause, .resume, .stop, .cancel, .retry, .logs, .pull, .report, .storeVerify,
    .storeCheck,
    .storeClean, .fleetUp, .fleetStatus, .fleetUpgrade, .fleetDown,
    .train, .val, .detect, .prune, .importModel, .export, .modelInfo, .datasetInfo, .datasetSample, .benchTrain,
    .benchInfer, .powerCalibrate, .powerShow, .powerLoad,
    .version, .completion, .manual, .stage,
  ]
  static let shownCommands = commands.filter { !$0.isInternal }

  static func main() async {
    StandardStream.prepare()
    var status = await run(callWords)
    StandardStream.output.finish()
    if let reason = StandardStream.output.failure {
      printError("greensweep: standard output could not be written: \(reason)")
      if status == 0 { status = 1 }
    }
    // Not `exit`, which takes libraries down under threads that still use them.
    fflush(nil)
    _exit(status)
  }

  /// Exit status: 0 done, 1 the work failed, 2 the call was wrong.
  static func run(_ words: [String]) async -> Int32 {
    do {
      try await dispatch(words)
      return 0
    } catch {
      printError("greensweep: \(error.words)")
      return error.isWrongCall ? 2 : 1
    }
  }

  private static func dispatch(_ words: [String]) async throws {
    guard let first = words.first else { throw UsageError("no command\n\n" + overview) }
    switch first {
    case "--help", "-h": printLine(overview)
    case "help": printLine(try words.count == 1 ? overview : help(for: Array(words.dropFirst())))
    case "--version": printLine("greensweep \(version)")
    default:
      let asksForHelp = words.prefix(while: { $0 != "--" }).contains { $0 == "--help" || $0 == "-h" }
      if asksForHelp { return printLine(try help(for: words.filter { !$0.hasPrefix("-") })) }
      let (command, rest) = try command(at: words)
      try await command.run(try Arguments(rest, for: command))
    }
  }

  /// The command that `words` begin with: two words such as `bench train`, or one.
  private static func command(at words: [String]) throws -> (Command, rest: [String]) {
    for length in [2, 1] where words.count >= length {
      let name = words.prefix(length).joined(separator: " ")
      if let command = commands.first(where: { $0.name == name }) { return (command, Array(words.dropFirst(length))) }
    }
    let family = commands.filter { $0.name.hasPrefix(words[0] + " ") }.map(\.name)
    guard family.isEmpty else {
      throw UsageError("‘\(words[0])’ needs a second word: \(family.joined(separator: ", "))")
    }
    let hint = suggestion(words[0], among: commands.map(\.name))
    throw UsageError(
      "no command ‘\(words[0].shortened())’" + (hint.isEmpty ? ": ‘greensweep --help’ lists them all" : hint))
  }

  private static func help(for words: [String]) throws -> String {
    let family = commands.filter { $0.name.hasPrefix(words[0] + " ") }
    if words.count == 1, !family.isEmpty { return family.map(\.help).joined(separator: "\n\n") }
    return try command(at: words).0.help
  }

  static var overview: String {
    let width = shownCommands.map(\.name.count).max() ?? 0
    return """
      greensweep trains, sparsifies, prunes and measures YOLOv5-style detectors over the boxes you have.

      \(shownCommands.map { "  \($0.name.padding(to: width))  \($0.summary)" }.joined(separator: "\n"))

      'greensweep COMMAND --help' tells more. GREENSWEEP_COORDINATOR and GREENSWEEP_TOKEN_FILE spare the flags.
      Exit status: 0 done, 1 the work failed (or its output was lost), 2 the call was wrong.
      """
  }
}

extension Error {
  /// Whether the call makes no sense, whatever the machine and its files are like.
  var isWrongCall: Bool {
    switch self as any Error {
    case is UsageError: true
    case let error as PipelineError: error.isWrongRequest
    case TransportError.invalidEndpoint, TransportError.notLoopback: true
    default: false
    }
  }
}

/// Prints one object or list as the last line of standard output.
func printJSON(_ value: some Encodable) { printJSON(text: JSON.sorted(value)) }
