import JSON

/// The short, stable name of a trial: eight hex digits of its grid point's hash.
public struct TrialID: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  public let name: String
  public init(_ name: String) { self.name = name }
  public var description: String { name }
  public static func < (a: TrialID, b: TrialID) -> Bool { a.name < b.name }
  public init(from decoder: any Decoder) throws { name = try decoder.singleValueContainer().decode(String.self) }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(name)
  }
}

/// One point of the grid.
public struct Trial: Hashable, Sendable {
  public let backbone: String
  public let optimizer: String
  public let seed: Int
  public let sparsityRate: Double
  public let pruneRatio: Double
}

extension Trial {
  /// The grid point by the axes' names in the sweep file.
  public var point: [String: PlainValue] {
    [
      "backbone": .string(backbone), "optimizer": .string(optimizer), "seed": .int(seed),
      "sparsity_rate": .double(sparsityRate), "prune_ratio": .double(pruneRatio),
    ]
  }

  /// The steps this trial takes. A sparsity rate of 0 leaves `sparsify` out; a prune ratio of 0 leaves out `prune` and
  /// with it `finetune`, which only mends what pruning cut: such trials are the baseline. `benchmark` runs only where
  /// an objective needs it.
  func steps(of spec: SweepSpec) -> [Step] {
    var steps = [Step(.train)]
    if sparsityRate > 0 { steps.append(Step(.sparsify)) }
    if pruneRatio > 0 { for round in 1...spec.prune.rounds { steps += [Step(.prune, round), Step(.finetune, round)] } }
    steps.append(Step(.evaluate))
    if spec.isBenchmarked { steps.append(Step(.benchmark)) }
    return steps
  }

  /// What one of several rounds cuts of the channels that are left, so that all rounds cut equally many and together
  /// the trial's ratio. To twelve digits, so that 0.4 in two rounds and 0.6 in three begin with one and the same job.
  func pruneRatio(inRound round: Int, of rounds: Int) -> Double {
    if rounds == 1 { return pruneRatio }
    let share = pruneRatio / Double(rounds)
    return (share / (1 - share * Double(round - 1)) * 1e12).rounded() / 1e12
  }
}

/// A stage in its place in a trial.
struct Step: Hashable, Sendable {
  let stage: Stage
  /// Of pruning and fine-tuning, from 1.
  let round: Int

  init(_ stage: Stage, _ round: Int = 1) {
    self.stage = stage
    self.round = round
  }
}

extension SweepSpec {
  /// How far a pruned trial is pruned, for people.
  public func pruneTitle(_ trial: Trial) -> String {
    if let count = prune.targetParameters { return "prune to \(count) parameters" }
    if let limit = prune.targetGFLOPs { return "prune to \(limit) GFLOPs" }
    return "prune \(trial.pruneRatio)"
  }

  /// How many trials the grid has; nil when the number does not fit.
  public var trialCount: Int? {
    var count = 1
    for axis in [
      grid.backbone.count, grid.optimizer.count, grid.seed.count, grid.sparsityRate.count, grid.pruneRatio.count,
    ] {
      let (product, overflow) = count.multipliedReportingOverflow(by: axis)
      if overflow { return nil }
      count = product
    }
    return count
  }

  /// All points of the grid; the last axis (prune ratio) varies fastest, so that neighbours share most.
  public var trials: [Trial] {
    var trials: [Trial] = []
    trials.reserveCapacity(trialCount ?? 0)
    for backbone in grid.backbone {
      for optimizer in grid.optimizer {
        for seed in grid.seed {
          for sparsityRate in grid.sparsityRate {
            for pruneRatio in grid.pruneRatio {
              trials.append(
                Trial(
                  backbone: backbone, optimizer: optimizer, seed: seed, sparsityRate: sparsityRate,
                  pruneRatio: pruneRatio))
            }
          }
        }
      }
    }
    return trials
  }

  public var isBenchmarked: Bool { objectives.contains { $0.metric.stage == .benchmark } }
}
