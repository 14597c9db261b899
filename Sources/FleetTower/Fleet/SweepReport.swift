import Bytes
import Sweep

/// All that a coordinator knows of a sweep, for a report. Of large sweeps it has the jobs that lead to the front and
/// those that have failed.
public struct SweepReport: Hashable, Sendable, Codable {
  public struct Job: Hashable, Sendable, Codable {
    public var job: JobKey
    public var stage: Stage
    public var title: String
    public var state: JobPhase
    /// Why it failed.
    public var reason: String?
    /// The name of the worker that has finished it.
    public var worker: String?
    /// The worker's host, while the worker is known.
    public var box: BoxID?
    /// The trials that it is part of, some of many.
    public var trials: [TrialID]
    public var metrics: [String: Double]
    /// By the `OutputRole`'s name.
    public var artifacts: [String: ArtifactReference]
    /// The latest attempts.
    public var attempts: [JobHistory.Entry]
  }

  /// The finished jobs of a stage that one worker has run.
  public struct StageWork: Hashable, Sendable, Codable {
    public var stage: Stage
    public var worker: String
    public var jobs = 0
    public var wallSeconds = 0.0
    public var processorSeconds = 0.0

    init(stage: Stage, worker: String) {
      self.stage = stage
      self.worker = worker
    }
  }

  public var spec: SweepSpec
  public var dataset: ArtifactReference
  public var status: SweepStatus
  public var table: ResultTable
  public var jobs: [Job]
  public var stages: [StageWork]
  /// The host of all benchmarks; nil until there is one.
  public var benchmarkBox: BoxID?
}
