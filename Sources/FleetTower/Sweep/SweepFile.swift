import Wording
import YAML

/// The words and files that only the machine at hand knows; the executable supplies them.
public struct SweepVocabulary: Sendable {
  public var backbones: [String]
  /// Whether a name that is not among `backbones` means one of them all the same, such as `mobilenetv2-w0.5`.
  public var isVariant: @Sendable (String) -> Bool
  /// Names of built-in hyper-parameter sets.
  public var hyps: [String]
  /// Whether a path written in the sweep file (relative to its folder) leads to a file.
  public var fileExists: @Sendable (String) -> Bool

  public init(
    backbones: [String], isVariant: @escaping @Sendable (String) -> Bool = { _ in false }, hyps: [String],
    fileExists: @escaping @Sendable (String) -> Bool
  ) {
    self.backbones = backbones
    self.isVariant = isVariant
    self.hyps = hyps
    self.fileExists = fileExists
  }

  public static let optimizers = ["SGD", "Adam", "AdamW"]
}

/// Everything that is wrong with a sweep file, one `file:line: message` per line.
public struct SweepFileError: Error, Hashable, Sendable, CustomStringConvertible {
  public let problems: [YAMLError]
  /// The first of very many: nobody reads more at once.
  public var description: String {
    let more = problems.count > 40 ? ["and \(problems.count - 40) more problems"] : []
    return (problems.prefix(40).map(\.description) + more).joined(separator: "\n")
  }
}

extension SweepSpec {
  /// Reads a sweep file and checks all of it, so that whatever can be known to be wrong is said before anything runs.
  ///
  /// A list with one element may be written without brackets. What is left out takes its default, the name the file's.
  /// - Parameter file: the file's name, for errors and as default name.
  /// - Throws: `SweepFileError` with all problems, in the order of their lines.
  public init(
    parsing text: String, file: String, vocabulary: SweepVocabulary
  ) throws(SweepFileError) {
    var reader = SweepFileReader(file: file, vocabulary: vocabulary)
    let spec: SweepSpec?
    do {
      spec = reader.spec(try YAMLDocument.parse(text, file: file))
    } catch {
      throw SweepFileError(problems: [error])
    }
    if let spec, reader.problems.isEmpty, let problem = spec.problem { reader.note(problem) }
    guard let spec, reader.problems.isEmpty else {
      throw SweepFileError(problems: reader.problems.sorted { $0.line ?? 0 < $1.line ?? 0 })
    }
    self = spec
  }
}

/// Reads on after a problem, to find the others.
private struct SweepFileReader {
  let file: String
  let vocabulary: SweepVocabulary
  var problems: [YAMLError] = []

  init(file: String, vocabulary: SweepVocabulary) {
    self.file = file
    self.vocabulary = vocabulary
  }

  mutating func note(_ message: String) { problems.append(YAMLError(file: file, message: message)) }

  /// The value, or its default where it is missing or wrong.
  private mutating func read<T>(
    _ node: YAMLNode?, default: T, _ body: (YAMLNode) throws(YAMLError) -> T
  ) -> T {
    guard let node else { return `default` }
    do throws(YAMLError) { return try body(node) } catch { problems.append(error) }
    return `default`
  }

  private mutating func mapping(_ node: YAMLNode?, keys: [String]) -> YAMLMapping? {
    read(node, default: nil) { node throws(YAMLError) -> YAMLMapping? in
      if node.isNull { return nil }
      return try node.mapping
    }.map { mapping in
      do throws(YAMLError) { try mapping.requireKnownKeys(keys) } catch { problems.append(error) }
      return mapping
    }
  }

