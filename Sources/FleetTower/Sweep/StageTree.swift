import Bytes
import JSON
import Settings

/// A sweep's trials laid over each other: stages that agree on everything which determines their result are one node.
///
/// A node's key is the hash of its stage, its configuration, its files and its parent's key, so the key of a stage
/// names the whole chain that leads to it. Fine-tuning with distillation has a
/// second parent, its teacher. Keys are kept in journals: what they are made of must not change.
public struct StageTree: Sendable {
  public struct Node: Hashable, Sendable {
    public let key: JobKey
    public let stage: Stage
    /// The round of pruning and fine-tuning, from 1.
    public let round: Int
    /// Index of the node whose model this one starts from.
    public let parent: Int?
    /// Index of the node whose model is the teacher of this one; nil without distillation, or if a file is the teacher.
    public let teacher: Int?
    /// Index of a trial that takes this node.
    public let trial: Int
    /// Work on the longest way from this node's start to a leaf, in tenths of an epoch.
    public fileprivate(set) var remainingCost: Int

    /// The nodes that must have succeeded before this one starts.
    public var sources: [Int] { [parent, teacher].compactMap { $0 } }
  }

  public let sweep: SweepID
  public let submission: SweepSubmission
  public let trials: [Trial]
  public let trialIDs: [TrialID]
  /// Parents before children.
  public let nodes: [Node]
  /// For each trial, its nodes in the order of its stages.
  public let nodesOfTrial: [[Int]]

  public init(_ submission: SweepSubmission) {
    var builder = Builder(submission)
    for trial in builder.trials.indices { builder.add(trial) }
    builder.sumCosts()
    sweep = builder.sweep
    self.submission = submission
    trials = builder.trials
    trialIDs = builder.trialIDs
    nodes = builder.nodes
    nodesOfTrial = builder.nodesOfTrial
  }

  /// Returns the configuration for the stage's process: the settings that determine its result, and nothing else.
  public func configuration(of node: Int) -> StageConfiguration {
    let values = submission.spec.values(of: nodes[node].step, in: trials[nodes[node].trial])
    return StageConfiguration(nodes[node].stage, values)
  }

  /// The files the node needs besides its sources' models.
  public func inputs(of node: Int) -> [InputRole: ArtifactReference] {
    submission.inputs(of: nodes[node].stage, in: trials[nodes[node].trial])
  }

  /// The node whose model is the trial's outcome.
  public func modelNode(ofTrial trial: Int) -> Int { nodesOfTrial[trial].last { nodes[$0].stage.makesModel }! }
}

extension SweepSubmission {
  /// The same submission always has the same name.
  public var sweepID: SweepID {
    SweepID(spec.name + "-" + JobKey(hashing: canonicalValue.canonicalJSON).short)
  }

  private var canonicalValue: PlainValue {
    var members: [String: PlainValue] = [
      "name": .string(spec.name), "dataset": .string(dataset.digest.description),
      "files": .object(files.mapValues { .string($0.digest.description) }),
      "grid": .object([
        "backbone": .array(spec.grid.backbone.map { .string($0) }),
        "optimizer": .array(spec.grid.optimizer.map { .string($0) }),
        "seed": .array(spec.grid.seed.map { .int($0) }),
        "sparsity_rate": .array(spec.grid.sparsityRate.map { .double($0) }),
        "prune_ratio": .array(spec.grid.pruneRatio.map { .double($0) }),
      ]),
      "objectives": .array(spec.objectives.map { .string($0.description) }),
    ]
    members.merge(spec.common.values) { own, _ in own }
    for stage in Stage.allCases {
      var values = spec.stages[stage].values
      // The names of sweeps with these stages are older than the settings of the others.
      let isNamed = [.train, .sparsify, .finetune, .benchmark].contains(stage)
      guard isNamed || values != StageChoices()[stage].values else { continue }
      if spec.stages[stage].epochs > 0 { values["hyp"] = values["hyp"] ?? .null }
      members[stage.rawValue] = .object(values)
    }
    return .object(members)
  }

  func inputs(of stage: Stage, in trial: Trial) -> [InputRole: ArtifactReference] {
    let backbone = trial.backbone
    var inputs: [InputRole: ArtifactReference] = [:]
    if stage.needsDataset { inputs[.dataset] = dataset }
    if stage == .train, let weights = spec.train.weights[backbone] { inputs[.weights] = files[weights] }
    if stage == .train, SettingRule.isYAML(backbone) { inputs[.network] = files[backbone] }
    if let hyp = spec.stages[stage].values["hyp"]?.string { inputs[.hyp] = files[hyp] }
    let teacher = spec.finetune.distill
    if stage == .finetune, trial.pruneRatio > 0, SettingRule.isFile(teacher) { inputs[.teacher] = files[teacher] }
    return inputs
  }
}

extension StageTree.Node {
  fileprivate var step: TrialStep { TrialStep(stage, round) }
}

extension SweepSpec {
  /// Each setting gets its value where it says.
  fileprivate func values(of step: TrialStep, in trial: Trial) -> [String: PlainValue] {
    let chosen = stages[step.stage]
    let (own, point) = (chosen.values, trial.point)
    var values: [String: PlainValue] = [:]
    for setting in chosen.settings {
      values[setting.key] =
        switch setting.source {
        case .here: own[setting.key]
        case .sweep: common.values[setting.key]
        case .trial: point[setting.key]
        case .plan, .step: nil
        }
    }
    // A file is an input, which counts by its content.
    if let hyp = values["hyp"]?.string, SettingRule.isFile(hyp) { values["hyp"] = nil }
    if let teacher = values["distill"]?.string {
      if SettingRule.isFile(teacher) { values["distill"] = .string(FinetuneStage.fileTeacher) }
      if trial.pruneRatio == 0 { values["distill"] = nil }
    }
    if step.stage == .prune { narrow(&values, to: step.round, in: trial) }
    if isGradual { adapt(&values, of: step.stage, in: trial) }
    return values
  }

