import Sweep

/// The worker without its sockets, clock, files and child processes.
public struct WorkerBrain: Sendable {
  public struct Identity: Hashable, Sendable {
    public var worker: WorkerID
    public var name: String
    public var box: BoxID
    public var slots: Int
    public var labels: [String: String]
    /// Steers the jitter of reconnecting.
    public var seed: UInt64

    public init(
      worker: WorkerID, name: String, box: BoxID, slots: Int, labels: [String: String] = [:], seed: UInt64
    ) {
      self.worker = worker
      self.name = name
      self.box = box
      self.slots = slots
      self.labels = labels
      self.seed = seed
    }
  }

  public let identity: Identity
  /// When `deadlinePassed` is due; nil while nothing waits for a time.
  public private(set) var nextDeadline: Instant?

  public init(identity: Identity) { self.identity = identity }

  public mutating func handle(_ event: WorkerEvent, at now: Instant) -> [WorkerEffect] { [] }
}
