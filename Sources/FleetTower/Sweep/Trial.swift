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

  /// The stages this trial takes. A sparsity rate of 0 leaves `sparsify` out; a prune ratio of 0 leaves out `prune` and
  /// with it `finetune`, which only mends what pruning cut: such trials are the baseline. `benchmark` runs only where
  /// an objective needs it.
  public func stages(benchmarked: Bool) -> [Stage] {
    var stages = [Stage.train]
    if sparsityRate > 0 { stages.append(.sparsify) }
    if pruneRatio > 0 { stages += [.prune, .finetune] }
    stages.append(.evaluate)
    if benchmarked { stages.append(.benchmark) }
    return stages
  }
}

extension SweepSpec {
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