  mutating func spec(_ document: YAMLNode) -> SweepSpec? {
    let keys = [
      "name", "dataset", "image_size", "batch_size", "nominal_batch_size", "grid", "stages", "objectives", "priority",
    ]
    guard !document.isNull, let root = mapping(document, keys: keys) else {
      if problems.isEmpty { note("the file is empty; it needs at least ‘dataset’") }
      return nil
    }
    var spec = SweepSpec(name: fileStem, dataset: "")
    spec.name = read(root["name"], default: spec.name) { node throws(YAMLError) in try Self.name(node) }
    if let dataset = root["dataset"] {
      spec.dataset = path(dataset)
    } else {
      problems.append(document.error("‘dataset’ is missing: the path of a YOLOv5 data.yaml"))
    }
    spec.imageSize = read(root["image_size"], default: spec.imageSize) { node throws(YAMLError) in
      let size = try Self.int(node, in: 32...8192)
      if size % 32 != 0 { throw node.error("image_size must be a multiple of 32, the coarsest stride") }
      return size
    }
    spec.batchSize = int(root["batch_size"], default: spec.batchSize, in: 1...65_536)
    spec.nominalBatchSize = int(root["nominal_batch_size"], default: spec.nominalBatchSize, in: 1...65_536)
    readGrid(root["grid"], into: &spec)
    readStages(root["stages"], into: &spec)
    if let node = root["objectives"] { spec.objectives = objectives(node) }
    spec.priority = optionalInt(root["priority"], in: SweepSpec.priorityRange)
    return spec
  }

  private var fileStem: String {
    let name = file.split(separator: "/").last.map(String.init) ?? file
    return name.split(separator: ".").first.map(String.init) ?? name
  }

  private static func name(_ node: YAMLNode) throws(YAMLError) -> String {
    let name = try node.string
    guard SweepSpec.isName(name) else { throw node.error(SweepSpec.nameRule) }
    return name
  }

  /// A path that must lead to a file.
  private mutating func path(_ node: YAMLNode) -> String {
    let vocabulary = vocabulary
    return read(node, default: "") { node throws(YAMLError) in try Self.path(node, vocabulary) }
  }

  private static func path(_ node: YAMLNode, _ vocabulary: SweepVocabulary) throws(YAMLError) -> String {
    let path = try node.string
    guard vocabulary.fileExists(path) else {
      throw node.error("there is no file ‘\(path.shortened())’ (paths start at the sweep file's folder)")
    }
    return path
  }

  private static func int(_ node: YAMLNode, in range: ClosedRange<Int>) throws(YAMLError) -> Int {
    let value = try node.int
    guard range.contains(value) else {
      throw node.error("\(value) is outside \(range.lowerBound)…\(range.upperBound)")
    }
    return value
  }

  private mutating func int(_ node: YAMLNode?, default: Int, in range: ClosedRange<Int>) -> Int {
    read(node, default: `default`) { node throws(YAMLError) in try Self.int(node, in: range) }
  }

  private static func word(_ node: YAMLNode, among words: [String], kind: String) throws(YAMLError) -> String {
    let word = try node.string
    if words.contains(word) { return word }
    throw node.error(unknown(kind, word, among: words))
  }
}

// MARK: - Grid

extension SweepFileReader {
  private mutating func readGrid(_ node: YAMLNode?, into spec: inout SweepSpec) {
    let keys = ["backbone", "optimizer", "seed", "sparsity_rate", "prune_ratio"]
    guard let grid = mapping(node, keys: keys) else { return }
    let vocabulary = vocabulary
    spec.grid.backbone = axis(grid["backbone"], "backbone", default: spec.grid.backbone) { node throws(YAMLError) in
      let name = try node.string
      if SweepSpec.isModelFile(name) { return try Self.path(node, vocabulary) }
      return vocabulary.isVariant(name) ? name : try Self.word(node, among: vocabulary.backbones, kind: "backbone")
    }
    spec.grid.optimizer = axis(grid["optimizer"], "optimizer", default: spec.grid.optimizer) {
      node throws(YAMLError) in
      try Self.word(node, among: SweepVocabulary.optimizers, kind: "optimizer")
    }
    spec.grid.seed = axis(grid["seed"], "seed", default: spec.grid.seed) { node throws(YAMLError) in
      try Self.int(node, in: 0...Int(Int32.max))
    }
    spec.grid.sparsityRate = axis(grid["sparsity_rate"], "sparsity_rate", default: spec.grid.sparsityRate) {
      node throws(YAMLError) in
      let rate = try node.double
      guard rate >= 0 else { throw node.error("a sparsity rate must not be negative; 0 trains without sparsity") }
      return rate + 0  // -0 is 0.
    }
    spec.grid.pruneRatio = axis(grid["prune_ratio"], "prune_ratio", default: spec.grid.pruneRatio) {
      node throws(YAMLError) in
      let ratio = try node.double
      guard ratio >= 0, ratio < 1 else {
        throw node.error("a prune ratio must lie in [0, 1): it is the fraction of channels to remove")
      }
      return ratio + 0
    }
  }

