import Foundation

@main
enum Greensweep {
  static let version = "0.1.0"

  static let commands: [Command] = []

  static func main() {
    exit(run(Array(Swift.CommandLine.arguments.dropFirst())))
  }

  /// Exit status: 0 done, 1 the work failed, 2 the call was wrong.
  static func run(_ words: [String]) -> Int32 {
    do {
      try dispatch(words)
      return 0
    } catch let error as UsageError {
      printError("greensweep: \(error)")
      return 2
    } catch {
      printError("greensweep: \(error)")
      return 1
    }
  }

  private static func dispatch(_ words: [String]) throws {
    guard let name = words.first else { throw UsageError("no command\n\n" + overview) }
    switch name {
    case "help", "--help", "-h":
      print(try words.dropFirst().first.map { try command(named: $0).help } ?? overview)
    case "--version", "version": print("greensweep \(version)")
    default:
      let command = try command(named: name)
      let rest = Array(words.dropFirst())
      if rest.prefix(while: { $0 != "--" }).contains(where: { $0 == "--help" || $0 == "-h" }) {
        return print(command.help)
      }
      try command.run(try Arguments(rest, for: command))
    }
  }

  private static func command(named name: String) throws -> Command {
    if let command = commands.first(where: { $0.name == name }) { return command }
    throw UsageError("no command '\(name)'" + suggestion(name, among: commands.map(\.name)) + "\n\n" + overview)
  }

  static var overview: String {
    let shown = commands.filter { !$0.isInternal }
    let width = shown.map(\.name.count).max() ?? 0
    return """
      greensweep trains, sparsifies, prunes and measures YOLOv5-style detectors over the boxes you have.

      \(shown.map { "  \($0.name.padding(to: width))  \($0.summary)" }.joined(separator: "\n"))

      'greensweep COMMAND --help' tells more. GREENSWEEP_COORDINATOR and GREENSWEEP_TOKEN_FILE spare the flags.
      """
  }
}

/// To standard error, at once.
func printError(_ text: String) {
  FileHandle.standardError.write(Data((text + "\n").utf8))
}

/// One object on the last line of standard output.
func printJSON(_ value: some Encodable) throws {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  print(String(decoding: try encoder.encode(value), as: UTF8.self))
}
