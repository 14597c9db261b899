import Detection
import Evaluation
import Pipeline
import Pruning
import Sweep
import Training

/// A figure that a stage reports: its name, and where its measurement has it. With a row here, an objective of that
/// name (`Objective.Metric`) can be judged.
struct StageMetric<Measurement>: Sendable {
  let name: String
  let value: @Sendable (Measurement) -> Double?

  init(_ metric: Objective.Metric, _ value: @escaping @Sendable (Measurement) -> Double?) {
    self.init(metric.rawValue, value)
  }

  init(_ name: String, _ value: @escaping @Sendable (Measurement) -> Double?) {
    self.name = name
    self.value = value
  }
}

/// All figures that the measurement has.
func metrics<Measurement>(_ table: [StageMetric<Measurement>], of measurement: Measurement) -> [String: Double] {
  Dictionary(uniqueKeysWithValues: table.compactMap { row in row.value(measurement).map { (row.name, $0) } })
}

let epochMetrics: [StageMetric<EpochSummary>] = [
  .init("box_loss") { Double($0.loss.box) }, .init("objectness_loss") { Double($0.loss.objectness) },
  .init("class_loss") { Double($0.loss.classification) }, .init("precision") { $0.precision },
  .init("recall") { $0.recall }, .init(.map50) { $0.map50 }, .init(.map50_95) { $0.map50_95 },
  .init("learning_rate") { $0.learningRates.weights }, .init("zero_share") { $0.scales?.zeroShare },
  .init("target_share") { $0.scales?.targetShare },
]

let trainMetrics: [StageMetric<TrainResult>] = [
  .init("epochs") { Double($0.completedEpochs) }, .init("best_epoch") { $0.bestEpoch.map(Double.init) },
  .init(.map50) { $0.map50 }, .init(.map50_95) { $0.map50_95 },
]

/// A run that fades channels out ends with the accuracy that cutting them leaves.
let sparsifyMetrics: [StageMetric<TrainResult>] =
  trainMetrics + [
    .init(.map50Cut) { $0.scales?.zeroShare ?? 0 > 0 ? $0.map50 : nil }, .init("zero_share") { $0.scales?.zeroShare },
    .init("near_zero_share") { $0.scales?.nearZeroShare }, .init("gamma_10") { $0.scales?.lowerScale },
    .init("gamma_50") { $0.scales?.medianScale }, .init("gamma_90") { $0.scales?.upperScale },
    .init(SparsifyMetric.effect) { $0.sparsityHadEffect.map { $0 ? 1 : 0 } },
  ]

/// Figures of the model that fine-tuning begins with, from its mAP50.
let startMetrics: [StageMetric<Double>] = [.init(.map50Cut) { $0 }]

let pruneMetrics: [StageMetric<PruneReport>] = [
  .init(.parameters) { Double($0.parameters) }, .init(.gflops) { $0.gflops }, .init(.sizeMB) { $0.sizeMegabytes },
  .init("threshold") { Double($0.threshold) }, .init("removed_channels") { Double($0.removed) },
]

let evaluateMetrics: [StageMetric<EvaluationReport>] = [
  .init("precision") { $0.precision }, .init("recall") { $0.recall }, .init(.map50) { $0.map50 },
  .init(.map50_95) { $0.map50_95 }, .init(.parameters) { Double($0.parameters) },
  .init("parameters_fused") { Double($0.parametersFused) }, .init(.gflops) { $0.gflops },
  .init(.sizeMB) { $0.sizeMegabytes },
]

let benchmarkMetrics: [StageMetric<BenchmarkReport>] = [
  .init(.latencyMS) { $0.medianMilliseconds }, .init("latency_p95_ms") { $0.p95Milliseconds },
  .init("latency_spread") { $0.spread }, .init(BenchmarkMetric.reference) { $0.referenceMilliseconds },
  .init(BenchmarkMetric.others) { $0.othersProcessors }, .init(.energyJ) { $0.energyJoules },
  .init("energy_spread") { $0.energySpread },
  .init("idle_w") { $0.idleWatts.map { watts in watts.reduce(0, +) / Double(watts.count) } },
]

/// How the benchmark's metrics that can be had in several ways were obtained; nil if there are none.
func kinds(of report: BenchmarkReport) -> [String: String]? {
  report.energyKind.map { [Objective.Metric.energyJ.rawValue: $0.rawValue] }
}
