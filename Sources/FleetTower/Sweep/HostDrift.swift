/// Names of the benchmark's figures that tell about its host.
public enum BenchmarkMetric {
  /// The median pass of the reference network meanwhile, milliseconds.
  public static let reference = "reference_ms"
  /// Processors that others used meanwhile.
  public static let others = "others_processors"
  /// The latency as the benchmark gave it, where the table has a corrected one.
  public static let uncorrected = "latency_uncorrected_ms"
}

extension [ResultTable.Row] {
  /// Brings all latencies to one speed of their host. A benchmark in an hour in which the reference network took longer
  /// than in most counts for less, in proportion. Latencies stay as they are unless all have a reference.
  public mutating func correctDrift() {
    let latency = Objective.Metric.latencyMS.rawValue
    let measured = indices.filter { self[$0].metrics[latency] != nil }
    let references = measured.compactMap { self[$0].metrics[BenchmarkMetric.reference] }.filter {
      $0 > 0 && $0.isFinite
    }
    guard references.count == measured.count, references.count > 1 else { return }
    let usual = references.sorted()[(references.count - 1) / 2]
    for index in measured {
      let factor = usual / self[index].metrics[BenchmarkMetric.reference]!
      self[index].metrics[BenchmarkMetric.uncorrected] = self[index].metrics[latency]
      for name in [latency, "latency_p95_ms"] {
        self[index].metrics[name] = self[index].metrics[name].map { $0 * factor }
      }
    }
  }
}

extension ResultTable {
  /// Notes on benchmarks that may not repeat; empty if latency and energy are no objectives.
  var benchmarkNotes: [String] {
    guard objectives.contains(where: \.metric.isBenchmarked) else { return [] }
    func trials(_ name: String, above limit: Double) -> [TrialID] {
      rows.filter { ($0.metrics[name] ?? 0) > limit }.map(\.trial)
    }
    var notes: [String] = []
    let busy = trials(BenchmarkMetric.others, above: Self.quietLoad)
    if !busy.isEmpty { notes.append("! measured while others used the host: \(list(busy))") }
    let spread = trials("latency_spread", above: Self.agreement)
    if !spread.isEmpty { notes.append("! latencies that did not repeat within 3 %: \(list(spread))") }
    let energy = trials("energy_spread", above: Self.agreement)
    if !energy.isEmpty { notes.append("! energies that did not repeat within 3 %: \(list(energy))") }
    let references = rows.filter { $0.metrics[BenchmarkMetric.uncorrected] != nil }
      .compactMap { $0.metrics[BenchmarkMetric.reference] }
    if let least = references.min(), let most = references.max(), most > least * 1.1 {
      let change = Int(((most / least - 1) * 100).rounded())
      notes.append("the host's speed changed by \(change) % between benchmarks; the latencies are corrected for it")
    }
    return notes
  }

  private static let quietLoad = 0.2
  private static let agreement = 0.03
}
