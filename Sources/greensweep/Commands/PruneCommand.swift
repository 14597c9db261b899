import Pipeline
import Platform
import Pruning
import Settings
import Wording

extension Command {
  /// The options that a written plan has decided already.
  private static let choices = [
    "--ratio", "--data", "--scope", "--min-share", "--target-parameters", "--target-gflops",
    "--target-ms", "--policy", "--importance", "--min-channels",
    "--round-to", "--plan-only",
  ]

  /// The options that compute with the model.
  private static let measuring = ["--target-ms", "--data", "--sensitivity"]

  static let prune = Command(
    name: "prune", summary: "cut the weakest channels out of a model", positionals: ["MODEL"],
    options: [
      Option("--ratio", "R", help: "share of the prunable channels to cut, in [0, 1) (default: 0.3)"),
      Option(
        "--target-parameters", "N", excludes: ["--ratio"],
        help: "cut just enough for at most so many parameters"),
      Option(
        "--target-gflops", "G", excludes: ["--ratio", "--target-parameters"],
        help: "cut just enough for at most so many GFLOPs at 640 pixels"),
      Option(
        "--target-ms", "T", excludes: ["--ratio", "--target-parameters", "--target-gflops"],
        help: "cut just enough for a pass of at most T milliseconds, measured here"),
      Option(
        "--policy", "NAME",
        help:
          "\(names(PruningPolicy.self)) (default: the study's where it applies); gradual cuts the channels that 'train "
          + "--sparsify-target' has faded out"),
      Option("--importance", "NAME", help: "\(names(Importance.self)) (default: gamma)"),
      Option(
        "--data", "DATA.yaml", needs: ["--importance"], help: "measure the taylor importance on its training pictures"),
      Option(
        "--scope", "NAME",
        help: "compare scores in the network, normalized by layer, or in each layer (default: network)"),
      Option("--min-share", "S", help: "share of its channels that every layer keeps (default: 0)"),
      Option("--seed", "N", needs: ["--importance"], help: "of the random importance (default: 0)"),
      Option(
        "--min-channels", "N", help: "what every layer keeps (default: refuse a cut that would empty one)"),
      Option("--round-to", "N", help: "layers keep multiples of it, such as 8 or 16 (default: 1)"),
      Option("--plan-only", help: "cut nothing; write the plan to -o, if given"),
      Option("--plan", "FILE", excludes: choices, help: "cut what a written plan says"),
      Option(
        "--sensitivity", "DATA.yaml", excludes: choices.filter { $0 != "--importance" } + ["--plan", "--seed"],
        help: "cut nothing; measure the accuracy that each layer costs when it alone is pruned"),
      Option(
        "--output", "FILE", aliases: ["-o"],
        help: "the pruned model (default: pruned.safetensors), the plan, or the folder of --sensitivity"),
      .imageSize.needing(measuring), .threads.needing(measuring), .backend.needing(measuring), .json,
    ],
    discussion:
      "MODEL is a model file, or bare YOLOv5 weights of a known network. --image-size is that of --target-ms or --data."
  ) { arguments in
    let model = arguments.positionals[0]
    if let dataset = arguments.string("--sensitivity") { return try showSensitivity(of: model, on: dataset, arguments) }
    let output = arguments.string("--output") ?? (arguments.has("--plan-only") ? nil : "pruned.safetensors")
    try refuseOverwriting(
      [output].compactMap { $0 }, ofInputs: [model] + [arguments.string("--plan")].compactMap { $0 })
    let plan = try plan(of: model, arguments)
    guard !arguments.has("--plan-only"), let output else {
      if let output { try writePlan(plan, to: output) }
      return arguments.has("--json") ? printJSON(PruneReport(plan, model: model)) : printLine(table(of: plan))
    }
    let report = try Pipeline.prune(model, by: plan, to: output)
    if arguments.has("--json") { return printJSON(report) }
    printLine(table(of: plan))
    printLine(
      "\(report.model): fine-tune it with 'greensweep train DATA.yaml --model \(report.model) --hyp finetune_prune'")
  }

  private static func showSensitivity(of model: String, on dataset: String, _ arguments: Arguments) throws {
    var request = SensitivityRequest(
      model: model, dataset: dataset, imageSize: try arguments.imageSize(), machine: try arguments.machine(),
      outputDirectory: arguments.string("--output") ?? "sensitivity")
    if let importance = try arguments.choice("--importance", among: Importance.allCases.map(\.rawValue)) {
      request.importance = Importance(rawValue: importance)!
    }
    let line = LiveLine()
    defer { line.clear() }
    let start = ContinuousClock.now
    let report = try sensitivity(request, checking: .ofUser(allowsDamaged: true, line)) { done, total in
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      let left = seconds / Double(done) * Double(total - done)
      line.show("sensitivity: \(done) of \(total) measurements, ETA \(left.shownAsDuration)")
    }
    line.clear()
    if arguments.has("--json") { return printJSON(report) }
    let rows = report.layers.map { layer in
      [layer.name, "\(layer.channels)"] + layer.map50.map { $0.shown(3) }
    }
    let header = ["layer", "channels"] + report.ratios.map { "\(($0 * 100).shown(0)) %" }
    printLine(
      "mAP50 of the whole model on \(counted(report.images, "image")): \(report.map50.shown(3)); with a layer pruned by"
    )
    printLine(textTable([header] + rows, rightAligned: Set(1..<header.count)))
    for file in report.files { printLine(file.oneLine) }
  }

