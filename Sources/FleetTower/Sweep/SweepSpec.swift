/// What a sweep file says, with every default filled in.
public struct SweepSpec: Hashable, Sendable, Codable {
  public var name: String
  /// Path of the YOLOv5 `data.yaml`, relative to the sweep file.
  public var dataset: String
  /// Side in pixels of the square that images are letterboxed to.
  public var imageSize: Int
  public var batchSize: Int
  /// Images an optimizer step stands for; gradients of smaller batches are accumulated.
  public var nominalBatchSize: Int
  public var grid: Grid
  public var train: TrainStage
  public var sparsify: EpochStage
  public var prune: PruneStage
  public var finetune: EpochStage
  public var benchmark: BenchmarkStage
  public var objectives: [Objective]
  /// Among sweeps that wait for slots, higher goes first. Not part of what the sweep is: submitting it again with
  /// another one changes it. nil leaves it as it is, which is 0 at first.
  public var priority: Int?

  public static let priorityRange = -1_000...1_000
  /// What attempts may use, by the stage's name. Not part of what the sweep is: submitting it again with other limits
  /// changes them.
  public var limits: [String: StageLimits]?

  /// The axes. A trial takes one value of each; the last axis varies fastest.
  public struct Grid: Hashable, Sendable, Codable {
    public var backbone: [String]
    public var optimizer: [String]
    public var seed: [Int]
    /// Weight of the L1 penalty on batch-norm gammas; 0 leaves the `sparsify` stage out.
    public var sparsityRate: [Double]
    /// Fraction of prunable channels to remove, in [0, 1); 0 leaves `prune` and `finetune` out.
    public var pruneRatio: [Double]

    public init(
      backbone: [String] = ["yolov5s"], optimizer: [String] = ["SGD"], seed: [Int] = [0],
      sparsityRate: [Double] = [0.0001], pruneRatio: [Double] = [0.3]
    ) {
      self.backbone = backbone
      self.optimizer = optimizer
      self.seed = seed
      self.sparsityRate = sparsityRate
      self.pruneRatio = pruneRatio
    }
  }

  /// `sparsify` and `finetune`.
  public struct EpochStage: Hashable, Sendable, Codable {
    public var epochs: Int
    /// A built-in set's name or a file's path; nil takes the stage's own.
    public var hyp: String?
    /// Epochs without a better fitness after which training stops; 0 never does.
    public var patience: Int
    /// nil: nothing is chosen.
    public var choices: TrainingChoices?

    public init(epochs: Int, hyp: String? = nil, patience: Int = 0, choices: TrainingChoices? = nil) {
      self.epochs = epochs
      self.hyp = hyp
      self.patience = patience
      self.choices = choices
    }
  }

  /// What may be chosen about epochs besides hyper-parameters, under YOLOv5's names; nil is its default.
  public struct TrainingChoices: Hashable, Sendable, Codable {
    /// Layers whose learned parameters stay.
    public var freeze: [Int]?
    public var imageWeights: Bool?
    public var multiScale: Bool?
    public var rect: Bool?

    public init(freeze: [Int]? = nil, imageWeights: Bool? = nil, multiScale: Bool? = nil, rect: Bool? = nil) {
      self.freeze = freeze
      self.imageWeights = imageWeights
      self.multiScale = multiScale
      self.rect = rect
    }

    var isEmpty: Bool { self == TrainingChoices() }
  }

  public struct TrainStage: Hashable, Sendable, Codable {
    public var epochs: Int
    public var hyp: String?
    public var patience: Int
    /// Files with weights to start from, by backbone; a backbone without an entry starts from its initial weights.
    public var weights: [String: String]
    public var choices: TrainingChoices?

    public init(
      epochs: Int = 100, hyp: String? = nil, patience: Int = 0, weights: [String: String] = [:],
      choices: TrainingChoices? = nil
    ) {
      self.epochs = epochs
      self.hyp = hyp
      self.patience = patience
      self.weights = weights
      self.choices = choices
    }
  }

  /// How channels are chosen; what is nil is left to the stage's default.
  public struct PruneStage: Hashable, Sendable, Codable {
    /// `study` or `grouped`; by default the study's where it applies.
    public var policy: String?
    /// What scores a channel; by default `gamma`.
    public var importance: String?
    /// What every layer keeps; by default a ratio that would empty one fails.
    public var minimumChannels: Int?
    /// Layers keep multiples of it.
    public var roundTo: Int?
    /// How often a trial is pruned and fine-tuned: each round cuts an equal part of what is to go.
    public var rounds: Int
    /// What the pruned network may have at most; takes the place of the ratio.
    public var targetParameters: Int?
    /// For an image of 640 × 640; takes the place of the ratio.
    public var targetGFLOPs: Double?

