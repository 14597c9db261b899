import Pipeline
import Pruning

extension Command {
  static let prune = Command(
    name: "prune", summary: "cut the weakest channels out of a model", positionals: ["MODEL"],
    options: [
      Option("--ratio", "R", help: "share of the prunable channels to cut, in [0, 1) (default: 0.3)"),
      Option("--policy", "NAME", help: "study or grouped (default: the study's where it applies)"),
      Option("--output", "FILE", aliases: ["-o"], help: "the pruned model (default: pruned.safetensors)"), .json,
    ]
  ) { arguments in
    let policies = PruningPolicy.allCases.map(\.rawValue)
    let (report, plan) = try Pipeline.prune(
      PruneRequest(
        model: arguments.positionals[0], ratio: arguments.double("--ratio", in: 0...0.9999) ?? 0.3,
        policy: arguments.choice("--policy", among: policies).flatMap(PruningPolicy.init(rawValue:)),
        output: arguments.string("--output") ?? "pruned.safetensors"))
    if arguments.has("--json") { return try printJSON(report) }
    print(plan)
    print(
      "\(report.model): fine-tune it with 'greensweep train DATA.yaml --model \(report.model) --hyp finetune_prune'")
  }
}