  private static func plan(of model: String, _ arguments: Arguments) throws -> PruningPlan {
    if let path = arguments.string("--plan") { return try readPlan(path) }
    if arguments.string("--importance") != Importance.random.rawValue {
      try arguments.refuse(["--seed"], because: "only the random importance draws numbers")
    }
    if arguments.string("--policy") == PruningPolicy.gradual.rawValue {
      try arguments.refuse(
        ["--ratio", "--target-parameters", "--target-gflops", "--target-ms", "--importance", "--scope", "--min-share"],
        because: "the policy gradual cuts what training has faded out, and nothing else")
    }
    let settings = PruneStage.all.group
    let importance =
      try arguments.choice("--importance", among: Importance.allCases.map(\.rawValue))
      .flatMap(Importance.init(rawValue:)) ?? .gamma
    guard (importance == .taylor) == arguments.has("--data") else {
      throw UsageError("prune: --importance taylor and --data go together: the one is measured on the other")
    }
    let request = PruneRequest(
      model: model, amount: try amount(arguments),
      policy: try arguments.choice("--policy", among: PruningPolicy.allCases.map(\.rawValue))
        .flatMap(PruningPolicy.init(rawValue:)),
      importance: importance,
      scope: try arguments.choice("--scope", among: PruningScope.allCases.map(\.rawValue))
        .flatMap(PruningScope.init(rawValue:)) ?? .network,
      measurement: try arguments.string("--data").map {
        TaylorMeasurement(dataset: $0, imageSize: try arguments.imageSize(), machine: try arguments.machine())
      },
      seed: UInt64(try arguments.int("--seed", in: 0...Int.max) ?? 0),
      minimumChannels: try arguments.int("--min-channels", in: settings.minimumChannels.integers),
      minimumShare: try arguments.double("--min-share", in: 0...1) ?? 0,
      roundTo: try arguments.int("--round-to", in: settings.roundTo.integers) ?? 1)
    do {
      return try pruningPlan(request) { plan, milliseconds in
        printError("ratio \(plan.ratio.shown(4)): \(milliseconds.shown(2)) ms")
      }
    } catch let error as PruningError where !error.emptied.isEmpty {
      throw WorkError("\(error)\n\n\(table(of: error.emptied))")
    }
  }

  private static func amount(_ arguments: Arguments) throws -> PruneAmount {
    if let count = try arguments.int("--target-parameters", in: 1...Int.max) { return .target(.parameters(count)) }
    let positive = Double.leastNonzeroMagnitude...Double.greatestFiniteMagnitude
    if let limit = try arguments.double("--target-gflops", in: positive) { return .target(.gflops(limit)) }
    if let limit = try arguments.double("--target-ms", in: positive) {
      return .target(.milliseconds(limit, imageSize: try arguments.imageSize(), machine: try arguments.machine()))
    }
    let settings = PruneStage.all.group
    return .ratio(try arguments.double("--ratio", in: settings.pruneRatio.numbers) ?? settings.pruneRatio.fallback)
  }

  /// Per layer what goes and why, then the totals.
  private static func table(of plan: PruningPlan) -> String {
    var groupsOf: [String: [Int]] = [:]
    for (index, group) in plan.groups.enumerated() {
      for name in group.batchNorms { groupsOf[name, default: []].append(index) }
    }
    let rows = plan.layers.map { layer in
      let numbers = groupsOf[layer.batchNorm] ?? []
      let groups = numbers.map { plan.groups[$0] }
      let lowest = groups.compactMap(\.lowestScore).min().map { Double($0).shown(4) } ?? ""
      let highest = groups.compactMap(\.highestScore).max().map { Double($0).shown(4) } ?? ""
      let partners = Set(groups.flatMap(\.batchNorms)).count - 1
      let why =
        groups.compactMap(\.fixedReason).first
        ?? (partners > 0 ? "tied to \(counted(partners, "other")) in its group" : "")
      return [
        layer.batchNorm, "\(layer.channelCount)", "\(layer.keptCount)", numbers.map(String.init).joined(separator: ","),
        lowest, highest, why,
      ]
    }
    let header = ["layer", "channels", "kept", "group", "lowest", "highest", "why"]
    return textTable([header] + rows, rightAligned: [1, 2, 4, 5]) + "\n\n\(plan)"
  }

  private static func table(of limits: [LayerLimit]) -> String {
    let rows = limits.map { limit in
      [
        limit.layer, "\(limit.channelCount)", Double(limit.largestScore).shown(4), limit.vanishingRatio.shown(4),
      ]
    }
    return textTable([["layer", "channels", "largest score", "gone from ratio"]] + rows, rightAligned: [1, 2, 3])
  }
}
