import Fleet
import Sweep

/// Checks that queues for a peer that is away, or for a disk that cannot be written, have a bound however long that
/// lasts.
struct QueuesStayBounded: Checker {
  let promise = "bounded queues stay bounded"

  /// Figures of epochs that a worker keeps for each attempt.
  static let metricsLimit = 2
  /// Copies of an assignment that come late make a worker begin what it has just ended, until its next heartbeat.
  private static let spareAttempts = 4

  private let jobs: Int
  private let sweeps: Int
  private let lossLimit: Int
  private var slots: [WorkerID: Int] = [:]
  private var boxes: Set<BoxID> = []

  init(trees: [StageTree], lossLimit: Int) {
    jobs = Set(trees.flatMap { $0.nodes.map(\.key) }).count
    sweeps = trees.count
    self.lossLimit = lossLimit
  }

  mutating func observe(_ observation: Observation) -> String? {
    switch observation {
    case .enrolled(let worker, let box, let count, _):
      slots[worker] = count
      boxes.insert(box)
    case .keeps(let backlog, let waiting): return problem(backlog, waiting)
    case .holds(let worker, let backlog): return problem(backlog, of: worker)
    default: break
    }
    return nil
  }

  private func problem(_ backlog: CoordinatorBacklog, _ waiting: Int) -> String? {
    for (worker, count) in backlog.attemptsOfWorker where count > slots[worker] ?? 0 {
      return "\(count) attempts are with \(worker), which has \(slots[worker] ?? 0) slots"
    }
    let attempts = backlog.attemptsOfWorker.values.reduce(0, +)
    return first([
      // Beyond the limit nobody is heard any more; the last event may have given each slot a job.
      (
        "that wait for the coordinator's disk", waiting,
        SimulatedCoordinator.outboxLimit + 4 * slots.values.reduce(10, +)
      ),
      ("connections", backlog.connections, slots.count),
      ("boxes", backlog.boxes, slots.count),
      ("losses", backlog.losses, jobs * lossLimit),
      ("history entries of a job", backlog.historyEntries, 8),
      // A checkpoint, a model and a log of each, and what was submitted.
      ("repairs", backlog.repairs, 3 * jobs + sweeps),
      // A lease for each attempt, a pause for each job, silence or oblivion for each worker.
      ("deadlines", backlog.deadlines, attempts + jobs + slots.count + sweeps + boxes.count + backlog.repairs),
    ]).map { "the coordinator keeps too much: \($0)" }
  }

  private func problem(_ backlog: WorkerBacklog, of worker: WorkerID) -> String? {
    // The attempts that run, and those that have ended and are not acknowledged yet.
    let attempts = 2 * slots[worker]! + Self.spareAttempts
    return first([
      ("attempts", backlog.attempts, attempts),
      ("figures of one attempt", backlog.metrics, Self.metricsLimit),
      // A data set and the inputs of each attempt; a checkpoint, a model and a log, and what the store has lost.
      ("fetches", backlog.fetches, 1 + 2 * attempts),
      ("uploads", backlog.uploads, 3 * attempts + 3 * jobs),
      // To connect, to be silent, to beat, to leave; to try again, to rest.
      ("deadlines", backlog.deadlines, 4 + backlog.fetches + backlog.uploads + backlog.attempts),
    ]).map { "\(worker) keeps too much: \($0)" }
  }

  private func first(_ queues: [(name: String, count: Int, bound: Int)]) -> String? {
    queues.first { $0.count > $0.bound }.map { "\($0.count) \($0.name), not \($0.bound)" }
  }
}
