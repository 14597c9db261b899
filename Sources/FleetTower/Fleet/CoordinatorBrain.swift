import Sweep

/// The coordinator without its sockets, clock and files.
///
/// Durable state is the fold of the journal's records: rebuild it by `replay`ing them in order, then `start`.
public struct CoordinatorBrain: Sendable {
  public let policy: FleetPolicy
  /// When `deadlinePassed` is due; nil while nothing waits for a time.
  public private(set) var nextDeadline: Instant?

  public init(policy: FleetPolicy = FleetPolicy()) { self.policy = policy }

  /// Applies one record of the journal.
  public mutating func replay(_ record: Record) {}

  /// Called once, after replay and before the first event: attempts that were running get a fresh lease.
  public mutating func start(at now: Instant) {}

  public mutating func handle(_ event: CoordinatorEvent, at now: Instant) -> [CoordinatorEffect] { [] }

  /// What the journal still speaks of; the store may forget everything else that is not fresh.
  public func referencedArtifacts() -> Set<ArtifactDigest> { [] }
}
