import JSON
import Settings
import Wording
import YAML

/// The words and files that only the machine at hand knows; the executable supplies them.
public struct SweepVocabulary: Sendable {
  public var words: [SettingRule.Vocabulary: [String]]
  /// Whether a name that is not among the backbones means one of them all the same, such as `mobilenetv2-w0.5`.
  public var isVariant: @Sendable (String) -> Bool
  /// Whether a path written in the sweep file (relative to its folder) leads to a file.
  public var fileExists: @Sendable (String) -> Bool

  public init(
    _ words: [SettingRule.Vocabulary: [String]], isVariant: @escaping @Sendable (String) -> Bool = { _ in false },
    fileExists: @escaping @Sendable (String) -> Bool
  ) {
    self.words = words
    self.isVariant = isVariant
    self.fileExists = fileExists
  }
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

  /// - Parameter keys: all that it may have; nil allows any.
  private mutating func mapping(_ node: YAMLNode?, keys: [String]? = nil) -> YAMLMapping? {
    read(node, default: nil) { node throws(YAMLError) -> YAMLMapping? in
      if node.isNull { return nil }
      return try node.mapping
    }.map { mapping in
      guard let keys else { return mapping }
      do throws(YAMLError) { try mapping.requireKnownKeys(keys) } catch { problems.append(error) }
      return mapping
    }
  }

  mutating func spec(_ document: YAMLNode) -> SweepSpec? {
    let shared = CommonSettings.all.settings
    let keys =
      ["name", "dataset"] + shared.map(\.key) + ["grid", "stages", "objectives", "priority", "requires", "prefer"]
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
    spec.common = Choices(values(shared, in: root, over: spec.common.values))
    readGrid(root["grid"], into: &spec)
    readStages(root["stages"], into: &spec)
    chooseMethod(for: &spec, root)
    if let node = root["objectives"] { spec.objectives = objectives(node) }
    spec.priority = read(root["priority"], default: nil) { node throws(YAMLError) -> Int? in
      let priority = try node.int
      guard SweepSpec.priorityRange.contains(priority) else {
        throw node.error(SettingRule.integer(SweepSpec.priorityRange).outOfRange("priority", "\(priority)"))
      }
      return priority
    }
    spec.placement = SweepPlacement(requires: labels(root["requires"]), prefers: labels(root["prefer"]))
    return spec
  }

