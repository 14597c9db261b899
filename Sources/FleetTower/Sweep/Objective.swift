/// A metric to make as large or as small as possible.
public struct Objective: Hashable, Sendable, Codable, CustomStringConvertible {
  public enum Direction: String, CaseIterable, Hashable, Sendable, Codable { case maximize, minimize }

  public enum Metric: String, CaseIterable, Hashable, Sendable, Codable {
    case map50
    case map50_95
    case sizeMB = "size_mb"
    case parameters
    case gflops
    case latencyMS = "latency_ms"
    case energyJ = "energy_j"

    /// The stage that measures it.
    public var stage: Stage { self == .latencyMS || self == .energyJ ? .benchmark : .evaluate }

    /// How people write it on a plot's axis.
    public var title: String {
      switch self {
      case .map50: "mAP50"
      case .map50_95: "mAP50-95"
      case .sizeMB: "size (MB)"
      case .parameters: "parameters"
      case .gflops: "GFLOPs"
      case .latencyMS: "latency (ms)"
      case .energyJ: "energy (J)"
      }
    }

    /// The direction nobody doubts.
    public var naturalDirection: Direction { self == .map50 || self == .map50_95 ? .maximize : .minimize }
  }

  public var direction: Direction
  public var metric: Metric

  public init(_ direction: Direction, _ metric: Metric) {
    self.direction = direction
    self.metric = metric
  }

  public var description: String { "\(direction.rawValue) \(metric.rawValue)" }

  /// Whether `a` is strictly better than `b`.
  public func prefers(_ a: Double, to b: Double) -> Bool { direction == .maximize ? a > b : a < b }
}
