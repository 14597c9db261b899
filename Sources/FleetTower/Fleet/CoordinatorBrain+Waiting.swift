import Bytes
import Sweep

/// Why jobs wait, for people and programs: read-only.
extension CoordinatorBrain {
  struct Wait {
    let cause: WaitCause
    let text: String
    var seconds: Double?
  }

  /// Why the job failed, or cannot run because something before it did.
  func reason(of index: JobIndex) -> String? {
    switch jobs[index].state {
    case .failed(let reason): reason
    case .blocked: failedAncestor(of: index).map { "\(jobs[$0].stage.rawValue) \(jobs[$0].key.short) has failed" }
    case .waiting, .ready, .leased, .succeeded, .cancelled: nil
    }
  }

  func failedAncestor(of index: JobIndex) -> JobIndex? {
    for source in jobs[index].sources {
      if case .failed = jobs[source].state { return source }
      if jobs[source].state == .blocked { return failedAncestor(of: source) }
    }
    return nil
  }

  /// nil if the job is done, given up, or under way.
  func wait(of index: JobIndex, _ fleet: FleetFigures) -> Wait? {
    let job = jobs[index]
    switch job.state {
    case .succeeded, .cancelled, .failed: return nil
    case .blocked: return Wait(cause: .failedParent, text: reason(of: index) ?? "something before it has failed")
    case .waiting:
      return job.sources.first { jobs[$0].state != .succeeded }.map {
        Wait(cause: .parent, text: "waits for \(jobs[$0].stage.rawValue) \(jobs[$0].key.short)")
      }
    case .leased(let number): return roster.holdings[number].flatMap { wait(of: $0, job: index) }
    case .ready:
      if let wait = waitForSweep(index) ?? waitForRetry(index) ?? waitForInput(index) { return wait }
      if fleet.slots == 0 { return waitForWorker(fleet) }
      return job.stage == .benchmark ? waitForBox(job) : waitForSlot(fleet)
    }
  }

  private func wait(of holding: Holding, job: JobIndex) -> Wait? {
    if holding.isOrphaned { return Wait(cause: .worker, text: "its worker has lost the connection") }
    if isHeldBack(job) { return Wait(cause: .sweep, text: "is being handed back, as its sweep is paused") }
    return holding.isFetching ? Wait(cause: .data, text: "its worker fetches what it needs") : nil
  }

  private func waitForSweep(_ job: JobIndex) -> Wait? {
    guard !isWantedNow(job), let sweep = jobs[job].sweeps.first else { return nil }
    if let problem = measuringProblem(of: sweep) { return Wait(cause: .worker, text: problem) }
    return Wait(cause: .sweep, text: "\(sweeps[sweep].id) is \(sweeps[sweep].mode.rawValue)")
  }

  private func waitForRetry(_ job: JobIndex) -> Wait? {
    guard let moment = queue.endOfPause(of: job) else { return nil }
    let seconds = Double(max(0, moment.milliseconds - now.milliseconds)) / 1000
    return Wait(
      cause: .retry, text: "attempt \(jobs[job].attemptCount + 1) begins in \(Int(seconds.rounded(.up))) s",
      seconds: seconds)
  }

  private func waitForInput(_ job: JobIndex) -> Wait? {
    guard let (role, digest) = unavailableInput(of: job) else { return nil }
    let name = "its \(role.words) (\(digest.description.prefix(8)))"
    if ledger.lostArtifacts.contains(digest) {
      return Wait(cause: .data, text: "the coordinator's store has lost \(name): submit the sweep again")
    }
    return Wait(cause: .data, text: "the coordinator's store has lost \(name); workers are asked for it")
  }

  private func waitForWorker(_ fleet: FleetFigures) -> Wait {
    if fleet.connectedWorkers == 0 { return Wait(cause: .worker, text: "no worker is connected") }
    let isDraining = fleet.drainingWorkers == fleet.connectedWorkers
    return Wait(
      cause: .worker,
      text: isDraining
        ? "no worker takes jobs: all \(fleet.connectedWorkers) are draining"
        : "no worker that is connected has a slot")
  }

  private func waitForSlot(_ fleet: FleetFigures) -> Wait {
    if fleet.freeSlots > 0 { return Wait(cause: .slot, text: "starts next") }
    let kept = roster.reservedBoxes.isEmpty ? "" : ", or kept for a benchmark"
    return Wait(cause: .slot, text: "all \(fleet.slots) slots are busy\(kept)")
  }

  private func waitForBox(_ job: Job) -> Wait {
    if isOutranked(job.sweep) { return Wait(cause: .slot, text: "sweeps of higher priority go first") }
    if !roster.canMeasure(sweeps[job.sweep].hostMetrics) {
      let names = sweeps[job.sweep].hostMetrics.map(\.rawValue).joined(separator: " and ")
      return Wait(cause: .worker, text: "no worker that is connected can measure \(names)")
    }
    guard let box = sweeps[job.sweep].benchmarkBox else {
      return Wait(cause: .box, text: "waits for a box to measure on")
    }
    guard let state = roster.boxes[box], state.absentSince == nil else {
      return Wait(cause: .box, text: "waits for box \(box) to come back")
    }
    return Wait(cause: .box, text: "waits until nothing else runs on box \(box)")
  }
}

extension InputRole {
  fileprivate var words: String {
    switch self {
    case .dataset: "data set"
    case .weights: "weights"
    case .hyp: "hyper-parameter file"
    case .network: "model file"
    case .model: "parent's model"
    case .teacher: "teacher's model"
    case .resume: "checkpoint"
    }
  }
}
