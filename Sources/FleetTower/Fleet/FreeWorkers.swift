import Sweep

/// The workers with a free slot, for each placement that jobs have waited with lately.
struct FreeWorkers: Sendable {
  /// The free workers that a placement admits.
  private struct Pool: Sendable {
    /// The worker with more preferred labels goes first, among equals the one with fewer attempts.
    struct Rank: Comparable, Sendable {
      let matches: Int
      let attemptCount: Int
      static func < (a: Rank, b: Rank) -> Bool {
        a.matches != b.matches ? a.matches > b.matches : a.attemptCount < b.attemptCount
      }
    }

    let placement: SweepPlacement
    var free = KeyedQueue<WorkerID, Rank>()

    /// - Parameter attemptCount: nil if it has no free slot.
    func rank(of worker: WorkerState, _ attemptCount: Int?) -> Rank? {
      guard let attemptCount, placement.admits(worker.labels) else { return nil }
      return Rank(matches: placement.matches(worker.labels), attemptCount: attemptCount)
    }

    mutating func place(_ worker: WorkerState, _ attemptCount: Int?) {
      if let rank = rank(of: worker, attemptCount) { free.set(worker.id, rank) } else { free.remove(worker.id) }
    }
  }

  /// The first one admits all workers.
  private var pools = [Pool(placement: SweepPlacement())]

  func contains(_ id: WorkerID) -> Bool { pools[0].free.contains(id) }

  /// The free worker that the placement prefers, among equals the one with the fewest attempts.
  func best(for placement: SweepPlacement) -> WorkerID? { pool(for: placement).flatMap { pools[$0].free.first?.key } }

  /// Whether the placement admits the worker and prefers no other free one to it.
  func contains(_ id: WorkerID, likeTheBestFor placement: SweepPlacement) -> Bool {
    guard let pool = pool(for: placement), let rank = pools[pool].free.priority(of: id) else { return false }
    return rank.matches == pools[pool].free.first?.priority.matches
  }

  private func pool(for placement: SweepPlacement) -> Int? { pools.firstIndex { $0.placement == placement } }

  /// Takes note of whether a worker is free.
  /// - Parameter attemptCount: nil if it has no free slot.
  mutating func place(_ worker: WorkerState, _ attemptCount: Int?) {
    for index in pools.indices { pools[index].place(worker, attemptCount) }
  }

  /// Keeps an account for each of these placements. Others are forgotten when there are many, since a sweep whose jobs
  /// come one after the other waits again and again.
  /// - Parameter state: a free worker and the number of its attempts.
  mutating func open(
    for placements: some Collection<SweepPlacement>, state: (WorkerID) -> (worker: WorkerState, attemptCount: Int)
  ) {
    for placement in placements where pool(for: placement) == nil {
      if pools.count > 2 * placements.count + 8 {
        pools.removeAll { !$0.placement.isEmpty && !placements.contains($0.placement) }
      }
      var pool = Pool(placement: placement)
      // In an order that does not depend on the process.
      for id in pools[0].free.keys.sorted() {
        let (worker, attemptCount) = state(id)
        pool.place(worker, attemptCount)
      }
      pools.append(pool)
    }
  }

  // MARK: - Whether it is right

  func areAll(_ isKnown: (WorkerID) -> Bool) -> Bool { pools.allSatisfy { $0.free.keys.allSatisfy(isKnown) } }

  /// Whether the worker stands where it must in every pool.
  func isInPlace(_ worker: WorkerState, _ attemptCount: Int?) -> Bool {
    pools.allSatisfy { $0.free.priority(of: worker.id) == $0.rank(of: worker, attemptCount) }
  }
}
