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
  private let stages: TrialStages

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
    stages = builder.stages
  }

  /// Returns the configuration for the stage's process: the settings that determine its result, and nothing else.
  public func configuration(of node: Int) -> StageConfiguration {
    StageConfiguration(nodes[node].stage, stages.settings(of: nodes[node].step, in: trials[nodes[node].trial]))
  }

  /// Returns the axes that the node depends on, for people: `yolov5n SGD sparsity 0.0001 prune 0.3`.
  public func title(of node: Int) -> String { stages.title(of: nodes[node].step, in: trials[nodes[node].trial]) }

  /// The files the node needs besides its sources' models.
  public func inputs(of node: Int) -> [InputRole: ArtifactReference] {
    stages.inputs(of: nodes[node].stage, in: trials[nodes[node].trial])
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
}

extension StageTree.Node {
  fileprivate var step: TrialStep { TrialStep(stage, round) }
}

private struct Builder {
  let submission: SweepSubmission
  let sweep: SweepID
  let trials: [Trial]
  let stages: TrialStages
  var trialIDs: [TrialID] = []
  var nodes: [StageTree.Node] = []
  var nodesOfTrial: [[Int]] = []
  private var nodeOfKey: [JobKey: Int] = [:]
  private var takenIDs: Set<String> = []

  init(_ submission: SweepSubmission) {
    self.submission = submission
    sweep = submission.sweepID
    trials = submission.spec.trials
    stages = TrialStages(submission)
  }

  mutating func add(_ index: Int) {
    trialIDs.append(shortID(of: trials[index]))
    nodesOfTrial.append(path(ofTrial: index))
  }

  /// The trial's nodes in the order of its stages.
  private mutating func path(ofTrial index: Int) -> [Int] {
    let trial = trials[index]
    let isTaught = stages.isTaught && trial.pruneRatio > 0
    var teacher = isTaught ? unprunedModel(besideTrial: index) : nil
    var path: [Int] = []
    var model: Int?
    for step in stages.steps(of: trial) {
      // Without an unpruned trial, the last model that has all channels teaches.
      if isTaught, teacher == nil, step == TrialStep(stages.isGradual ? .sparsify : .prune) { teacher = model }
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
    let cost = stages.cost(of: step.stage)
    nodes.append(
      StageTree.Node(
        key: key, stage: step.stage, round: step.round, parent: parent, teacher: teacher, trial: trial,
        remainingCost: cost))
    nodeOfKey[key] = nodes.count - 1
    return nodes.count - 1
  }

  private func identity(of step: TrialStep, parent: Int?, teacher: Int?, trial: Trial) -> PlainValue {
    let stage = step.stage
    let inputs = stages.inputs(of: stage, in: trial)
    var members: [String: PlainValue] = [
      "stage": .string(stage.rawValue),
      "configuration": .object(stages.settings(of: step, in: trial)),
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
