import Sweep

/// Whether the fleet can measure what its sweeps are judged by.
///
/// A sweep is held while workers are known that its placement admits, and none of them can measure one of its
/// objectives: all its work would end without a front. Workers that are away count until they are forgotten, so that a
/// reboot holds nothing up.
extension CoordinatorBrain {
  /// Called when a worker comes, is forgotten, or announces other metrics or labels.
  mutating func refreshUnmeasurableSweeps() { for sweep in sweeps.indices { refreshMeasurability(of: sweep) } }

  mutating func refreshMeasurability(of sweep: SweepIndex) {
    let isUnmeasurable = !unmeasurableMetrics(of: sweep).isEmpty
    guard unmeasurableSweeps.contains(sweep) != isUnmeasurable else { return }
    if isUnmeasurable { unmeasurableSweeps.insert(sweep) } else { unmeasurableSweeps.remove(sweep) }
    lineUpJobs(of: sweep)
  }

  func unmeasurableMetrics(of sweep: SweepIndex) -> [Objective.Metric] {
    roster.unmeasurable(sweeps[sweep].hostMetrics, for: sweeps[sweep].placement)
  }

  /// Returns which objective keeps the sweep from starting, and what can be done; nil if none does.
  func measuringProblem(of sweep: SweepIndex) -> String? {
    let metrics = unmeasurableMetrics(of: sweep)
    guard !metrics.isEmpty else { return nil }
    let remedy =
      metrics.contains(.energyJ)
      ? "start a worker that may read its host's energy counters ('greensweep worker' says why it cannot), or run "
        + "'greensweep power calibrate' on a worker's host and start the worker again"
      : "start a worker that can"
    let names = metrics.map(\.rawValue).joined(separator: " or ")
    return "no worker\(sweeps[sweep].placement.condition) can measure the objective \(names): \(remedy), "
      + "or submit the sweep without this objective"
  }
}
