import Bytes
import JSON
import Sweep

/// A message of the coordinator to a worker. Every acknowledgement and every assignment is sent after the journal's
/// fsync.
public enum CoordinatorMessage: Hashable, Sendable, Codable {
  case welcome(Welcome)
  /// The connection is closed after it; the reason is for people.
  case refused(reason: String)
  case assign(Assignment)
  /// Stop working on it and forget it; nothing more is owed for it.
  case cancelAttempt(attempt: AttemptNumber, reason: CancelReason)
  /// Stop working on it, deliver its newest checkpoint, then say that it is returned. (From protocol 2 on.)
  case handBack(attempt: AttemptNumber)
  case heartbeatAcknowledged
  case metricsAcknowledged(attempt: AttemptNumber, epoch: Int)
  case checkpointAcknowledged(attempt: AttemptNumber, epoch: Int)
  /// The answer to finished, failed and returned. Not accepted: the attempt no longer counted
  /// (superseded, or settled before), and nothing changed.
  case attemptAcknowledged(attempt: AttemptNumber, accepted: Bool)
  /// A message of this attempt spoke of artifacts the store does not have: upload them, and say it again.
  case artifactsMissing(attempt: AttemptNumber, digests: [Digest])
  /// The store has lost this artifact: upload it, if it is still in the cache. Answered by `broughtBack` or
  /// `cannotBringBack`. (From protocol 3 on.)
  case bringBack(artifact: ArtifactReference)
  /// Take nothing new, finish what runs, say goodbye and leave; or, if false, stay after all.
  case drain(isDraining: Bool)
}

public struct Welcome: Hashable, Sendable, Codable {
  public var protocolVersion: Int
  public var leaseMilliseconds: Int64
  public var heartbeatMilliseconds: Int64
  /// Attempts of the hello that no longer count: stop them and forget them.
  public var abandon: [AttemptNumber]

  public init(
    protocolVersion: Int = FleetProtocol.version, leaseMilliseconds: Int64, heartbeatMilliseconds: Int64,
    abandon: [AttemptNumber]
  ) {
    self.protocolVersion = protocolVersion
    self.leaseMilliseconds = leaseMilliseconds
    self.heartbeatMilliseconds = heartbeatMilliseconds
    self.abandon = abandon
  }
}

/// The order to run one attempt: data only, never a command.
public struct Assignment: Hashable, Sendable, Codable {
  public var attempt: AttemptNumber
  public var job: JobKey
  public let stage: Stage
  private let values: [String: PlainValue]
  /// By the `InputRole`'s name. `resume` is the newest acknowledged checkpoint, if there is one.
  public var inputs: [String: ArtifactReference]
  /// The limits of the attempt; the worker may allow less. (From protocol 2 on.)
  public var limits: StageLimits?

  public init(
    attempt: AttemptNumber, job: JobKey, configuration: StageConfiguration,
    inputs: [InputRole: ArtifactReference], limits: StageLimits? = nil
  ) {
    self.attempt = attempt
    self.job = job
    stage = configuration.stage
    values = configuration.values
    self.inputs = Dictionary(uniqueKeysWithValues: inputs.map { ($0.key.rawValue, $0.value) })
    self.limits = limits
  }

  private enum CodingKeys: String, CodingKey {
    case attempt, job, stage, values = "configuration", inputs, limits
  }

  public var configuration: StageConfiguration { StageConfiguration(stage, values) }
  public func input(_ role: InputRole) -> ArtifactReference? { inputs[role.rawValue] }
}

public enum CancelReason: String, Hashable, Sendable, Codable {
  /// Another attempt at the job has begun, or has succeeded.
  case superseded
  /// The sweep was cancelled.
  case cancelled
}
