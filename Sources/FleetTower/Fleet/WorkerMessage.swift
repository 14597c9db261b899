import Bytes
import Sweep

/// A message of a worker to the coordinator, on its control connection. The first message is `hello`.
///
/// `epochMetrics`, `checkpointStored`, `attemptFinished`, `attemptFailed` and `attemptReturned` are pending deliveries:
/// the worker repeats them after every reconnect until the coordinator acknowledges them. Each means the same when it
/// comes twice.
public enum WorkerMessage: Hashable, Sendable, Codable {
  case hello(Hello)
  /// Renews the leases of the attempts named, and says that the worker lives.
  /// - Parameter fetching: those of them whose inputs are still on their way. (From protocol 2 on.)
  case heartbeat(attempts: [AttemptNumber], fetching: [AttemptNumber]? = nil)
  case epochMetrics(attempt: AttemptNumber, metrics: EpochMetrics)
  /// The checkpoint's bytes are already in the coordinator's store.
  case checkpointStored(attempt: AttemptNumber, checkpoint: Checkpoint)
  /// The result's artifacts are already in the coordinator's store.
  case attemptFinished(attempt: AttemptNumber, result: StageResult)
  case attemptFailed(attempt: AttemptNumber, failure: StageFailure)
  /// Handed back unfinished, through no fault of the job: the worker is leaving, or was told to stop.
  case attemptReturned(attempt: AttemptNumber)
  /// An artifact that the coordinator has asked for is in its store again. (From protocol 3 on, as the next.)
  case broughtBack(artifact: ArtifactReference)
  case cannotBringBack(artifact: Digest)
  /// Nothing more will come; do not wait for this worker.
  case goodbye

  /// The artifacts that the message references; the shell looks them up before it hands the message to the brain.
  public var artifacts: [ArtifactReference] {
    switch self {
    case .checkpointStored(_, let checkpoint): [checkpoint.artifact]
    case .attemptFinished(_, let result): result.artifacts.keys.sorted().map { result.artifacts[$0]! }
    case .attemptFailed(_, let failure): failure.log.map { [$0] } ?? []
    case .broughtBack(let artifact): [artifact]
    case .hello, .heartbeat, .epochMetrics, .attemptReturned, .cannotBringBack, .goodbye: []
    }
  }
}

/// How a worker introduces itself, at first and after every break.
public struct Hello: Hashable, Sendable, Codable {
  public var protocolVersion: Int
  public var worker: WorkerID
  /// Drawn anew by each process, so that a restarted worker is told from a reconnected one.
  public var incarnation: UInt64
  /// For people: the host's name unless told otherwise.
  public var name: String
  public var box: BoxID
  public var slots: Int
  public var labels: [String: String]
  /// Every attempt the worker still holds: fetching, running, or finished and not yet acknowledged.
  public var attempts: [AttemptNumber]
  /// The worker is on its way out and takes nothing new.
  public var isDraining: Bool
  /// The metrics that objectives may name and this worker's host can measure. nil, as in the messages of older workers,
  /// leaves that open.
  public var metrics: [String]?

  public init(
    protocolVersion: Int = FleetProtocol.version, worker: WorkerID, incarnation: UInt64, name: String,
    box: BoxID, slots: Int, labels: [String: String] = [:], attempts: [AttemptNumber] = [], isDraining: Bool = false,
    metrics: [String]? = nil
  ) {
    self.protocolVersion = protocolVersion
    self.worker = worker
    self.incarnation = incarnation
    self.name = name
    self.box = box
    self.slots = slots
    self.labels = labels
    self.attempts = attempts
    self.isDraining = isDraining
    self.metrics = metrics
  }
}

public enum FleetProtocol {
  /// Raised whenever a message changes its meaning or its form. A member that may be missing, and that who does not
  /// know it may overlook, changes neither.
  public static let version = 3
  /// Versions this build can speak with: the one before, and what else costs nothing.
  public static let accepted = 1...3
  /// From here on workers understand `handBack`; one that does not is told to drop the attempt instead.
  static let handBackVersion = 2
  /// From here on workers can be asked for artifacts they hold.
  static let bringBackVersion = 3
}

/// A checkpoint once it is an artifact.
public struct Checkpoint: Hashable, Sendable, Codable {
  /// The last finished epoch in it, counted from 1.
  public var epoch: Int
  public var artifact: ArtifactReference
  public init(epoch: Int, artifact: ArtifactReference) {
    self.epoch = epoch
    self.artifact = artifact
  }
}

/// Why a stage did not finish.
public struct StageFailure: Hashable, Sendable, Codable {
  /// The last words of the stage's process, bounded.
  public var message: String
  public var log: ArtifactReference?
  public var cause: FailureCause

  public init(message: String, log: ArtifactReference? = nil, cause: FailureCause = .other) {
    self.message = message
    self.log = log
    self.cause = cause
  }

  /// Every further attempt would fail in the same way, so there is none.
  public var isFinal: Bool { cause == .refused }

  private enum CodingKeys: CodingKey { case message, log, isFinal, cause }

  /// Older workers and journals have `isFinal` alone, and the oldest neither.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    message = try container.decode(String.self, forKey: .message)
    log = try container.decodeIfPresent(ArtifactReference.self, forKey: .log)
    let isFinal = try container.decodeIfPresent(Bool.self, forKey: .isFinal) ?? false
    cause = try container.decodeIfPresent(FailureCause.self, forKey: .cause) ?? (isFinal ? .refused : .other)
  }

  /// Older programs understand `isFinal` and overlook `cause`.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(message, forKey: .message)
    try container.encodeIfPresent(log, forKey: .log)
    try container.encode(isFinal, forKey: .isFinal)
    if cause != .other { try container.encode(cause, forKey: .cause) }
  }
}
