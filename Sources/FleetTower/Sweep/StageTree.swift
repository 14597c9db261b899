import JSON

/// A sweep's trials laid over each other: stages that agree on everything which determines their result are one node.
///
/// A node's key is the hash of its stage, its configuration, its files and its parent's key, so the key of a stage
/// names the whole chain that leads to it. Keys are kept in journals: what they are made of must not change.
public struct StageTree: Sendable {
  public struct Node: Hashable, Sendable {
    public let key: JobKey
    public let stage: Stage
    /// Of pruning and fine-tuning, from 1.
    public let round: Int
    /// Index of the node whose model this one starts from.
    public let parent: Int?
    /// Index of the first trial that takes this node.
    public let trial: Int
    /// Work on the longest way from this node's start to a leaf, in tenths of an epoch.
    public fileprivate(set) var remainingCost: Int
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

  /// The values handed to the stage's process: those that determine its result, and no others.
  public func configuration(of node: Int) -> [String: PlainValue] {
    submission.spec.configuration(of: nodes[node].step, in: trials[nodes[node].trial])
  }

  /// The files the node needs besides its parent's model.
  public func inputs(of node: Int) -> [InputRole: ArtifactReference] {
    submission.inputs(of: nodes[node].stage, backbone: trials[nodes[node].trial].backbone)
  }

  /// The node whose model is the trial's outcome.
  public func modelNode(ofTrial trial: Int) -> Int { nodesOfTrial[trial].last { nodes[$0].stage.makesModel }! }
}

extension SweepSubmission {
  /// The same submission always has the same name.
  public var sweepID: SweepID {
    SweepID(spec.name + "-" + String(contentHash(canonicalValue.canonicalJSON).hexDigits.prefix(8)))
  }

  private var canonicalValue: PlainValue {
    func stage(
      _ epochs: Int, _ hyp: String?, _ patience: Int, _ choices: SweepSpec.TrainingChoices?
    ) -> [String: PlainValue] {
      let common: [String: PlainValue] = [
        "epochs": .int(epochs), "hyp": hyp.map { .string($0) } ?? .null, "patience": .int(patience),
      ]
      return common.merging(choices?.values ?? [:]) { own, _ in own }
    }
    var train = stage(spec.train.epochs, spec.train.hyp, spec.train.patience, spec.train.choices)
    train["weights"] = .object(spec.train.weights.mapValues { .string($0) })
    var members: [String: PlainValue] = [
      "name": .string(spec.name), "dataset": .string(dataset.digest.description),
      "files": .object(files.mapValues { .string($0.digest.description) }),
      "image_size": .int(spec.imageSize), "batch_size": .int(spec.batchSize),
      "nominal_batch_size": .int(spec.nominalBatchSize),
      "grid": .object([
        "backbone": .array(spec.grid.backbone.map { .string($0) }),
        "optimizer": .array(spec.grid.optimizer.map { .string($0) }),
        "seed": .array(spec.grid.seed.map { .int($0) }),
        "sparsity_rate": .array(spec.grid.sparsityRate.map { .double($0) }),
        "prune_ratio": .array(spec.grid.pruneRatio.map { .double($0) }),
      ]),
      "train": .object(train),
      "sparsify": .object(
        stage(
          spec.sparsify.epochs, spec.sparsify.hyp, spec.sparsify.patience, spec.sparsify.choices)),
      "finetune": .object(
        stage(
          spec.finetune.epochs, spec.finetune.hyp, spec.finetune.patience, spec.finetune.choices)),
      "benchmark": .object([
        "iterations": .int(spec.benchmark.iterations), "threads": .int(spec.benchmark.threads),
      ]),
      "objectives": .array(spec.objectives.map { .string($0.description) }),
    ]
    // Only where something is chosen, so that names given before there was a choice stay.
    if spec.prune != SweepSpec.PruneStage() {
      members["prune"] = .object(spec.prune.choices.merging(["rounds": .int(spec.prune.rounds)]) { own, _ in own })
    }
    return .object(members)
  }

  func inputs(of stage: Stage, backbone: String) -> [InputRole: ArtifactReference] {
    var inputs: [InputRole: ArtifactReference] = [:]
    if [.train, .sparsify, .finetune, .evaluate].contains(stage) { inputs[.dataset] = dataset }
    if stage == .train, let weights = spec.train.weights[backbone] { inputs[.weights] = files[weights] }
    if stage == .train, SweepSpec.isModelFile(backbone) { inputs[.network] = files[backbone] }
    if let hyp = spec.hyp(of: stage) { inputs[.hyp] = files[hyp] }
    return inputs
  }
}

extension StageTree.Node {
  fileprivate var step: Step { Step(stage, round) }
}

extension SweepSpec.PruneStage {
  /// What is set, by the sweep file's keys.
  fileprivate var choices: [String: PlainValue] {
    var values: [String: PlainValue] = [:]
    values["policy"] = policy.map { .string($0) }
    values["importance"] = importance.map { .string($0) }
    values["min_channels"] = minimumChannels.map { .int($0) }
    values["round_to"] = roundTo.map { .int($0) }
    values["target_parameters"] = targetParameters.map { .int($0) }
    values["target_gflops"] = targetGFLOPs.map { .double($0) }
    return values
  }
}

extension SweepSpec.TrainingChoices {
  /// What is chosen, by the sweep file's keys: where nothing is, keys are what they were before there was a choice.
  fileprivate var values: [String: PlainValue] {
    var values: [String: PlainValue] = [:]
    values["freeze"] = freeze.map { .array($0.map { .int($0) }) }
    values["image_weights"] = imageWeights.map { .bool($0) }
    values["multi_scale"] = multiScale.map { .bool($0) }
    values["rect"] = rect.map { .bool($0) }
    return values
  }
}

extension SweepSpec {
  fileprivate func hyp(of stage: Stage) -> String? {
    switch stage {
    case .train: train.hyp
    case .sparsify: sparsify.hyp
    case .finetune: finetune.hyp
    case .prune, .evaluate, .benchmark: nil
    }
  }

