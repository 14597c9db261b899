import Foundation

/// A page for `man`, made from the same table as `--help`.
struct ManualPage {
  /// The name of the page's file.
  let file: String
  let text: String

  /// The page of one command.
  init(_ command: Command) {
    let title = "greensweep-" + command.name.replacingOccurrences(of: " ", with: "-")
    var lines = Self.head(title, command.summary)
    lines += [".SH SYNOPSIS", Self.escaped(String(command.usage.dropFirst("usage: ".count)))]
    if !command.discussion.isEmpty { lines += [".SH DESCRIPTION"] + Self.paragraphs(command.discussion) }
    if !command.options.isEmpty { lines.append(".SH OPTIONS") }
    for option in command.options {
      let names = ([option.name] + option.aliases).map { "\\fB\(Self.escaped($0))\\fR" }.joined(separator: ", ")
      lines += [
        ".TP", names + (option.value.map { " \\fI\(Self.escaped($0))\\fR" } ?? ""), Self.escaped(option.help),
      ]
    }
    lines += [".SH SEE ALSO", ".BR greensweep (1)"]
    file = title + ".1"
    text = lines.joined(separator: "\n") + "\n"
  }

  /// The page of the program, which lists its commands.
  init(listing commands: [Command]) {
    var lines = Self.head("greensweep", "make detectors small and fast on the Linux hosts you have")
    lines += [".SH SYNOPSIS", ".B greensweep", "\\fICOMMAND\\fR [arguments]", ".SH COMMANDS"]
    for command in commands { lines += [".TP", ".B \(Self.escaped(command.name))", Self.escaped(command.summary)] }
    lines += [
      ".SH ENVIRONMENT", ".TP", ".B GREENSWEEP_COORDINATOR", "the coordinator's address, as ADDR:PORT", ".TP",
      ".B GREENSWEEP_TOKEN_FILE", "the file with the token of the worker or operator", ".SH EXIT STATUS",
      "0 if it is done, 1 if the work failed or its output was lost, 2 if the call was wrong.", ".SH SEE ALSO",
      "Each command has a page of its own, such as",
      ".BR greensweep\\-worker (1).",
    ]
    file = "greensweep.1"
    text = lines.joined(separator: "\n") + "\n"
  }

  private static func head(_ title: String, _ summary: String) -> [String] {
    [
      ".TH \(escaped(title.uppercased())) 1 \"\" \"greensweep \(Greensweep.version)\" Greensweep", ".SH NAME",
      "\(escaped(title)) \\- \(escaped(summary))",
    ]
  }

  /// A line that begins with a blank begins a line of the page too.
  private static func paragraphs(_ text: String) -> [String] {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.isEmpty ? ".PP" : escaped(String(line))
    }
  }

  private static func escaped(_ text: String) -> String {
    let safe = text.replacingOccurrences(of: "\\", with: "\\e").replacingOccurrences(of: "-", with: "\\-")
    return safe.hasPrefix(".") || safe.hasPrefix("'") ? "\\&" + safe : safe
  }
}
