import JSON
import Settings

/// The short, stable name of a trial: eight hex digits of its grid point's hash.
public struct TrialID: Name {
  public let name: String
  public init(_ name: String) { self.name = name }
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
    Dictionary(uniqueKeysWithValues: Self.axes.map { ($0, value(of: $0)!) })
  }

  private static let axes = ["backbone", "optimizer", "seed", "sparsity_rate", "prune_ratio"]

  /// The value of one axis; nil if there is no such axis.
  func value(of axis: String) -> PlainValue? {
    switch axis {
    case "backbone": .string(backbone)
    case "optimizer": .string(optimizer)
    case "seed": .int(seed)
    case "sparsity_rate": .double(sparsityRate)
    case "prune_ratio": .double(pruneRatio)
    default: nil
    }
  }

  /// Returns the share of the remaining channels that one of several rounds cuts, so that all rounds cut equally many
  /// and together the trial's ratio. It has twelve digits, so that 0.4 in two rounds and 0.6 in three begin with one
  /// and the same job.
  func pruneRatio(inRound round: Int, of rounds: Int) -> Double {
    if rounds == 1 { return pruneRatio }
    let share = pruneRatio / Double(rounds)
    return (share / (1 - share * Double(round - 1)) * 1e12).rounded() / 1e12
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

  public var isBenchmarked: Bool { objectives.contains { $0.metric.isBenchmarked } }
}
