import Dataset
import Evaluation
import Foundation
import Pipeline
import Pruning
import Settings
import Sweep
import Training
import Wording

/// The report of `plan` on a sweep before anything of it runs.
struct SweepPlan: Encodable {
  /// The settings of all jobs of one stage that have them in common.
  struct RecipeColumn: Encodable {
    var stage: Stage
    var jobs: Int
    /// The axes of the first of these jobs.
    var first: String
    /// By the names of YOLOv5's opt.yaml and hyp.yaml.
    var settings: [Setting]

    struct Setting: Encodable, Hashable {
      var key: String
      var value: String
    }
  }

  var name: String
  var trainingImages: Int
  var validationImages: Int
  var imageSize: Int
  var batchSize: Int
  var remarks: [String]
  var forecast: SweepForecast
  var threads: Int
  /// nil where this host's energy cannot be known.
  var joules: Double?
  var joulesKind: EnergyKind?
  var recipe: String
  var recipes: [RecipeColumn]
  var pruning: [RecipeColumn.Setting]
  /// Why the sweep cannot be judged on this machine, and what can be done; empty if it can.
  var obstacles: [String]
  var assumptions: [String]

  enum CodingKeys: String, CodingKey {
    case joulesKind = "joules_kind"
    case name, remarks, forecast, threads, joules, recipe, recipes, pruning, obstacles, assumptions
    case trainingImages = "train_images"
    case validationImages = "val_images"
    case imageSize = "image_size"
    case batchSize = "batch_size"
  }

  init(_ preparation: SweepPreparation, _ tree: StageTree, _ estimate: SweepEstimate, machine: Machine) throws {
    let spec = preparation.spec
    name = spec.name
    trainingImages = preparation.contents[.train]?.images.count ?? 0
    validationImages = preparation.contents[.val]?.images.count ?? 0
    (imageSize, batchSize) = (spec.common.imageSize, spec.common.batchSize)
    remarks = preparation.remarks
    forecast = estimate.forecast(tree)
    threads = estimate.threads
    let seconds = forecast.seconds
    joules = estimate.watts.map { $0 * seconds }
    joulesKind = joules.flatMap { _ in HostPower.source.kind }
    recipe = spec.common.recipe?.rawValue ?? Recipe.yolov5.rawValue
    recipes = try Self.recipes(preparation, tree, imageCount: trainingImages, machine: machine)
    pruning = Self.pruning(spec)
    obstacles = MeasurableMetrics.obstacles(to: spec.objectives)
    assumptions = estimate.assumptions
  }

  private static func recipes(
    _ preparation: SweepPreparation, _ tree: StageTree, imageCount: Int, machine: Machine
  ) throws -> [RecipeColumn] {
    var columns: [RecipeColumn] = []
    for node in tree.nodes.indices {
      guard var request = try tree.trainRequest(of: node, preparation, machine: machine) else { continue }
      request = request.adapted(imageCount: imageCount)
      var settings = request.settings.map { RecipeColumn.Setting(key: $0.key, value: $0.value) }
      let steps = request.configuration.epochs * batches(imageCount, request.configuration.batchSize)
      settings.insert(RecipeColumn.Setting(key: "batches in all", value: "\(steps)"), at: 1)
      // Trials that differ only in axes of the grid share one recipe.
      for index in settings.indices {
        switch settings[index].key {
        case "seed": settings[index].value = "the trial's"
        case "sparsify_target" where request.configuration.fading != nil: settings[index].value = "prune_ratio"
        default: break
        }
      }
      let stage = tree.nodes[node].stage
      if let index = columns.firstIndex(where: { $0.stage == stage && $0.settings == settings }) {
        columns[index].jobs += 1
      } else {
        columns.append(RecipeColumn(stage: stage, jobs: 1, first: tree.title(of: node), settings: settings))
      }
    }
    return columns.sorted { $0.stage < $1.stage }
  }

