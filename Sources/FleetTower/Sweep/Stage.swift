import JSON
import Settings

/// One step of a trial, in the order trials take them.
public enum Stage: String, CaseIterable, Hashable, Sendable, Codable, Comparable {
  case train, sparsify, prune, finetune, evaluate, benchmark

  public static func < (a: Stage, b: Stage) -> Bool { a.position < b.position }
  private var position: Int { Stage.allCases.firstIndex(of: self)! }

  /// Stages whose result is a model that later stages start from. The others measure it.
  public var makesModel: Bool { self < .evaluate }

  /// Whether it computes with the images of the data set.
  var needsDataset: Bool { self != .prune && self != .benchmark }
}

/// A stage and what was chosen of its settings: all that determines its result besides its files. Written as the
/// members `stage` and `configuration` of a message or a request.
public enum StageConfiguration: Hashable, Sendable {
  case train(Choices<TrainStage>)
  case sparsify(Choices<SparsifyStage>)
  case prune(Choices<PruneStage>)
  case finetune(Choices<FinetuneStage>)
  case evaluate(Choices<EvaluateStage>)
  case benchmark(Choices<BenchmarkStage>)

  public init(_ stage: Stage, _ values: [String: PlainValue]) {
    switch stage {
    case .train: self = .train(Choices(values))
    case .sparsify: self = .sparsify(Choices(values))
    case .prune: self = .prune(Choices(values))
    case .finetune: self = .finetune(Choices(values))
    case .evaluate: self = .evaluate(Choices(values))
    case .benchmark: self = .benchmark(Choices(values))
    }
  }

  /// The stage and its choices.
  private var parts: (stage: Stage, choices: any AnyChoices) {
    switch self {
    case .train(let choices): (.train, choices)
    case .sparsify(let choices): (.sparsify, choices)
    case .prune(let choices): (.prune, choices)
    case .finetune(let choices): (.finetune, choices)
    case .evaluate(let choices): (.evaluate, choices)
    case .benchmark(let choices): (.benchmark, choices)
    }
  }

  public var stage: Stage { parts.stage }
  public var values: [String: PlainValue] { parts.choices.values }
  /// The first value that is wrong, in words; nil if all are right.
  public var problem: String? { parts.choices.problem }
  /// Settings that only a newer version of the program knows.
  public var unknownKeys: [String] { parts.choices.unknownKeys }
  public var settings: [any AnySetting] { type(of: parts.choices).settings }

  /// 0 where there are none.
  public var epochs: Int {
    switch self {
    case .train(let choices): choices.epochs
    case .sparsify(let choices): choices.epochs
    case .finetune(let choices): choices.epochs
    case .prune, .evaluate, .benchmark: 0
    }
  }

  /// Rough work in tenths of an epoch: enough to start long chains first.
  var cost: Int { epochs > 0 ? epochs * 10 : stage.makesModel ? 1 : 5 }
}

/// The settings that a sweep chooses for each stage.
public struct StageChoices: Hashable, Sendable {
  public var train = Choices<TrainStage>()
  public var sparsify = Choices<SparsifyStage>()
  public var prune = Choices<PruneStage>()
  public var finetune = Choices<FinetuneStage>()
  public var evaluate = Choices<EvaluateStage>()
  public var benchmark = Choices<BenchmarkStage>()

  public init() {}

  public subscript(stage: Stage) -> StageConfiguration {
    switch stage {
    case .train: .train(train)
    case .sparsify: .sparsify(sparsify)
    case .prune: .prune(prune)
    case .finetune: .finetune(finetune)
    case .evaluate: .evaluate(evaluate)
    case .benchmark: .benchmark(benchmark)
    }
  }

  mutating func set(_ configuration: StageConfiguration) {
    switch configuration {
    case .train(let choices): train = choices
    case .sparsify(let choices): sparsify = choices
    case .prune(let choices): prune = choices
    case .finetune(let choices): finetune = choices
    case .evaluate(let choices): evaluate = choices
    case .benchmark(let choices): benchmark = choices
    }
  }
}

/// A stage in its place in a trial.
struct TrialStep: Hashable, Sendable {
  let stage: Stage
  /// The round of pruning and fine-tuning, from 1.
  let round: Int

  init(_ stage: Stage, _ round: Int = 1) {
    self.stage = stage
    self.round = round
  }
}

extension TrialStages {
  /// Returns the steps that a trial takes. `benchmark` runs only where an objective needs it.
  ///
  /// With the policy `gradual`, channels fade out during `sparsify`, and a trial that is not pruned trains as many
  /// epochs in `finetune` instead, so that all trials compare. With the others, a sparsity rate of 0 leaves `sparsify`
  /// out, and a prune ratio of 0 leaves out `prune` and `finetune`.
  func steps(of trial: Trial) -> [TrialStep] {
    let isPruned = trial.pruneRatio > 0
    var steps = [TrialStep(.train)]
    if isGradual {
      if isPruned {
        steps += [TrialStep(.sparsify), TrialStep(.prune), TrialStep(.finetune)]
      } else if isAnyTrialPruned {
        steps.append(TrialStep(.finetune))
      }
    } else {
      if trial.sparsityRate > 0 { steps.append(TrialStep(.sparsify)) }
      if isPruned {
        for round in 1...rounds { steps += [TrialStep(.prune, round), TrialStep(.finetune, round)] }
      }
    }
    steps.append(TrialStep(.evaluate))
    if isBenchmarked { steps.append(TrialStep(.benchmark)) }
    return steps
  }
}

/// The purpose of a file that is given to a stage.
public enum InputRole: String, CaseIterable, Hashable, Sendable, Codable, Comparable {
  /// The packed data set.
  case dataset
  /// Weights that training starts from; names that do not fit the network are left out.
  case weights
  /// A YOLOv5 hyper-parameter file, where the configuration's `hyp` does not name a built-in set.
  case hyp
  /// A YOLOv5 model file, where the backbone is one.
  case network
  /// The parent job's model.
  case model
  /// The model from whose predictions fine-tuning learns besides the labels.
  case teacher
  /// The checkpoint this stage goes on from.
  case resume

  public static func < (a: InputRole, b: InputRole) -> Bool { a.rawValue < b.rawValue }
}

/// The purpose of a file that a stage makes.
public enum OutputRole: String, CaseIterable, Hashable, Sendable, Codable, Comparable {
  /// The model that child jobs start from and that `pull` hands out.
  case model
  /// Figures in JSON: per class, per layer.
  case report
  /// One line per epoch, as YOLOv5's `results.csv`.
  case epochs
  /// The text that the stage's process printed.
  case log

  public static func < (a: OutputRole, b: OutputRole) -> Bool { a.rawValue < b.rawValue }
}
