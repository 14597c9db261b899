import Fleet
import Sweep
import Wording

/// The commands that steer a sweep after its submission.
extension Command {
  static let pause = steering(
    "pause", to: .paused, summary: "start nothing more of a sweep and take back what runs, with its newest checkpoints")
  static let resume = steering("resume", to: .active, summary: "go on with a sweep that is paused or stopped")
  static let stop = steering("stop", to: .stopped, summary: "start nothing more of a sweep; what runs is finished")

  private static func steering(_ name: String, to mode: SweepMode, summary: String) -> Command {
    Command(name: name, summary: summary, positionals: ["SWEEP"], options: Option.connection) { arguments in
      printLine(try await OperatorConnection(arguments).order(.steer(sweep: arguments.positionals[0], mode: mode)))
    }
  }

  static let priority = Command(
    name: "priority", summary: "let a sweep go before those of lower priority", positionals: ["SWEEP", "N"],
    options: Option.connection,
    discussion: """
      N lies between -1000 and 1000; a sweep has 0 unless its file or 'submit --priority' says otherwise. Sweeps of
      equal priority share the slots fairly. What runs already goes on. After '--', N may be negative:
      greensweep priority SWEEP -- -5
      """
  ) { arguments in
    let range = SweepSpec.priorityRange
    guard let priority = Int(arguments.positionals[1]), range.contains(priority) else {
      throw UsageError("priority: N is a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    let request = OperatorRequest.prioritize(sweep: arguments.positionals[0], priority: priority)
    printLine(try await OperatorConnection(arguments).order(request))
  }
}
