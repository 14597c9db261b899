import Sweep

/// Whether the fleet can measure what its sweeps are judged by.
///
/// A sweep is held while workers are known and none of them can measure one of its objectives: all its work would end
/// without a front. Workers that are away count until they are forgotten, so that a reboot holds nothing up.
extension CoordinatorBrain {
  /// Called when a worker comes, is forgotten, or announces other metrics.
  mutating func refreshHolds() {
    for sweep in sweeps.indices where !sweeps[sweep].hostMetrics.isEmpty { refreshHold(of: sweep) }
  }

  mutating func refreshHold(of sweep: Int) {
    let isUnmeasurable = !unmeasurableMetrics(of: sweep).isEmpty
    guard sweeps[sweep].isUnmeasurable != isUnmeasurable else { return }
    sweeps[sweep].isUnmeasurable = isUnmeasurable
    if sweeps[sweep].isActive { openLine(of: sweep) } else { closeLine(of: sweep) }
  }

  /// The objectives of the sweep that no known worker can measure.
  private func unmeasurableMetrics(of sweep: Int) -> [Objective.Metric] {
    guard !workers.isEmpty else { return [] }
    return sweeps[sweep].hostMetrics.filter { metric in !workers.values.contains { $0.canMeasure(metric) } }
  }

  /// Which objective keeps the sweep from starting, and what can be done; nil if none does.
  func measuringProblem(of sweep: Int) -> String? {
    let names = unmeasurableMetrics(of: sweep).map(\.rawValue)
    guard !names.isEmpty else { return nil }
    let remedy =
      names.contains(Objective.Metric.energyJ.rawValue)
      ? "start a worker that may read its host's energy counters ('greensweep worker' says why it cannot)"
      : "start a worker that can"
    return "no worker can measure the objective \(names.joined(separator: " or ")): \(remedy), or submit the sweep "
      + "without this objective"
  }

  func canMeasure(_ worker: WorkerID, _ sweep: Int) -> Bool {
    sweeps[sweep].hostMetrics.allSatisfy { workers[worker]!.canMeasure($0) }
  }
}