  /// Every element is checked, so that one run of the command shows all that is wrong.
  private mutating func axis<T: Hashable>(
    _ node: YAMLNode?, _ name: String, default: [T], _ element: (YAMLNode) throws(YAMLError) -> T
  ) -> [T] {
    guard let node else { return `default` }
    var elements = [node]
    if case .sequence(let list) = node.content { elements = list }
    if elements.isEmpty || node.isNull {
      problems.append(node.error("‘\(name)’ is empty: give at least one value, or leave it out"))
      return `default`
    }
    guard elements.count <= 1000 else {
      problems.append(node.error("‘\(name)’ has \(elements.count) values; an axis has at most 1000"))
      return `default`
    }
    var values: [T] = []
    for node in elements {
      do throws(YAMLError) {
        let value = try element(node)
        if values.contains(value) { throw node.error("\(value) stands twice in ‘\(name)’") }
        values.append(value)
      } catch {
        problems.append(error)
      }
    }
    return values
  }
}

// MARK: - Stages and objectives

extension SweepFileReader {
  private mutating func readStages(_ node: YAMLNode?, into spec: inout SweepSpec) {
    guard let stages = mapping(node, keys: Stage.allCases.map(\.rawValue)) else { return }
    readLimits(stages, into: &spec)
    let keys = ["epochs", "hyp", "patience", "freeze", "image_weights", "multi_scale", "rect"] + Self.limitKeys
    if let train = mapping(stages["train"], keys: keys + ["weights"]) {
      let common = epochStage(train, default: spec.train.epochs)
      spec.train = SweepSpec.TrainStage(
        epochs: common.epochs, hyp: common.hyp, patience: common.patience,
        weights: weights(train["weights"], backbones: spec.grid.backbone), choices: common.choices)
    }
    if let sparsify = mapping(stages["sparsify"], keys: keys) {
      spec.sparsify = epochStage(sparsify, default: spec.sparsify.epochs)
    }
    if let finetune = mapping(stages["finetune"], keys: keys) {
      spec.finetune = epochStage(finetune, default: spec.finetune.epochs)
    }
    if let benchmark = mapping(stages["benchmark"], keys: ["iterations", "threads"] + Self.limitKeys) {
      spec.benchmark.iterations = int(benchmark["iterations"], default: 100, in: 1...1_000_000)
      spec.benchmark.threads = int(benchmark["threads"], default: 1, in: 1...1024)
    }
    readPrune(stages["prune"], into: &spec.prune)
    _ = mapping(stages["evaluate"], keys: Self.limitKeys)
  }

  private static let limitKeys = ["memory_limit_mb", "time_limit_minutes"]

  /// Every stage takes them. What a stage's own reading complains of is not complained of here.
  private mutating func readLimits(_ stages: YAMLMapping, into spec: inout SweepSpec) {
    for stage in Stage.allCases {
      guard case .mapping(let keys)? = stages[stage.rawValue]?.content else { continue }
      var limits = StageLimits()
      limits.memoryMB = optionalInt(keys["memory_limit_mb"], in: StageLimits.memoryMBRange)
      limits.timeMinutes = read(keys["time_limit_minutes"], default: nil) { node throws(YAMLError) -> Double? in
        let minutes = try node.double
        guard StageLimits.timeMinutesRange.contains(minutes) else {
          throw node.error("a time limit lies between a second (0.017 minutes) and a year (525600)")
        }
        return minutes
      }
      if !limits.isEmpty { spec.limits = (spec.limits ?? [:]).merging([stage.rawValue: limits]) { _, new in new } }
    }
  }

  private mutating func readPrune(_ node: YAMLNode?, into stage: inout SweepSpec.PruneStage) {
    typealias Stage = SweepSpec.PruneStage
    let keys =
      [
        "policy", "importance", "min_channels", "round_to", "rounds", "target_parameters", "target_gflops",
      ] + Self.limitKeys
    guard let prune = mapping(node, keys: keys) else { return }
    stage.policy = word(prune["policy"], among: Stage.policies, kind: "policy")
    stage.importance = word(prune["importance"], among: Stage.importances, kind: "importance")
    stage.minimumChannels = optionalInt(prune["min_channels"], in: Stage.minimumChannelsRange)
    stage.roundTo = optionalInt(prune["round_to"], in: Stage.roundToRange)
    stage.rounds = int(prune["rounds"], default: 1, in: Stage.roundsRange)
    stage.targetParameters = optionalInt(prune["target_parameters"], in: 1...Int.max)
    stage.targetGFLOPs = read(prune["target_gflops"], default: nil) { node throws(YAMLError) -> Double? in
      let limit = try node.double
      guard limit > 0, limit < .infinity else { throw node.error("a target must be positive") }
      return limit
    }
  }

