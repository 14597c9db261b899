import Compute
import Coordinator
import Foundation
import Launch
import Pipeline
import Platform
import Settings
import Sweep
import Transport
import Wording
import Worker

extension Command {
  static let coordinator = Command(
    name: "coordinator", summary: "hand out jobs to workers and keep what they bring",
    options: [
      Option("--data", "DIR", help: "journal, artifacts and tokens (default: greensweep-data)"),
      Option("--listen", "ADDR:PORT", help: "(default: \(OperatorConnection.defaultAddress): this box only)"),
      Option("--http", "ADDR:PORT", help: "a read-only dashboard, and metrics for Prometheus, on a loopback address"),
      LocalFleet.attachedOption,
    ],
    discussion: """
      The data folder holds worker.token and operator.token, made at the first start. Hand worker.token to the boxes
      that work, operator.token to the people who submit. Stopped and started again, it goes on where it was.
      """
  ) { arguments in
    keepFilesPrivate()
    var options = CoordinatorOptions(folder: arguments.string("--data") ?? "greensweep-data")
    options.endpoint = try Endpoint(arguments.string("--listen") ?? OperatorConnection.defaultAddress)
    options.httpEndpoint = try arguments.string("--http").map { try Endpoint($0) }
    options.log = { printError($0.oneLine) }
    if arguments.has("--attached") { leaveWhenStandardInputCloses() }
    try await Coordinator.run(options) { address in printLine("greensweep coordinator: listening on \(address)") }
  }

  static let worker = Command(
    name: "worker", summary: "run jobs on this box",
    options: [
      Option("--join", "ADDR:PORT", help: "the coordinator (default: GREENSWEEP_COORDINATOR)"), .tokenFile,
      Option("--slots", "N", help: "jobs at a time (default: 1)"),
      Option("--threads", "T", help: "threads a job computes with (default: processors / slots)"), .backend,
      Option("--memory-limit-mb", "MB", help: "memory a job may use before it is killed (default: no limit)"),
      Option("--time-limit-minutes", "M", help: "how long a try at a job may take (default: no limit)"),
      Option("--cache", "DIR", help: "data sets, models and checkpoints (default: greensweep-cache)"),
      Option("--name", "NAME", help: "(default: the host's name)"),
      Option("--idle-exit", "TIME", help: "leave after so long without a job, such as 5m (default: stay)"),
      Option(
        "--until", "TIME",
        help: "leave by then: 18:30, 2026-11-28T18:30, or @SECONDS since 1970; jobs are handed back before"),
      Option(
        "--label", "K=V", repeats: true,
        help: "what sets this worker apart, for ‘requires’ and ‘prefer’ of sweeps; may be repeated"),
      LocalFleet.attachedOption,
    ],
    discussion: """
      It can be stopped and started at any time: SIGTERM hands its jobs back with their newest checkpoints. For batch
      systems, --until takes the end of the allocation (under Slurm: --until @$SLURM_JOB_END_TIME); nothing is begun
      that could not reach a checkpoint before.
      """
  ) { arguments in
    keepFilesPrivate()
    let environment = ProcessInfo.processInfo.environment
    let address = arguments.string("--join") ?? environment["GREENSWEEP_COORDINATOR"]
    guard let address else { throw UsageError("worker: --join ADDR:PORT is missing") }
    var options = WorkerOptions(
      coordinator: try Endpoint(address), token: try token(arguments, of: .worker),
      folder: arguments.string("--cache") ?? "greensweep-cache")
    options.slots = try arguments.int("--slots", in: FleetHost.slotRange) ?? 1
    options.threads =
      try arguments.threads() ?? max(1, Processors.available / options.slots)
    let limits = LimitSettings.all.group
    options.stageLimits.memoryMB = try arguments.int("--memory-limit-mb", in: limits.memoryMB.integers)
    options.stageLimits.timeMinutes = try arguments.double(
      "--time-limit-minutes", in: limits.timeMinutes.numbers)
    options.backend = try arguments.machine().backend?.rawValue
    options.name = arguments.string("--name") ?? options.name
    options.labels = try labels(arguments.strings("--label"))
    options.log = { printError($0.oneLine) }
    options.metrics = MeasurableMetrics.here
    for metric in Objective.Metric.allCases {
      if let obstacle = MeasurableMetrics.obstacle(to: metric) {
        printError("\(metric.rawValue) is not measured by this worker: \(obstacle)")
      }
    }
    options.idleExitSeconds = try arguments.duration("--idle-exit")
    options.until = try arguments.moment("--until")
    if arguments.has("--attached") { leaveWhenStandardInputCloses() }
    try await Worker.run(options)
  }

  private static func labels(_ texts: [String]) throws -> [String: String] {
    var labels: [String: String] = [:]
    for text in texts {
      let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, LabelRule.allows(parts[0], parts[1]) else {
        throw UsageError("--label takes KEY=VALUE, not '\(text.shortened())': \(LabelRule.words)")
      }
      labels[parts[0]] = parts[1]
    }
    return labels
  }
}
