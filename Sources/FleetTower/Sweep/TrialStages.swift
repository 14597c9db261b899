import JSON
import Settings

/// The stages of a sweep's trials: which ones a trial takes, with which settings and files.
///
/// The settings that all trials share are looked up once, because a sweep may have a hundred thousand trials.
struct TrialStages: Sendable {
  /// Whether channels fade out during `sparsify`.
  let isGradual: Bool
  /// Whether a pruned trial's fine-tuning learns from the unpruned trial beside it.
  let isTaught: Bool
  let isBenchmarked: Bool
  /// Whether titles tell trials apart by their optimizer or seed.
  private let namesOptimizer: Bool
  private let namesSeed: Bool
  /// The target that takes the place of the ratio, for people.
  private let target: String?
  let isAnyTrialPruned: Bool
  let rounds: Int
  /// The epochs of `finetune` for a trial that is not pruned, under the policy `gradual`.
  private let unprunedEpochs: Int
  private let sheets: [Stage: Sheet]

  /// The part of a stage's settings and files that does not depend on the trial.
  private struct Sheet {
    /// The settings that are the same in all trials.
    var shared: [String: PlainValue] = [:]
    /// The settings whose values are those of the trial's grid point.
    var axes: [String] = []
    /// The files that are the same in all trials.
    var inputs: [InputRole: ArtifactReference] = [:]
    let cost: Int
  }

  private let weights: [String: ArtifactReference]
  private let networks: [String: ArtifactReference]
  private let teacher: ArtifactReference?

  init(_ submission: SweepSubmission) {
    let spec = submission.spec
    let (prune, distill) = (spec.stages.prune, spec.finetune.distill)
    isGradual = spec.isGradual
    isTaught = distill == FinetuneStage.unprunedTeacher
    isBenchmarked = spec.isBenchmarked
    isAnyTrialPruned = spec.grid.pruneRatio.contains { $0 > 0 }
    rounds = prune.rounds
    namesOptimizer = spec.common.recipe != .auto
    namesSeed = spec.grid.seed.count > 1
    target =
      prune.targetParameters.map { "\($0) parameters" } ?? prune.targetGFLOPs.map { "\($0) GFLOPs" }
    unprunedEpochs = spec.sparsify.epochs + spec.finetune.epochs
    weights = spec.train.weights.compactMapValues { submission.files[$0] }
    networks = submission.files.filter { SettingRule.isYAML($0.key) }
    teacher = SettingRule.isFile(distill) ? submission.files[distill] : nil
    sheets = Dictionary(uniqueKeysWithValues: Stage.allCases.map { ($0, Self.sheet(of: $0, in: submission)) })
  }

  private static func sheet(of stage: Stage, in submission: SweepSubmission) -> Sheet {
    let spec = submission.spec
    let chosen = spec.stages[stage]
    var sheet = Sheet(cost: chosen.cost)
    for setting in chosen.settings {
      switch setting.source {
      case .here: sheet.shared[setting.key] = chosen.values[setting.key]
      case .sweep: sheet.shared[setting.key] = spec.common.values[setting.key]
      case .trial: sheet.axes.append(setting.key)
      case .plan, .step: break
      }
    }
    if stage.needsDataset { sheet.inputs[.dataset] = submission.dataset }
    if let hyp = chosen.values["hyp"]?.string, SettingRule.isFile(hyp) {
      // A file is an input, which counts by its content.
      sheet.shared["hyp"] = nil
      sheet.inputs[.hyp] = submission.files[hyp]
    }
    if let teacher = sheet.shared["distill"]?.string, SettingRule.isFile(teacher) {
      sheet.shared["distill"] = .string(FinetuneStage.fileTeacher)
    }
    if stage == .prune, spec.prune.importance != .random { sheet.axes.removeAll { $0 == "seed" } }
    if stage == .sparsify, spec.isGradual {
      for key in ["importance", "min_channels", "round_to"] { sheet.shared[key] = spec.prune.values[key] }
    }
    return sheet
  }

  /// Rough work of a stage in tenths of an epoch.
  func cost(of stage: Stage) -> Int { sheets[stage]!.cost }

  /// Returns the settings that determine a step's result, by key.
  func settings(of step: TrialStep, in trial: Trial) -> [String: PlainValue] {
    let sheet = sheets[step.stage]!
    var values = sheet.shared
    for key in sheet.axes { values[key] = trial.value(of: key) }
    switch step.stage {
    case .sparsify where isGradual: values["target"] = .double(trial.pruneRatio)
    case .prune:
      values["prune_ratio"] = target != nil ? nil : .double(trial.pruneRatio(inRound: step.round, of: rounds))
      if target != nil, rounds > 1 { values["rounds_left"] = .int(rounds - step.round + 1) }
    case .finetune where trial.pruneRatio == 0:
      values["distill"] = nil
      if isGradual { values["epochs"] = .int(unprunedEpochs) }
    default: break
    }
    return values
  }

  /// Returns the axes that a step depends on, for people: `yolov5n SGD sparsity 0.0001 prune 0.3`.
  func title(of step: TrialStep, in trial: Trial) -> String {
    let stage = step.stage
    var title = trial.backbone
    if namesOptimizer { title += " " + trial.optimizer }
    if namesSeed { title += " seed \(trial.seed)" }
    if stage >= .sparsify, trial.sparsityRate > 0 { title += " sparsity \(trial.sparsityRate)" }
    if stage >= .prune, trial.pruneRatio > 0 {
      title += target.map { " prune to " + $0 } ?? " prune \(trial.pruneRatio)"
    }
    if rounds > 1, stage == .prune || stage == .finetune { title += " round \(step.round) of \(rounds)" }
    return title
  }

  /// Returns the files that a stage needs besides the models of the stages before it.
  func inputs(of stage: Stage, in trial: Trial) -> [InputRole: ArtifactReference] {
    var inputs = sheets[stage]!.inputs
    if stage == .train {
      inputs[.weights] = weights[trial.backbone]
      inputs[.network] = networks[trial.backbone]
    }
    if stage == .finetune, trial.pruneRatio > 0 { inputs[.teacher] = teacher }
    return inputs
  }
}

extension SweepSpec {
  /// Whether channels fade out during sparsity training.
  var isGradual: Bool { stages.prune.policy == .gradual }
}

extension Choices<PruneStage> {
  /// Whether a target takes the place of the ratio.
  var hasTarget: Bool { self.targetParameters != nil || self.targetGFLOPs != nil }
}