  fileprivate func configuration(of step: Step, in trial: Trial) -> [String: PlainValue] {
    var values: [String: PlainValue] = [:]
    let stage = step.stage
    switch stage {
    case .train, .sparsify, .finetune:
      values = [
        "backbone": .string(trial.backbone), "optimizer": .string(trial.optimizer), "seed": .int(trial.seed),
        "image_size": .int(imageSize), "batch_size": .int(batchSize), "nominal_batch_size": .int(nominalBatchSize),
      ]
      let (epochs, patience, choices) =
        switch stage {
        case .train: (train.epochs, train.patience, train.choices)
        case .sparsify: (sparsify.epochs, sparsify.patience, sparsify.choices)
        default: (finetune.epochs, finetune.patience, finetune.choices)
        }
      if let choices { values.merge(choices.values) { own, _ in own } }
      values["epochs"] = .int(epochs)
      values["patience"] = .int(patience)
      if let hyp = hyp(of: stage), !SweepSpec.isFile(hyp) { values["hyp"] = .string(hyp) }
      if stage == .sparsify { values["sparsity_rate"] = .double(trial.sparsityRate) }
    case .prune:
      values = prune.choices
      values["backbone"] = .string(trial.backbone)
      if prune.importance == "random" { values["seed"] = .int(trial.seed) }
      if !prune.hasTarget {
        values["prune_ratio"] = .double(trial.pruneRatio(inRound: step.round, of: prune.rounds))
      } else if prune.rounds > 1 {
        values["rounds_left"] = .int(prune.rounds - step.round + 1)
      }
    case .evaluate:
      values = ["image_size": .int(imageSize), "batch_size": .int(batchSize)]
    case .benchmark:
      values = [
        "image_size": .int(imageSize), "iterations": .int(benchmark.iterations), "threads": .int(benchmark.threads),
      ]
    }
    return values
  }

  /// Rough work of one stage in tenths of an epoch: enough to start long chains first.
  fileprivate func cost(of stage: Stage) -> Int {
    switch stage {
    case .train: train.epochs * 10
    case .sparsify: sparsify.epochs * 10
    case .finetune: finetune.epochs * 10
    case .prune: 1
    case .evaluate, .benchmark: 5
    }
  }
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
    let trial = trials[index]
    trialIDs.append(shortID(of: trial))
    var path: [Int] = []
    var model: Int?
    for step in trial.steps(of: submission.spec) {
      let node = node(step, parent: model, trial: index)
      path.append(node)
      if step.stage.makesModel { model = node }
    }
    nodesOfTrial.append(path)
  }

  private mutating func node(_ step: Step, parent: Int?, trial: Int) -> Int {
    let key = JobKey(hashing: identity(of: step, parent: parent, trial: trials[trial]).canonicalJSON)
    if let known = nodeOfKey[key] { return known }
    let cost = submission.spec.cost(of: step.stage)
    nodes.append(
      StageTree.Node(
        key: key, stage: step.stage, round: step.round, parent: parent, trial: trial, remainingCost: cost))
    nodeOfKey[key] = nodes.count - 1
    return nodes.count - 1
  }

  private func identity(of step: Step, parent: Int?, trial: Trial) -> PlainValue {
    let stage = step.stage
    let inputs = submission.inputs(of: stage, backbone: trial.backbone)
    var members: [String: PlainValue] = [
      "stage": .string(stage.rawValue),
      "configuration": .object(submission.spec.configuration(of: step, in: trial)),
      "inputs": .object(
        Dictionary(uniqueKeysWithValues: inputs.map { ($0.key.rawValue, .string($0.value.digest.description)) })),
    ]
    if let parent { members["parent"] = .string(nodes[parent].key.description) }
    // Latencies of one sweep come from one box, which another sweep may not share.
    if stage == .benchmark { members["sweep"] = .string(sweep.name) }
    return .object(members)
  }

  /// Eight digits, or sixteen for a trial whose eight are taken already (likely only among tens of thousands).
  private mutating func shortID(of trial: Trial) -> TrialID {
    let digits = contentHash(PlainValue.object(trial.point).canonicalJSON).hexDigits
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
      if let parent = nodes[index].parent { below[parent] = max(below[parent], nodes[index].remainingCost) }
    }
  }
}
