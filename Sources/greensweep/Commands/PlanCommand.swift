import Pipeline
import Platform
import Sweep
import Wording

extension Option {
  static let workers = Option("--workers", "N", help: "worker processes (default: 2, at most one a processor)")
  static let workerThreads = Option(
    "--threads", "T", help: "threads a worker computes with (default: processors / workers)")
}

extension Arguments {
  /// The workers of a sweep on this machine, and with what each of them computes.
  func localWorkers() throws -> (count: Int, machine: Machine) {
    let workers = try int("--workers", in: 1...256) ?? min(2, Processors.available)
    var machine = try machine()
    machine.threads = try threads() ?? max(1, Processors.available / workers)
    return (workers, machine)
  }
}

extension Command {
  static let plan = Command(
    name: "plan", summary: "say what a sweep will do and how long it will take here; nothing of it runs",
    positionals: ["SWEEP.yaml"], options: [.workers, .workerThreads, .allowDamaged, .backend, .json],
    discussion: """
      Lists the jobs of each stage and what trials have in common, how channels are pruned, and every setting that
      training will use. The time comes from real training steps on some of the images: some seconds for each backbone.
      """
  ) { arguments in
    let preparation = try SweepPreparation(
      arguments.positionals[0], allowsDamaged: arguments.has("--allow-damaged"))
    let (workers, machine) = try arguments.localWorkers()
    let tree = try preparation.tree()
    let estimate = try SweepEstimate(preparation, tree, machine: machine, workers: workers)
    let plan = try SweepPlan(preparation, tree, estimate, machine: machine)
    if arguments.has("--json") { printJSON(plan) } else { printLine(plan.text) }
  }
}