  /// A file that does not say how to prune gets the policy that works without being tuned; one that says nothing of
  /// optimizer, rates or augmentation gets the recipe that suits the data.
  private func chooseMethod(for spec: inout SweepSpec, _ root: YAMLMapping) {
    let grid = root["grid"].flatMap { try? $0.mapping }
    let prune = spec.stages.prune
    if prune.policy == nil, prune.importance == nil, prune.rounds == 1, !prune.hasTarget {
      spec.stages.prune.policy = .gradual
    }
    if spec.isGradual, grid?["sparsity_rate"] == nil { spec.grid.sparsityRate = [0] }
    let hyps = [spec.stages.train.hyp, spec.stages.sparsify.hyp, spec.stages.finetune.hyp]
    let isTuned = hyps.contains { $0 != nil } || grid?["optimizer"] != nil || root["nominal_batch_size"] != nil
    if !isTuned, root["recipe"] == nil { spec.common.recipe = .auto }
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

  private static func word(
    _ node: YAMLNode, _ kind: SettingRule.Vocabulary, _ vocabulary: SweepVocabulary
  ) throws(YAMLError) -> String {
    let word = try node.string
    let words = vocabulary.words[kind] ?? []
    if words.contains(word) || kind == .backbone && vocabulary.isVariant(word) { return word }
    throw node.error(unknown(kind.rawValue, word, among: words))
  }

  /// Returns the value of a setting in the file, of the right type and within its bounds.
  private static func value(
    _ node: YAMLNode, of setting: any AnySetting, _ vocabulary: SweepVocabulary
  ) throws(YAMLError) -> PlainValue {
    let value: PlainValue
    switch setting.rule {
    case .truth: value = .bool(try node.bool)
    case .integer: value = .int(try node.int)
    case .number: value = .double(try node.double + 0)  // -0 is 0.
    case .layers(let range): value = try layers(node, within: range, of: setting)
    case .word(let words), .wordOrFile(let words):
      let text = try node.string
      let isPath = words == .backbone ? SettingRule.isYAML(text) : setting.rule.mayBeFile && SettingRule.isFile(text)
      value = .string(isPath ? try path(node, vocabulary) : try word(node, words, vocabulary))
    case .fileByBackbone: preconditionFailure("\(setting.key) needs the backbones")
    }
    if let problem = setting.problem(value) { throw node.error(problem) }
    return value
  }

  /// As YOLOv5: a number is how many of the first layers, a list is which ones.
  private static func layers(
    _ node: YAMLNode, within range: ClosedRange<Int>, of setting: any AnySetting
  ) throws(YAMLError) -> PlainValue {
    if case .sequence(let list) = node.content {
      return .array(Set(try list.map { node throws(YAMLError) in try node.int }).sorted().map { .int($0) })
    }
    let count = try node.int
    let counts = 0...range.upperBound + 1
    guard counts.contains(count) else {
      throw node.error(SettingRule.integer(counts).outOfRange(setting.key, "\(count)"))
    }
    return .array((0..<count).map { .int($0) })
  }

  /// Returns the values with those that a mapping gives in their place.
  private mutating func values(
    _ settings: [any AnySetting], in mapping: YAMLMapping, over values: [String: PlainValue], backbones: [String] = []
  ) -> [String: PlainValue] {
    var values = values
    let vocabulary = vocabulary
    for setting in settings {
      guard let node = mapping[setting.key], !(node.isNull && setting.rule.mayBeFile) else { continue }
      let value =
        setting.rule == .fileByBackbone
        ? files(node, backbones: backbones)
        : read(node, default: nil) { node throws(YAMLError) in try Self.value(node, of: setting, vocabulary) }
      // A file that says the fallback says nothing, unless that is always written.
      if let value { values[setting.key] = value == setting.plainFallback && !setting.isAlwaysWritten ? nil : value }
    }
    return values
  }

  /// One file for all backbones, or a file for each of some.
  private mutating func files(_ node: YAMLNode, backbones: [String]) -> PlainValue {
    guard case .mapping(let files) = node.content else {
      let file = PlainValue.string(path(node))
      return .object(Dictionary(backbones.map { ($0, file) }) { first, _ in first })
    }
    do throws(YAMLError) { try files.requireKnownKeys(backbones) } catch { problems.append(error) }
    return .object(Dictionary(files.entries.map { ($0.key, .string(path($0.value))) }) { first, _ in first })
  }
}

// MARK: - Grid

extension SweepFileReader {
  private mutating func readGrid(_ node: YAMLNode?, into spec: inout SweepSpec) {
    guard let grid = mapping(node, keys: TrialSettings.all.settings.map(\.key)) else { return }
    let settings = SweepSpec.Grid.settings
    spec.grid.backbone = axis(settings.backbone, in: grid)
    spec.grid.optimizer = axis(settings.optimizer, in: grid)
    spec.grid.seed = axis(settings.seed, in: grid)
    spec.grid.sparsityRate = axis(settings.sparsityRate, in: grid)
    spec.grid.pruneRatio = axis(settings.pruneRatio, in: grid)
  }

  /// Every element is checked, so that one run of the command shows all that is wrong.
  private mutating func axis<T>(_ setting: Setting<T>, in grid: YAMLMapping) -> [T] {
    let (name, vocabulary) = (setting.key, vocabulary)
    guard let node = grid[name] else { return [setting.fallback] }
    var elements = [node]
    if case .sequence(let list) = node.content { elements = list }
    if elements.isEmpty || node.isNull {
      problems.append(node.error("‘\(name)’ is empty: give at least one value, or leave it out"))
      return [setting.fallback]
    }
    guard elements.count <= 1000 else {
      problems.append(node.error("‘\(name)’ has \(elements.count) values; an axis has at most 1000"))
      return [setting.fallback]
    }
    var values: [T] = []
    for node in elements {
      do throws(YAMLError) {
        let value = T.read(try Self.value(node, of: setting, vocabulary))!
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
    for stage in Stage.allCases {
      let settings = spec.stages[stage].settings.filter(\.isInItsPlace)
      let keys = (settings + LimitSettings.all.settings).map(\.key)
      guard let mapping = mapping(stages[stage.rawValue], keys: keys) else { continue }
      let chosen = values(settings, in: mapping, over: spec.stages[stage].values, backbones: spec.grid.backbone)
      spec.stages.set(StageConfiguration(stage, chosen))
      let limits = StageLimits(values(LimitSettings.all.settings, in: mapping, over: [:]))
      if !limits.isEmpty { spec.limits = (spec.limits ?? [:]).merging([stage.rawValue: limits]) { $1 } }
      if chosen["image_weights"] == .bool(true), chosen["rect"] == .bool(true), let node = mapping["rect"] {
        problems.append(node.error("image_weights draws images freely, rect has fixed batches: choose one of them"))
      }
    }
  }

  private mutating func labels(_ node: YAMLNode?) -> [String: String] {
    var labels: [String: String] = [:]
    for entry in mapping(node)?.entries ?? [] {
      labels[entry.key] = read(entry.value, default: nil) { node throws(YAMLError) -> String? in
        let value = try node.string
        guard LabelRule.allows(entry.key, value) else { throw node.error(LabelRule.words) }
        return value
      }
    }
    return labels
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