  private mutating func word(_ node: YAMLNode?, among words: [String], kind: String) -> String? {
    read(node, default: nil) { node throws(YAMLError) -> String? in
      try Self.word(node, among: words, kind: kind)
    }
  }

  private mutating func optionalInt(_ node: YAMLNode?, in range: ClosedRange<Int>) -> Int? {
    read(node, default: nil) { node throws(YAMLError) -> Int? in try Self.int(node, in: range) }
  }

  private mutating func epochStage(_ stage: YAMLMapping, default epochs: Int) -> SweepSpec.EpochStage {
    SweepSpec.EpochStage(
      epochs: int(stage["epochs"], default: epochs, in: 1...1_000_000), hyp: hyp(stage["hyp"]),
      patience: int(stage["patience"], default: 0, in: 0...1_000_000), choices: choices(stage))
  }

  /// What is given and is not the default.
  private mutating func choices(_ stage: YAMLMapping) -> SweepSpec.TrainingChoices? {
    func isWanted(_ key: String) -> Bool? {
      let value = read(stage[key], default: false) { node throws(YAMLError) in try node.bool }
      return value ? true : nil
    }
    let choices = SweepSpec.TrainingChoices(
      freeze: frozenLayers(stage["freeze"]), imageWeights: isWanted("image_weights"),
      multiScale: isWanted("multi_scale"), rect: isWanted("rect"))
    if choices.imageWeights == true, choices.rect == true, let node = stage["rect"] {
      problems.append(node.error("image_weights draws images freely, rect has fixed batches: choose one of them"))
    }
    return choices.isEmpty ? nil : choices
  }

  /// As YOLOv5: a number is how many of the first layers, a list is which ones.
  private mutating func frozenLayers(_ node: YAMLNode?) -> [Int]? {
    let layers = read(node, default: []) { node throws(YAMLError) -> [Int] in
      guard case .sequence(let list) = node.content else { return Array(0..<(try Self.int(node, in: 0...1000))) }
      return Set(try list.map { node throws(YAMLError) in try Self.int(node, in: 0...999) }).sorted()
    }
    return layers.isEmpty ? nil : layers
  }

  private mutating func hyp(_ node: YAMLNode?) -> String? {
    guard let node, !node.isNull else { return nil }
    if let text = try? node.string, SweepSpec.isFile(text) { return path(node) }
    let hyps = vocabulary.hyps
    return read(node, default: nil) { node throws(YAMLError) -> String? in
      try Self.word(node, among: hyps, kind: "set of hyper-parameters")
    }
  }

  /// One file for all backbones, or a file for each of some.
  private mutating func weights(_ node: YAMLNode?, backbones: [String]) -> [String: String] {
    guard let node, !node.isNull else { return [:] }
    guard case .mapping(let files) = node.content else {
      let file = path(node)
      return Dictionary(backbones.map { ($0, file) }) { first, _ in first }
    }
    do throws(YAMLError) { try files.requireKnownKeys(backbones) } catch { problems.append(error) }
    return Dictionary(files.entries.map { ($0.key, path($0.value)) }) { first, _ in first }
  }

  private static func objective(_ node: YAMLNode) throws(YAMLError) -> Objective {
    let text = try node.string
    do throws(ObjectiveError) { return try Objective(parsing: text) } catch { throw node.error(error.description) }
  }

  private mutating func objectives(_ node: YAMLNode) -> [Objective] {
    var elements = [node]
    if case .sequence(let list) = node.content { elements = list }
    if elements.isEmpty || node.isNull {
      problems.append(node.error("‘objectives’ is empty: give at least one, such as ‘maximize map50’"))
    }
    var objectives: [Objective] = []
    for node in elements {
      do throws(YAMLError) {
        let objective = try Self.objective(node)
        if objectives.contains(where: { $0.metric == objective.metric }) {
          throw node.error("‘\(objective.metric.rawValue)’ stands twice in ‘objectives’")
        }
        objectives.append(objective)
      } catch {
        problems.append(error)
      }
    }
    return objectives
  }
}
