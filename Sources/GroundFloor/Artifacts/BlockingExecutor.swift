import Dispatch

/// A serial executor for actors that block: on the disk, on hashing, on SQLite. They get a thread of their own, because
/// two blocked threads are all that Swift's cooperative pool has on a small box.
public final class BlockingExecutor: SerialExecutor, Sendable {
  private let queue: DispatchQueue

  public init(_ label: String) { queue = DispatchQueue(label: label) }

  public func enqueue(_ job: consuming ExecutorJob) {
    // The job is run exactly once, and its actor keeps this executor alive until then.
    let job = UnownedJob(job)
    let executor = unsafe asUnownedSerialExecutor()
    queue.async { unsafe job.runSynchronously(on: executor) }
  }

  public func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }

  /// The executor that an actor returns as its `unownedExecutor` to run here. Safe because the actor stores this
  /// object, which so lives at least as long as the actor.
  @safe public var executor: UnownedSerialExecutor { unsafe asUnownedSerialExecutor() }
}
