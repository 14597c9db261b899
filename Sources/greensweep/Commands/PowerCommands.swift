import Evaluation
import Foundation
import Pipeline
import Platform
import Wording

/// How the energy of this host is known.
extension Command {
  private static let watts = 0.0...1_000_000.0

  static let powerCalibrate = Command(
    name: "power calibrate", summary: "take this host's watts, so that its energy can be modelled",
    options: [
      Option("--idle", "W", help: "watts while nothing runs"),
      Option("--full", "W", help: "watts while all processors compute ('greensweep power load')"),
      Option("--half", "W", help: "watts while half of them compute: tells how far the model is off"),
      Option("--source", "TEXT", help: "where the watts are from, such as ‘meter at the plug’"), .json,
    ],
    discussion: """
      For hosts without readable energy counters. Watts are those of the whole host, from a meter, a management
      controller (ipmitool dcmi power reading) or a data sheet. Energy is then the idle power for the time, and for
      each second that a processor computes its share of what full load adds. Start running workers again afterwards.
      Example: greensweep power calibrate --idle 41 --full 118 --half 84 --source 'meter at the plug'
      """
  ) { arguments in
    guard let idle = try arguments.double("--idle", in: watts), let full = try arguments.double("--full", in: watts)
    else { throw UsageError("power calibrate: give --idle W and --full W") }
    let model = PowerModel(
      idleWatts: idle, fullWatts: full, halfWatts: try arguments.double("--half", in: watts),
      processors: HostPower.processors, source: arguments.string("--source"))
    let file = try HostPower.calibrate(model)
    if arguments.has("--json") { return printJSON(model) }
    printLine("\(file): \(model.words)")
  }

  static let powerShow = Command(
    name: "power show", summary: "say how this host's energy is known, and its power now", options: [.json]
  ) { arguments in
    let source = HostPower.source
    var window = EnergyWindow(source)
    if case .measured = source { try await Task.sleep(for: .seconds(1)) }
    let watts: Double? = if case .measured = source { window.joules() } else { nil }
    if arguments.has("--json") {
      return printJSON(PowerReport(kind: source.kind?.rawValue ?? "unknown", obstacle: source.obstacle, watts: watts))
    }
    switch source {
    case .measured(let meter):
      printLine("measured: \(meter.zones.joined(separator: ", "))\(watts.map { ", now \($0.shown(1)) W" } ?? "")")
    case .modelled(let model): printLine("modelled: \(model.words)")
    case .unknown(let obstacle): printLine("unknown: \(obstacle)")
    }
  }

  static let powerLoad = Command(
    name: "power load", summary: "keep processors computing while you read a meter",
    options: [
      Option("--processors", "N", help: "how many (default: all; half of them for --half)"),
      Option("--seconds", "S", help: "how long (default: 60)"),
    ]
  ) { arguments in
    let count = try arguments.int("--processors", in: 1...1024) ?? HostPower.processors
    let seconds = try arguments.double("--seconds", in: 1...86_400) ?? 60
    printError("\(counted(count, "processor")) of \(HostPower.processors) compute for \(seconds.shown(0)) s")
    try loadProcessors(count, seconds: seconds)
  }
}

private struct PowerReport: Encodable {
  var kind: String
  var obstacle: String?
  var watts: Double?
}

extension PowerModel {
  fileprivate var words: String {
    let error = error.map { "\(($0 * 100).shown(1)) % off at half load" } ?? "error unknown without --half"
    return
      "\(idleWatts.shown(1)) W idle, \(fullWatts.shown(1)) W with \(counted(processors, "processor")) busy, \(error)"
      + (source.map { ", from \($0)".oneLine } ?? "")
  }
}
