import Fleet
import Sweep

/// A journal without what later records supersede must lead to the same brain.
extension SimulatedCluster {
  /// On some restarts; what follows then rests on the shorter journal.
  mutating func compactJournal() throws(BrokenPromise) {
    guard random.once(in: 8) else { return }
    var shorter = SupersededRecords.removed(from: coordinator.journal.records)
    if fault == .compactTooMuch { shorter.removeAll { if case .checkpointStored = $0 { true } else { false } } }
    let before = replayed(coordinator.journal.records)
    let after = replayed(shorter)
    for request in everyRequest(before.jobs) {
      guard answer(before.brain, request) == answer(after.brain, request) else {
        throw broken("a shorter journal gives the same coordinator", "\(request) is answered differently")
      }
    }
    guard assignments(before.brain) == assignments(after.brain),
      before.brain.referencedArtifacts() == after.brain.referencedArtifacts()
    else { throw broken("a shorter journal gives the same coordinator", "it goes on differently") }
    coordinator.journal.damage { $0 = shorter }
  }

  private func replayed(_ records: [Record]) -> (brain: CoordinatorBrain, jobs: Set<JobKey>) {
    var brain = CoordinatorBrain(policy: coordinator.policy)
    var jobs: Set<JobKey> = []
    for record in records {
      brain.replay(record)
      if case .attemptStarted(_, let job, _, _) = record { jobs.insert(job) }
    }
    brain.start(at: Instant(milliseconds: 0))
    return (brain, jobs)
  }

  private func everyRequest(_ jobs: Set<JobKey>) -> [OperatorRequest] {
    let ofSweeps = trees.flatMap { tree in
      [
        OperatorRequest.status(sweep: tree.sweep.name), .results(sweep: tree.sweep.name, objectives: nil),
        .retry(target: tree.sweep.name), .steer(sweep: tree.sweep.name, mode: .paused),
      ] + tree.trialIDs.map { .pull(trial: "\(tree.sweep)/\($0)") }
    }
    return [.status(sweep: nil), .workers] + ofSweeps + jobs.sorted().map { .logs(job: "\($0)") }
  }

  private func answer(_ brain: CoordinatorBrain, _ request: OperatorRequest) -> [CoordinatorEffect] {
    var brain = brain
    return brain.handle(.requested(request, from: ConnectionID(0)), at: Instant(milliseconds: 0))
  }

  /// Returns the assignments to all workers when they come back with nothing, or once all leases have run out.
  private func assignments(_ brain: CoordinatorBrain) -> [CoordinatorEffect] {
    var brain = brain
    var effects: [CoordinatorEffect] = []
    for (index, worker) in workers.enumerated() {
      let hello = Hello(
        worker: worker.id, incarnation: 1, name: worker.id.name, box: worker.box, slots: worker.slots,
        labels: worker.labels)
      let connection = ConnectionID(UInt64(index) + 1)
      effects += brain.handle(.received(.hello(hello), from: connection), at: Instant(milliseconds: 0))
    }
    let later = Instant(milliseconds: coordinator.policy.leaseMilliseconds)
    return effects + brain.handle(.deadlinePassed, at: later)
  }
}