  /// Sets what each stage does under the policy `gradual`.
  private func adapt(_ values: inout [String: PlainValue], of stage: Stage, in trial: Trial) {
    switch stage {
    case .sparsify:
      values["target"] = .double(trial.pruneRatio)
      for key in ["importance", "min_channels", "round_to"] { values[key] = stages.prune.values[key] }
    case .finetune where trial.pruneRatio == 0: values["epochs"] = .int(stages.sparsify.epochs + stages.finetune.epochs)
    case .train, .prune, .finetune, .evaluate, .benchmark: break
    }
  }

  private func narrow(_ values: inout [String: PlainValue], to round: Int, in trial: Trial) {
    let (prune, rounds) = (stages.prune, stages.prune.rounds)
    if prune.importance != .random { values["seed"] = nil }
    values["prune_ratio"] = prune.hasTarget ? nil : .double(trial.pruneRatio(inRound: round, of: rounds))
    if prune.hasTarget, rounds > 1 { values["rounds_left"] = .int(rounds - round + 1) }
  }
}

extension SweepSpec {
  /// Whether channels fade out during sparsity training.
  var isGradual: Bool { stages.prune.policy == .gradual }
}

extension Choices<PruneStage> {
  var hasTarget: Bool { self.targetParameters != nil || self.targetGFLOPs != nil }
}

private struct Builder {
  let submission: SweepSubmission
  let sweep: SweepID
  let trials: [Trial]
  var trialIDs: [TrialID] = []
  var nodes: [StageTree.Node] = []
  var nodesOfTrial: [[Int]] = []
  private var nodeOfKey: [JobKey: Int] = [:]
  private var takenIDs: Set<String> = []

  init(_ submission: SweepSubmission) {
    self.submission = submission
    sweep = submission.sweepID
    trials = submission.spec.trials
  }

  mutating func add(_ index: Int) {
    trialIDs.append(shortID(of: trials[index]))
    nodesOfTrial.append(path(ofTrial: index))
  }

  /// The trial's nodes in the order of its stages.
  private mutating func path(ofTrial index: Int) -> [Int] {
    let (spec, trial) = (submission.spec, trials[index])
    let isTaught = trial.pruneRatio > 0 && spec.finetune.distill == FinetuneStage.unprunedTeacher
    var teacher = isTaught ? unprunedModel(besideTrial: index) : nil
    var path: [Int] = []
    var model: Int?
    for step in trial.steps(of: spec) {
      // Without an unpruned trial, the last model that has all channels teaches.
      if isTaught, teacher == nil, step == TrialStep(spec.isGradual ? .sparsify : .prune) { teacher = model }
      let node = node(step, parent: model, teacher: step.stage == .finetune ? teacher : nil, trial: index)
      path.append(node)
      if step.stage.makesModel { model = node }
    }
    return path
  }

  /// The node that gives the outcome of the trial which differs from this one only in that it is not pruned; nil if the
  /// grid has none.
  private mutating func unprunedModel(besideTrial index: Int) -> Int? {
    let ratios = submission.spec.grid.pruneRatio
    guard let unpruned = ratios.firstIndex(of: 0) else { return nil }
    return path(ofTrial: index - index % ratios.count + unpruned).last { nodes[$0].stage.makesModel }
  }

  private mutating func node(_ step: TrialStep, parent: Int?, teacher: Int?, trial: Int) -> Int {
    let key = JobKey(hashing: identity(of: step, parent: parent, teacher: teacher, trial: trials[trial]).canonicalJSON)
    if let known = nodeOfKey[key] { return known }
    let cost = submission.spec.stages[step.stage].cost
    nodes.append(
      StageTree.Node(
        key: key, stage: step.stage, round: step.round, parent: parent, teacher: teacher, trial: trial,
        remainingCost: cost))
    nodeOfKey[key] = nodes.count - 1
    return nodes.count - 1
  }

  private func identity(of step: TrialStep, parent: Int?, teacher: Int?, trial: Trial) -> PlainValue {
    let stage = step.stage
    let inputs = submission.inputs(of: stage, in: trial)
    var members: [String: PlainValue] = [
      "stage": .string(stage.rawValue),
      "configuration": .object(submission.spec.values(of: step, in: trial)),
      "inputs": .object(
        Dictionary(uniqueKeysWithValues: inputs.map { ($0.key.rawValue, .string($0.value.digest.description)) })),
    ]
    if let parent { members["parent"] = .string(nodes[parent].key.description) }
    if let teacher { members["teacher"] = .string(nodes[teacher].key.description) }
    // Latencies of one sweep come from one box, which another sweep may not share.
    if stage == .benchmark { members["sweep"] = .string(sweep.name) }
    return .object(members)
  }

  /// Eight digits, or sixteen for a trial whose eight are taken already (likely only among tens of thousands).
  private mutating func shortID(of trial: Trial) -> TrialID {
    let digits = FNV1a.hash128(PlainValue.object(trial.point).canonicalJSON.utf8).hexDigits
    let short = String(digits.prefix(8))
    let id = takenIDs.insert(short).inserted ? short : String(digits.prefix(16))
    takenIDs.insert(id)
    return TrialID(id)
  }

  /// Children come after parents, so one pass from the back suffices.
  mutating func sumCosts() {
    var below = [Int](repeating: 0, count: nodes.count)
    for index in nodes.indices.reversed() {
      nodes[index].remainingCost += below[index]
      for source in nodes[index].sources { below[source] = max(below[source], nodes[index].remainingCost) }
    }
  }
}
