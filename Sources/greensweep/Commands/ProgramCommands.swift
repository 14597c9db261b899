import Artifacts
import Compute
import Platform
import Wording

/// Commands about the program itself.
extension Command {
  static let version = Command(
    name: "version", summary: "the program's version, its backends, and what this processor does", options: [.json]
  ) { arguments in
    let report = VersionReport()
    if arguments.has("--json") { return printJSON(report) }
    let backends = report.backends.map { $0 == report.defaultBackend ? "\($0) (default)" : $0 }
    printLine(
      """
      greensweep \(report.version) (\(report.commit.map { "commit \($0)" } ?? "not built by cluster/package.sh"))
      backends: \(backends.joined(separator: ", "))
      processor: \(([report.processor] + report.instructionSets).joined(separator: ", ")); \(report.processors) to use
      """)
  }

  static let completion = Command(
    name: "completion", summary: "a script that completes commands and options in a shell", positionals: ["SHELL"],
    discussion: """
      SHELL is bash or zsh. The Debian package brings both scripts; elsewhere:
        greensweep completion bash > ~/.local/share/bash-completion/completions/greensweep
        greensweep completion zsh > DIR/_greensweep      # DIR is one of zsh's $fpath
      """
  ) { arguments in
    let name = arguments.positionals[0]
    guard let shell = Completion.Shell(rawValue: name) else {
      throw UsageError("completion: SHELL is bash or zsh, not ‘\(name.shortened())’")
    }
    printLine(Completion.script(for: shell, Greensweep.shownCommands))
  }

  static let manual = Command(
    name: "manual", summary: "write a page for man of each command", positionals: ["DIR"], isInternal: true
  ) { arguments in
    let folder = arguments.positionals[0]
    try Files.createFolder(folder)
    for page in [ManualPage(listing: Greensweep.shownCommands)] + Greensweep.shownCommands.map({ ManualPage($0) }) {
      try Files.writeDurably(Array(page.text.utf8), to: "\(folder)/\(page.file)")
    }
  }
}

private struct VersionReport: Encodable {
  let version = Greensweep.version
  let commit = Build.commit
  let backends = Runtime.availableBackends.map(\.rawValue)
  let defaultBackend = Runtime.defaultBackend.rawValue
  let processor = ProcessorModel.here.name
  let processors = Processors.available
  let instructionSets = ProcessorModel.here.instructionSets
}
