import JSON
import Plotting

/// The only door between the towers: the worker is handed a `StageRunner` and knows nothing else of the arithmetic.
///
/// A stage is a pure function of its request: same request, same bytes. It runs in a process of its own
/// (`greensweep stage DIRECTORY` reads `DIRECTORY/request.json`, prints one `StageEvent` in JSON per line of standard
/// output, and writes its files into `DIRECTORY`), and may be killed at any time.
public protocol StageRunner: Sendable {
  /// Runs one stage to its end; the last event is `finished` unless it throws. A `StageRefusal` is final: the job is
  /// not tried again.
  /// - Parameter report: called in order, on one thread.
  func run(_ request: StageRequest, report: (StageEvent) throws -> Void) throws
}

/// Everything that determines what a stage computes, with local paths.
public struct StageRequest: Hashable, Sendable, Codable {
  public var version = 1
  public var job: JobKey
  public let stage: Stage
  private let values: [String: PlainValue]
  /// Local paths, by the `InputRole`'s name.
  public var inputs: [String: String]
  /// Where the stage writes: an existing folder of its own.
  public var directory: String
  /// Where the packed data set may be unpacked, once for all stages that need it: a folder named by the pack, which the
  /// first of them makes (whole or not at all, by renaming) and the worker's cache forgets when room is short.
  public var unpackedDataset: String?
  public var threads: Int
  /// `onednn` or `openblas`; nil takes the machine's default.
  public var backend: String?

  public init(
    job: JobKey, configuration: StageConfiguration, inputs: [InputRole: String], directory: String,
    unpackedDataset: String? = nil, threads: Int, backend: String? = nil
  ) {
    self.job = job
    stage = configuration.stage
    values = configuration.values
    self.inputs = Dictionary(uniqueKeysWithValues: inputs.map { ($0.key.rawValue, $0.value) })
    self.directory = directory
    self.unpackedDataset = unpackedDataset
    self.threads = threads
    self.backend = backend
  }

  private enum CodingKeys: String, CodingKey {
    case version, job, stage, values = "configuration", inputs, directory, unpackedDataset, threads, backend
  }

  public var configuration: StageConfiguration { StageConfiguration(stage, values) }
  public func input(_ role: InputRole) -> String? { inputs[role.rawValue] }
}

/// A message that a stage sends while it runs.
public enum StageEvent: Hashable, Sendable, Codable {
  case started(epochs: Int)
  case epoch(EpochMetrics)
  /// A file in the stage's folder from which another process can go on. The stage never changes a file after it has
  /// named it here; the next checkpoint is a new file, or a rename over the old name.
  case checkpoint(epoch: Int, file: String)
  case finished(StageOutput)
  case failed(message: String, cause: FailureCause = .other)
}

/// Thrown by a runner when what is asked cannot be done, on whatever box and however often.
public struct StageRefusal: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// The figures of one finished epoch.
public struct EpochMetrics: Hashable, Sendable, Codable {
  /// Counted from 1.
  public var epoch: Int
  public var epochs: Int
  public var seconds: Double
  /// `box_loss`, `objectness_loss`, `class_loss`, `map50`, `map50_95`, `learning_rate`, `zero_share` …
  public var values: [String: Double]

  public init(epoch: Int, epochs: Int, seconds: Double, values: [String: Double]) {
    self.epoch = epoch
    self.epochs = epochs
    self.seconds = seconds
    self.values = values
  }

  /// How far channels have faded out, such as `faded 43 % of 70 %`; nil where none are to fade.
  public var fading: String? {
    guard let share = values["zero_share"], let target = values["target_share"] else { return nil }
    return fadedWords(share, of: target)
  }
}

/// - Parameters:
///   - share: of the prunable channels, that have faded out.
///   - target: the share that is to fade out.
public func fadedWords(_ share: Double, of target: Double) -> String {
  "faded \(fixed(share * 100, decimals: 0)) % of \(fixed(target * 100, decimals: 0)) %"
}

/// The results of a stage in its folder.
public struct StageOutput: Hashable, Sendable, Codable {
  /// By the names objectives use: `map50`, `size_mb`, `latency_ms` …
  public var metrics: [String: Double]
  /// How metrics that can be had in several ways were obtained (`MetricKind`), by their names. nil: there are none, or
  /// the stage is too old to tell.
  public var kinds: [String: String]?
  /// File names relative to the stage's folder, by the `OutputRole`'s name.
  public var files: [String: String]

  public init(metrics: [String: Double], kinds: [String: String]? = nil, files: [OutputRole: String]) {
    self.metrics = metrics
    self.kinds = kinds
    self.files = Dictionary(uniqueKeysWithValues: files.map { ($0.key.rawValue, $0.value) })
  }
}

/// A stage's result once its files are artifacts.
public struct StageResult: Hashable, Sendable, Codable {
  public var metrics: [String: Double]
  /// As in `StageOutput`.
  public var kinds: [String: String]?
  public var artifacts: [String: ArtifactReference]

  public init(
    metrics: [String: Double], kinds: [String: String]? = nil, artifacts: [OutputRole: ArtifactReference]
  ) {
    self.metrics = metrics
    self.kinds = kinds
    self.artifacts = Dictionary(uniqueKeysWithValues: artifacts.map { ($0.key.rawValue, $0.value) })
  }

  public func artifact(_ role: OutputRole) -> ArtifactReference? { artifacts[role.rawValue] }
}
