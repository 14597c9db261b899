import JSON
import Settings
import Wording

/// The content of a sweep file, with every default filled in. `spec.train` is `spec.stages.train`.
@dynamicMemberLookup
public struct SweepSpec: Hashable, Sendable {
  public var name: String
  /// Path of the YOLOv5 `data.yaml`, relative to the sweep file.
  public var dataset: String
  public var common = Choices<CommonSettings>()
  public var grid: Grid
  public var stages = StageChoices()
  public var objectives: [Objective]
  /// Among sweeps that wait for slots, higher goes first. Not part of what the sweep is: submitting it again with
  /// another one changes it. nil leaves it as it is, which is 0 at first.
  public var priority: Int?

  public static let priorityRange = -1_000...1_000
  /// The limits of attempts, by the stage's name. They are not part of the sweep's identity: submitting it again with
  /// other limits changes them.
  public var limits: [String: StageLimits]?
  /// The workers that its jobs are given to. Not part of the sweep's identity either.
  public var placement: SweepPlacement

  /// The axes. A trial takes one value of each; the last axis varies fastest.
  public struct Grid: Hashable, Sendable, Codable {
    public var backbone: [String]
    public var optimizer: [String]
    public var seed: [Int]
    public var sparsityRate: [Double]
    public var pruneRatio: [Double]

    public static let settings = TrialSettings.all.group

    public init(
      backbone: [String] = [settings.backbone.fallback], optimizer: [String] = [settings.optimizer.fallback],
      seed: [Int] = [settings.seed.fallback], sparsityRate: [Double] = [settings.sparsityRate.fallback],
      pruneRatio: [Double] = [settings.pruneRatio.fallback]
    ) {
      self.backbone = backbone
      self.optimizer = optimizer
      self.seed = seed
      self.sparsityRate = sparsityRate
      self.pruneRatio = pruneRatio
    }
  }

  public init(
    name: String, dataset: String, grid: Grid = Grid(),
    objectives: [Objective] = [Objective(.maximize, .map50), Objective(.minimize, .sizeMB)], priority: Int? = nil,
    limits: [String: StageLimits]? = nil, placement: SweepPlacement = SweepPlacement()
  ) {
    self.name = name
    self.dataset = dataset
    self.grid = grid
    self.objectives = objectives
    self.priority = priority
    self.limits = limits
    self.placement = placement
  }

  public subscript<Group>(dynamicMember path: WritableKeyPath<StageChoices, Choices<Group>>) -> Choices<Group> {
    get { stages[keyPath: path] }
    set { stages[keyPath: path] = newValue }
  }

  /// The files a submission must bring along besides the data set: weights, hyper-parameters and model files, sorted,
  /// each once.
  public var files: [String] { Set(namedFiles).sorted() }

  private var namedFiles: [String] {
    let chosen = Stage.allCases.flatMap { stage in
      stages[stage].settings.flatMap { setting in stages[stage].values[setting.key].map(setting.rule.files) ?? [] }
    }
    return chosen + grid.backbone.filter(SettingRule.isYAML)
  }
}

/// A spec and the artifacts it references, as an operator submits them.
public struct SweepSubmission: Hashable, Sendable, Codable {
  public var spec: SweepSpec
  /// The packed data set.
  public var dataset: ArtifactReference
  /// The spec's `files`, by the path written in the spec.
  public var files: [String: ArtifactReference]
  /// Remarks on the data set for whoever reads the results, one a line, such as images that were left out. They are
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

  /// The first thing that is wrong with it, in words; nil if all is right. It is asked again of every submission that
  /// arrives, whoever read its file.
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
    if let problem = settingProblem { return problem }
    let prune = stages.prune
    if isGradual, prune.hasTarget || prune.rounds > 1 {
      return "policy gradual cuts once, to a ratio: leave rounds and targets out, or choose policy grouped"
    }
    if prune.importance == .taylor, !isGradual {
      return "importance taylor is measured while the network trains: choose policy gradual"
    }
    if prune.targetParameters != nil, prune.targetGFLOPs != nil { return "there are two targets; give one" }
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
    if let priority, !SweepSpec.priorityRange.contains(priority) { return "a priority must lie in -1000...1000" }
    return targetProblem ?? limits?.values.lazy.compactMap(\.problem).first ?? placement.problem
  }

  /// The first value that is wrong by itself, in words.
  private var settingProblem: String? {
    func first<Value>(_ setting: Setting<Value>, _ values: [Value]) -> String? {
      values.lazy.compactMap(setting.problem).first
    }
    let axes = Grid.settings
    let gridProblem =
      first(axes.seed, grid.seed) ?? first(axes.sparsityRate, grid.sparsityRate)
      ?? first(axes.pruneRatio, grid.pruneRatio)
    if let problem = common.problem ?? gridProblem { return problem }
    for stage in Stage.allCases {
      if let problem = stages[stage].problem { return "\(stage.rawValue): \(problem)" }
      if let key = stages[stage].unknownKeys.first {
        return "\(stage.rawValue): unknown setting ‘\(key.shortened())’; a newer version may know it"
      }
    }
    return nil
  }

  private var texts: [String] {
    [name, dataset] + grid.backbone + grid.optimizer + files + stages.train.weights.keys
      + Stage.allCases.flatMap { stages[$0].values.values.compactMap(\.string) }
  }

  private var targetProblem: String? {
    guard stages.prune.hasTarget, grid.pruneRatio.count(where: { $0 > 0 }) > 1 else { return nil }
    return "a target takes the place of the prune ratio, which then only says whether a trial is pruned: "
      + "give prune_ratio one value besides 0"
  }
}