    public init(
      policy: String? = nil, importance: String? = nil, minimumChannels: Int? = nil, roundTo: Int? = nil,
      rounds: Int = 1, targetParameters: Int? = nil, targetGFLOPs: Double? = nil
    ) {
      self.policy = policy
      self.importance = importance
      self.minimumChannels = minimumChannels
      self.roundTo = roundTo
      self.rounds = rounds
      self.targetParameters = targetParameters
      self.targetGFLOPs = targetGFLOPs
    }

    public var hasTarget: Bool { targetParameters != nil || targetGFLOPs != nil }
  }

  public struct BenchmarkStage: Hashable, Sendable, Codable {
    /// Timed passes over one image; the median counts.
    public var iterations: Int
    public var threads: Int

    public init(iterations: Int = 100, threads: Int = 1) {
      self.iterations = iterations
      self.threads = threads
    }
  }

  public init(
    name: String, dataset: String, imageSize: Int = 640, batchSize: Int = 16, nominalBatchSize: Int = 64,
    grid: Grid = Grid(),
    train: TrainStage = TrainStage(), sparsify: EpochStage = EpochStage(epochs: 50),
    prune: PruneStage = PruneStage(),
    finetune: EpochStage = EpochStage(epochs: 100), benchmark: BenchmarkStage = BenchmarkStage(),
    objectives: [Objective] = [Objective(.maximize, .map50), Objective(.minimize, .sizeMB)], priority: Int? = nil,
    limits: [String: StageLimits]? = nil
  ) {
    self.name = name
    self.dataset = dataset
    self.imageSize = imageSize
    self.batchSize = batchSize
    self.nominalBatchSize = nominalBatchSize
    self.grid = grid
    self.train = train
    self.sparsify = sparsify
    self.prune = prune
    self.finetune = finetune
    self.benchmark = benchmark
    self.objectives = objectives
    self.priority = priority
    self.limits = limits
  }

  /// The files a submission must bring along besides the data set: weights, hyper-parameters and model files, sorted,
  /// each once.
  public var files: [String] { Set(namedFiles).sorted() }

  private var namedFiles: [String] {
    let hyps = [train.hyp, sparsify.hyp, finetune.hyp].compactMap { $0 }.filter(SweepSpec.isFile)
    return hyps + train.weights.values + grid.backbone.filter(SweepSpec.isModelFile)
  }

  /// A backbone that is a YAML file describes itself; any other is a name.
  static func isModelFile(_ backbone: String) -> Bool { backbone.hasSuffix(".yaml") || backbone.hasSuffix(".yml") }

  /// A `hyp` that looks like a path is one; any other word is the name of a built-in set.
  static func isFile(_ hyp: String) -> Bool { hyp.contains("/") || hyp.hasSuffix(".yaml") || hyp.hasSuffix(".yml") }
}

/// A spec and the artifacts it speaks of: what an operator submits.
public struct SweepSubmission: Hashable, Sendable, Codable {
  public var spec: SweepSpec
  /// The packed data set.
  public var dataset: ArtifactReference
  /// The spec's `files`, by the path written in the spec.
  public var files: [String: ArtifactReference]
  /// What whoever reads the results must know about the data set, one line each: images that were left out. They are
  /// not part of what the sweep is. nil: nothing.
  public var remarks: [String]?

  public init(spec: SweepSpec, dataset: ArtifactReference, files: [String: ArtifactReference] = [:]) {
    self.spec = spec
    self.dataset = dataset
    self.files = files
  }

  /// All artifacts that must be in the store before the sweep may start.
  public var artifacts: [ArtifactReference] { [dataset] + files.keys.sorted().map { files[$0]! } }
}

extension SweepSubmission {
  private static let remarkLimit = (count: 16, bytes: 2_048)

  /// What is wrong with it, if anything: asked again of every submission that arrives, whoever read its file.
  public var problem: String? {
    if let problem = spec.problem { return problem }
    if let path = spec.files.first(where: { files[$0] == nil }) { return "the file \(path) was not submitted" }
    if let remarks,
      remarks.count > Self.remarkLimit.count
        || remarks.contains(where: { $0.utf8.count > Self.remarkLimit.bytes })
    {
      return "at most \(Self.remarkLimit.count) remarks of \(Self.remarkLimit.bytes) bytes"
    }
    return nil
  }
}

extension SweepSpec {
  /// A grid with more trials is taken for a mistake.
  public static let trialLimit = 1_000_000

  /// Stages of all trials, shared ones counted once for each: what the coordinator must hold.
  static let stageLimit = 10_000_000
  /// Bytes of any name or path in it.
  static let textLimit = 1_024
  static let objectiveLimit = 16

