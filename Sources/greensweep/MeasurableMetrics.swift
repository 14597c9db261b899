import Evaluation
import Sweep

/// The metrics of objectives that this host can measure.
enum MeasurableMetrics {
  static let here = Objective.Metric.allCases.filter { obstacle(to: $0) == nil }

  /// Why the metric cannot be measured on this host, and what can be done; nil if it can.
  static func obstacle(to metric: Objective.Metric) -> String? {
    metric == .energyJ ? EnergyMeter.obstacle() : nil
  }

  /// - Throws: `WorkError` if a sweep with these objectives cannot be judged on this host.
  static func require(_ objectives: [Objective]) throws {
    for objective in objectives {
      guard let obstacle = obstacle(to: objective.metric) else { continue }
      throw WorkError("the objective ‘\(objective)’ cannot be measured: \(obstacle); or leave the objective out")
    }
  }
}
