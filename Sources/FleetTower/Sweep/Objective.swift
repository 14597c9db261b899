import Plotting
import Wording

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
    case map50Cut = "map50_cut"

    /// The stages that measure it; the last one on a trial's way counts.
    public var stages: [Stage] { row.stages }
    /// Whether the benchmark measures it, on a host that can.
    public var isBenchmarked: Bool { stages == [.benchmark] }
    /// How people write it on a plot's axis.
    public var title: String { row.title }
    /// Accuracy is maximised, every cost minimised.
    public var naturalDirection: Direction { row.direction }

    private var row: (stages: [Stage], title: String, direction: Direction, decimals: Int) {
      switch self {
      case .map50: ([.evaluate], "mAP50", .maximize, 3)
      case .map50_95: ([.evaluate], "mAP50-95", .maximize, 3)
      case .sizeMB: ([.evaluate], "size (MB)", .minimize, 2)
      case .parameters: ([.evaluate], "parameters", .minimize, 0)
      case .gflops: ([.evaluate], "GFLOPs", .minimize, 2)
      case .latencyMS: ([.benchmark], "latency (ms)", .minimize, 2)
      case .energyJ: ([.benchmark], "energy (J)", .minimize, 2)
      case .map50Cut: ([.sparsify, .finetune], "mAP50 right after the cut", .maximize, 3)
      }
    }

    /// Whether it can be measured or modelled, so that its kind belongs to each value.
    public var hasKinds: Bool { self == .energyJ }

    /// As many digits as mean something.
    public func format(_ value: Double) -> String { fixed(value, decimals: row.decimals) }
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

/// How a value was obtained. A front never compares values of two kinds.
public enum MetricKind: String, CaseIterable, Hashable, Sendable, Codable, Comparable {
  /// Read from the host's counters.
  case measured
  /// Computed from the processor time with the host's calibrated power.
  case modelled
  /// The result does not say.
  case unknown

  public static func < (a: MetricKind, b: MetricKind) -> Bool { a.rawValue < b.rawValue }
}

/// Why a text is no objective.
public struct ObjectiveError: Error, Hashable, Sendable, CustomStringConvertible {
  public let description: String
}

extension Objective {
  /// `maximize map50`, or `map50` alone where only one direction makes sense.
  /// - Throws: `ObjectiveError` that names the nearest word there is.
  public init(parsing text: String) throws(ObjectiveError) {
    let words = text.split(separator: " ").map(String.init)
    guard let name = words.last, words.count <= 2 else {
      throw ObjectiveError(description: "‘\(text.shortened())’ is no objective; write one like ‘maximize map50’")
    }
    let metrics = Metric.allCases.map(\.rawValue)
    guard let metric = Metric(rawValue: name) else {
      throw ObjectiveError(description: unknown("metric", name, among: metrics))
    }
    guard words.count == 2 else {
      self.init(metric.naturalDirection, metric)
      return
    }
    guard let direction = Direction(rawValue: words[0]) else {
      let directions = Direction.allCases.map(\.rawValue)
      throw ObjectiveError(description: unknown("direction", words[0], among: directions))
    }
    self.init(direction, metric)
  }
}

/// `unknown metric ‘map5’; did you mean ‘map50’?`
public func unknown(_ kind: String, _ word: String, among words: [String]) -> String {
  let hint =
    nearest(word, among: words).map { "did you mean ‘\($0)’?" } ?? "there are \(words.joined(separator: ", "))"
  return "unknown \(kind) ‘\(word.shortened())’; \(hint)"
}
