import Evaluation
import Pipeline
import Sweep

/// The metrics of objectives that this host can measure.
enum MeasurableMetrics {
  static let here = Objective.Metric.allCases.filter { obstacle(to: $0) == nil }

  /// Why the metric cannot be measured on this host, and what can be done; nil if it can.
  static func obstacle(to metric: Objective.Metric) -> String? {
    metric == .energyJ ? HostPower.source.obstacle : nil
  }

  /// The reasons why a sweep with these objectives cannot be judged on this host, a sentence each.
  static func obstacles(to objectives: [Objective]) -> [String] {
    objectives.compactMap { objective in
      obstacle(to: objective.metric).map {
        "the objective ‘\(objective)’ cannot be measured: \($0); or leave the objective out"
      }
    }
  }

  /// - Throws: `WorkError` if a sweep with these objectives cannot be judged on this host.
  static func require(_ objectives: [Objective]) throws {
    let obstacles = obstacles(to: objectives)
    if !obstacles.isEmpty { throw WorkError(obstacles.joined(separator: "\n")) }
  }
}