  static let nameRule = "the name must be 1 to 64 letters, digits, dots, dashes and underscores"

  static func isName(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
          || [UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ".")].contains(byte)
      }
  }

  var problem: String? {
    if !SweepSpec.isName(name) { return SweepSpec.nameRule }
    guard let trialCount, trialCount <= SweepSpec.trialLimit else {
      return "the grid has more than \(SweepSpec.trialLimit) trials"
    }
    if trialCount == 0 { return "a grid axis is empty" }
    if let problem = prune.problem { return problem }
    if trialCount * (4 + 2 * prune.rounds) > SweepSpec.stageLimit {
      return "the grid has more than \(SweepSpec.stageLimit) stages"
    }
    if texts.contains(where: { $0.utf8.count > SweepSpec.textLimit }) {
      return "a name or path has more than \(SweepSpec.textLimit) bytes"
    }
    // `files` would take them for one.
    if Set(namedFiles).count < Set(namedFiles.map { Array($0.utf8) }).count {
      return "the names of two files differ only in how a letter is encoded; rename one of them"
    }
    if objectives.isEmpty { return "there is no objective" }
    if objectives.count > SweepSpec.objectiveLimit {
      return "there are more than \(SweepSpec.objectiveLimit) objectives"
    }
    if !grid.sparsityRate.allSatisfy({ $0 >= 0 && $0.isFinite }) { return "a sparsity rate must not be negative" }
    if !grid.pruneRatio.allSatisfy({ $0 >= 0 && $0 < 1 }) { return "a prune ratio must lie in [0, 1)" }
    if imageSize < 32 || imageSize > 8192 || imageSize % 32 != 0 {
      return "image_size must be a multiple of 32 from 32 to 8192"
    }
    if !(1...65_536).contains(batchSize) { return "batch_size must lie in 1...65536" }
    if !(1...65_536).contains(nominalBatchSize) { return "nominal_batch_size must lie in 1...65536" }
    if !(1...1_000_000).contains(benchmark.iterations) { return "the benchmark's iterations must lie in 1...1000000" }
    if !(1...1024).contains(benchmark.threads) { return "the benchmark's threads must lie in 1...1024" }
    if ![train.epochs, sparsify.epochs, finetune.epochs].allSatisfy((1...1_000_000).contains) {
      return "epochs must lie in 1...1000000"
    }
    if let priority, !SweepSpec.priorityRange.contains(priority) { return "a priority must lie in -1000...1000" }
    return targetProblem ?? limits?.values.lazy.compactMap(\.problem).first
  }

  private var texts: [String] {
    [name, dataset] + grid.backbone + grid.optimizer + train.weights.keys + train.weights.values
      + [train.hyp, sparsify.hyp, finetune.hyp].compactMap { $0 }
  }

  private var targetProblem: String? {
    guard prune.hasTarget, grid.pruneRatio.count(where: { $0 > 0 }) > 1 else { return nil }
    return "a target takes the place of the prune ratio, which then only says whether a trial is pruned: "
      + "give prune_ratio one value besides 0"
  }
}

extension SweepSpec.PruneStage {
  public static let policies = ["study", "grouped"]
  public static let importances = ["gamma", "weight_l1", "weight_l2", "random"]
  static let minimumChannelsRange = 1...1_000_000
  static let roundToRange = 1...1024
  static let roundsRange = 1...100

  var problem: String? {
    if let policy, !Self.policies.contains(policy) { return unknown("policy", policy, among: Self.policies) }
    if let importance, !Self.importances.contains(importance) {
      return unknown("importance", importance, among: Self.importances)
    }
    if let minimumChannels, !Self.minimumChannelsRange.contains(minimumChannels) {
      return "min_channels must lie in 1...1000000"
    }
    if let roundTo, !Self.roundToRange.contains(roundTo) { return "round_to must lie in 1...1024" }
    if !Self.roundsRange.contains(rounds) { return "rounds must lie in 1...100" }
    if targetParameters != nil, targetGFLOPs != nil { return "there are two targets; give one" }
    if targetParameters ?? 1 < 1 || !(targetGFLOPs ?? 1 > 0 && targetGFLOPs ?? 1 < .infinity) {
      return "a target must be positive"
    }
    return nil
  }
}

extension KeyedDecodingContainer {
  /// Used by the synthesized `SweepSpec.init(from:)`: journals older than the prune stage's choices have none.
  func decode(_ type: SweepSpec.PruneStage.Type, forKey key: Key) throws -> SweepSpec.PruneStage {
    try decodeIfPresent(type, forKey: key) ?? SweepSpec.PruneStage()
  }
}
