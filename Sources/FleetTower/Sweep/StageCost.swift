/// Names of the figures that every stage reports about itself: those of the attempt that finished it. They are no
/// measurements of a trial and stand in no table.
public enum StageCost {
  public static let wall = "wall_seconds"
  public static let processor = "processor_seconds"
  public static let names: Set = [wall, processor]
}

/// Figures of the stage `sparsify` that stand in no table.
public enum SparsifyMetric {
  /// 0 where the stage has come to nothing, else 1.
  public static let effect = "sparsity_effect"
}

/// The work of a sweep's finished stages.
public struct SweepWork: Hashable, Sendable, Codable {
  /// The time of all stages, one after the other.
  public var wallSeconds = 0.0
  /// The time of all processors.
  public var processorSeconds = 0.0
  /// The processor time that would have come on top if no two trials shared a stage.
  public var sparedProcessorSeconds = 0.0

  public init() {}
}
