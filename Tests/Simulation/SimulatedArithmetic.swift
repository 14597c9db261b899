import Bytes
import Randomness
import Sweep

/// The computations of stages in a simulated cluster: numbers that depend on all that real stages depend on, so that a
/// wrong input, a lost epoch or a wrong checkpoint shows in the result.
enum SimulatedArithmetic {
  /// The content of an artifact.
  enum Content: Hashable, Sendable {
    case dataset
    case model(UInt64)
    case checkpoint(epoch: Int, value: UInt64)
    case log(attempt: UInt64)
  }

  /// A stage's state before its first epoch.
  static func start(of job: JobKey, from model: UInt64?, teacher: UInt64?) -> UInt64 {
    let start = SplitMix64.mixed(UInt64(truncatingIfNeeded: job.bits) ^ SplitMix64.mixed(model ?? 0x5EED))
    return teacher.map { SplitMix64.mixed(start ^ $0) } ?? start
  }

  static func epoch(_ epoch: Int, from value: UInt64) -> UInt64 {
    SplitMix64.mixed(value &+ UInt64(epoch) &* 0x1_0000_0001)
  }

  /// All that objectives ask of the stage: a fraction each, drawn from the model.
  static func metrics(of stage: Stage, model: UInt64) -> [String: Double] {
    let metrics = Objective.Metric.allCases.enumerated().filter { $1.stages.contains(stage) }
    return Dictionary(
      uniqueKeysWithValues: metrics.map { salt, metric in
        (metric.rawValue, Double(SplitMix64.mixed(model ^ UInt64(salt + 1)) >> 40) / Double(1 << 24))
      })
  }

  /// Every job's result computed one after the other, without a cluster: what a run must come to.
  static func reference(_ tree: StageTree, failing: (JobKey) -> Bool) -> ResultTable {
    var models: [UInt64?] = []
    for (index, node) in tree.nodes.enumerated() {
      if failing(node.key) || node.sources.contains(where: { models[$0] == nil }) {
        models.append(nil)
        continue
      }
      var value = node.parent.flatMap { models[$0] }
      if node.stage.makesModel {
        var state = start(of: node.key, from: value, teacher: node.teacher.flatMap { models[$0] })
        let epochs = tree.configuration(of: index).epochs
        for epoch in stride(from: 1, through: epochs, by: 1) { state = self.epoch(epoch, from: state) }
        value = state
      }
      models.append(value)
    }
    let rows = tree.trials.indices.map { trial in
      var metrics: [String: Double] = [:]
      for node in tree.nodesOfTrial[trial] {
        guard let model = models[node] else { continue }
        metrics.merge(self.metrics(of: tree.nodes[node].stage, model: model)) { _, new in new }
      }
      let isPruned = tree.nodesOfTrial[trial].contains { tree.nodes[$0].stage == .prune }
      if !isPruned { metrics[Objective.Metric.map50Cut.rawValue] = nil }
      let isDone = tree.nodesOfTrial[trial].allSatisfy { models[$0] != nil }
      return ResultTable.Row(
        trial: tree.trialIDs[trial], point: tree.trials[trial].point, metrics: metrics, state: isDone ? .done : .failed)
    }
    return ResultTable(sweep: tree.sweep, objectives: tree.submission.spec.objectives, rows: rows)
  }
}

/// All bytes there are, by their digest; who has them is another question.
struct ContentTable: Sendable {
  private var contents: [Digest: SimulatedArithmetic.Content] = [:]

  mutating func reference(to content: SimulatedArithmetic.Content) -> ArtifactReference {
    let words: (UInt64, UInt64)
    switch content {
    case .dataset: words = (1, 0)
    case .model(let value): words = (2, value)
    case .checkpoint(let epoch, let value): words = (3 + UInt64(epoch) << 8, value)
    case .log(let attempt): words = (4, attempt)
    }
    let digits = (0..<4).map { SplitMix64.mixed(words.0 &+ SplitMix64.mixed(words.1 &+ UInt64($0))).hexDigits }
    let digest = Digest(digits.joined())!
    contents[digest] = content
    return ArtifactReference(digest: digest, byteCount: 1)
  }

  subscript(digest: Digest) -> SimulatedArithmetic.Content? { contents[digest] }
}