extension SweepSpec: Codable {
  /// A member of the written form, whatever its name.
  private struct Member: CodingKey, ExpressibleByStringLiteral {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init(stringLiteral: String) { self.init(stringValue: stringLiteral) }
    init?(intValue: Int) { nil }
  }

  /// How journals write settings that are older than their keys; those of `nested` stand in a member `choices`.
  private static let memberNames = [
    "image_size": "imageSize", "batch_size": "batchSize", "nominal_batch_size": "nominalBatchSize",
    "image_weights": "imageWeights", "multi_scale": "multiScale", "min_channels": "minimumChannels",
    "round_to": "roundTo", "target_parameters": "targetParameters", "target_gflops": "targetGFLOPs",
  ]
  private static let keys = Dictionary(uniqueKeysWithValues: memberNames.map { ($1, $0) })
  private static let nested: Set = ["freeze", "image_weights", "multi_scale", "rect"]

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Member.self)
    self.init(
      name: try container.decode(String.self, forKey: "name"),
      dataset: try container.decode(String.self, forKey: "dataset"),
      grid: try container.decode(Grid.self, forKey: "grid"),
      objectives: try container.decode([Objective].self, forKey: "objectives"),
      priority: try container.decodeIfPresent(Int.self, forKey: "priority"),
      limits: try container.decodeIfPresent([String: StageLimits].self, forKey: "limits"),
      placement: SweepPlacement(
        requires: try container.decodeIfPresent([String: String].self, forKey: "requires") ?? [:],
        prefers: try container.decodeIfPresent([String: String].self, forKey: "prefer") ?? [:]))
    var shared = common.values
    for key in CommonSettings.all.settings.map(\.key) {
      let member = Member(stringValue: Self.memberNames[key] ?? key)
      shared[key] = try container.decodeIfPresent(PlainValue.self, forKey: member) ?? shared[key]
    }
    common = Choices(shared)
    for stage in Stage.allCases {
      let member = Member(stringValue: stage.rawValue)
      var members = try container.decodeIfPresent([String: PlainValue].self, forKey: member) ?? [:]
      if case .object(let choices)? = members.removeValue(forKey: "choices") { members.merge(choices) { $1 } }
      var values = stages[stage].values
      // A setting that is written twice means the same in every process.
      for (name, value) in members.sorted(by: { $0.key < $1.key }) { values[Self.keys[name] ?? name] = value }
      stages.set(StageConfiguration(stage, values))
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Member.self)
    try container.encode(name, forKey: "name")
    try container.encode(dataset, forKey: "dataset")
    for (key, value) in common.values.sorted(by: { $0.key < $1.key }) {
      try container.encode(value, forKey: Member(stringValue: Self.memberNames[key] ?? key))
    }
    try container.encode(grid, forKey: "grid")
    for stage in Stage.allCases where !stages[stage].values.isEmpty {
      var members: [String: PlainValue] = [:]
      var choices: [String: PlainValue] = [:]
      for (key, value) in stages[stage].values {
        let name = Self.memberNames[key] ?? key
        if Self.nested.contains(key) { choices[name] = value } else { members[name] = value }
      }
      if !choices.isEmpty { members["choices"] = .object(choices) }
      try container.encode(members, forKey: Member(stringValue: stage.rawValue))
    }
    try container.encode(objectives, forKey: "objectives")
    try container.encodeIfPresent(priority, forKey: "priority")
    try container.encodeIfPresent(limits, forKey: "limits")
    if !placement.requires.isEmpty { try container.encode(placement.requires, forKey: "requires") }
    if !placement.prefers.isEmpty { try container.encode(placement.prefers, forKey: "prefer") }
  }
}