  private static func pruning(_ spec: SweepSpec) -> [RecipeColumn.Setting] {
    guard spec.grid.pruneRatio.contains(where: { $0 > 0 }) else { return [] }
    let prune = spec.prune
    let standard = prune.policy == .gradual ? ChannelFading.standardMethod : nil
    let policy =
      switch prune.policy {
      case PolicyWord.gradual?:
        "gradual: the channels with the least effect on the loss fade out during ‘sparsify’; ‘prune’ cuts what is zero"
      case let word?: word.rawValue
      case nil: "study where it applies, otherwise grouped"
      }
    var rows = [
      ("policy", policy), ("importance", prune.importance?.rawValue ?? standard?.importance.rawValue ?? "gamma"),
      ("scores compared", standard?.scope.rawValue ?? "network"),
      ("min_channels", (prune.minimumChannels ?? standard?.minimumChannels).map { "\($0)" } ?? "none"),
      ("least share of a layer", "\(standard?.minimumShare ?? 0)"),
      ("round_to", "\(prune.roundTo ?? standard?.roundTo ?? 1)"), ("rounds", "\(prune.rounds)"),
    ]
    if let count = prune.targetParameters { rows.append(("target_parameters", "\(count)")) }
    if let limit = prune.targetGFLOPs { rows.append(("target_gflops", "\(limit)")) }
    return rows.map { RecipeColumn.Setting(key: $0.0, value: $0.1) }
  }
}

extension SweepPlan {
  var text: String {
    var parts = [
      """
      \(name): \(counted(forecast.trials, "trial")) on \(counted(trainingImages, "training image")) and \
      \(counted(validationImages, "validation image")), \(imageSize) pixels, batches of \(batchSize)
      """
    ]
    if !obstacles.isEmpty {
      parts.append(
        obstacles.map { "cannot run here: \($0)" }.joined(separator: "\n")
          + "\n'greensweep run' refuses it on this machine; a coordinator holds it until a worker that can joins"
      )
    }
    if !remarks.isEmpty { parts.append(remarks.map(\.oneLine).joined(separator: "\n")) }
    parts.append(stageTable)
    if !pruning.isEmpty {
      parts.append("pruning\n" + textTable(pruning.map { ["  \($0.key)", $0.value] }))
    }
    parts.append("recipe: \(recipe), in full\n" + recipeTable)
    let energy =
      joules.map { "about \(($0 / 3.6e6).shown(3)) kWh (\($0.shown(0)) J), \((joulesKind?.rawValue ?? "unknown"))" }
      ?? "unknown"
    parts.append(
      """
      time: about \(forecast.seconds.shownAsDuration) on this machine, with \(counted(forecast.workers, "worker")) of \
      \(counted(threads, "thread")) each (\(forecast.workSeconds.shownAsDuration) of work)
      energy: \(energy)
      """)
    parts.append("assumed\n" + assumptions.map { "  \($0)" }.joined(separator: "\n"))
    return parts.joined(separator: "\n\n")
  }

  /// The jobs of each stage, and what trials have in common.
  private var stageTable: String {
    func row(_ name: String, _ jobs: Int, _ unshared: Int, _ epochs: Int, _ seconds: Double, _ all: Double) -> [String]
    {
      [
        name, "\(jobs)", "\(unshared - jobs)", epochs > 0 ? "\(epochs)" : "", seconds.shownAsDuration,
        (all - seconds).shownAsDuration,
      ]
    }
    let rows = forecast.rows.map {
      row($0.stage.rawValue, $0.jobs, $0.jobsUnshared, $0.epochs, $0.seconds, $0.secondsUnshared)
    }
    let total = row(
      "in all", forecast.jobs, forecast.jobsUnshared, forecast.rows.reduce(0) { $0 + $1.epochs }, forecast.workSeconds,
      forecast.workSecondsUnshared)
    return textTable(
      [["stage", "jobs", "spared by sharing", "epochs", "work", "work spared"]] + rows + [total],
      rightAligned: Set(1...5))
  }

  private var recipeTable: String {
    let keys = recipes.first?.settings.map(\.key) ?? []
    let header = ["  "] + recipes.map(\.stage.rawValue)
    let jobs = ["  jobs"] + recipes.map { $0.jobs == 1 ? $0.first : "\($0.jobs), first \($0.first)" }
    let rows = keys.indices.map { index in ["  \(keys[index])"] + recipes.map { $0.settings[index].value } }
    return textTable([header, jobs] + rows)
  }
}
