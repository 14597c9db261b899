import Bytes
import Sweep

/// Why jobs wait, for people and programs: read-only.
extension CoordinatorBrain {
  struct Wait {
    let cause: WaitCause
    let text: String
    var seconds: Double?
  }

  /// The figures of the workers that each placement of a sweep admits.
  typealias Fleets = [SweepPlacement: FleetFigures]

  var fleets: Fleets {
    let placements = Set(sweeps.lazy.map(\.placement)).union([SweepPlacement()])
    return Dictionary(uniqueKeysWithValues: placements.map { ($0, roster.figures(for: $0)) })
  }

  /// Returns why nothing of the sweep starts although its operators want it to, and what can be done; nil if nothing
  /// hinders it.
  func obstacle(to sweep: SweepIndex) -> String? {
    if let problem = measuringProblem(of: sweep) { return problem }
    let placement = sweeps[sweep].placement
    guard !placement.requires.isEmpty else { return nil }
    return placementProblem(placement, [SweepPlacement(): roster.figures(), placement: roster.figures(for: placement)])
  }

  /// nil if a worker is connected that the placement admits, or none at all.
  private func placementProblem(_ placement: SweepPlacement, _ fleets: Fleets) -> String? {
    let count = fleets[SweepPlacement()]!.connectedWorkers
    guard count > 0, fleets[placement]!.connectedWorkers == 0 else { return nil }
    return "waits for a worker with \(placement.requirement); "
      + (count == 1 ? "the only connected worker has none" : "\(count) connected workers have none")
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
  func wait(of index: JobIndex, _ fleets: Fleets) -> Wait? {
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
      // The sweep with the most slots will run it.
      let placements = job.sweeps.filter(isActive).map { sweeps[$0].placement }
      let placement = placements.max { fleets[$0]!.slots < fleets[$1]!.slots } ?? SweepPlacement()
      if fleets[placement]!.slots == 0 { return waitForWorker(placement, fleets) }
      return job.stage == .benchmark ? waitForBox(job) : waitForSlot(placement, fleets[placement]!)
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

  private func waitForWorker(_ placement: SweepPlacement, _ fleets: Fleets) -> Wait {
    if let problem = placementProblem(placement, fleets) { return Wait(cause: .worker, text: problem) }
    let fleet = fleets[placement]!
    if fleet.connectedWorkers == 0 { return Wait(cause: .worker, text: "no worker is connected") }
    let isDraining = fleet.drainingWorkers == fleet.connectedWorkers
    return Wait(
      cause: .worker,
      text: isDraining
        ? "no worker\(placement.condition) takes jobs: all \(fleet.connectedWorkers) are draining"
        : "no worker\(placement.condition) that is connected has a slot")
  }

  private func waitForSlot(_ placement: SweepPlacement, _ fleet: FleetFigures) -> Wait {
    if fleet.freeSlots > 0 { return Wait(cause: .slot, text: "starts next") }
    let kept = roster.reservedBoxes.isEmpty ? "" : ", or kept for a benchmark"
    let place = placement.requires.isEmpty ? "" : " of workers\(placement.condition)"
    let busy =
      fleet.slots == 1 ? "the only slot\(place) is busy" : "all \(fleet.slots) slots\(place) are busy"
    return Wait(cause: .slot, text: busy + kept)
  }

  private func waitForBox(_ job: Job) -> Wait {
    if isOutranked(job.sweep) { return Wait(cause: .slot, text: "sweeps of higher priority go first") }
    let placement = sweeps[job.sweep].placement
    if !roster.canMeasure(sweeps[job.sweep].hostMetrics, for: placement) {
      let names = sweeps[job.sweep].hostMetrics.map(\.rawValue).joined(separator: " and ")
      return Wait(cause: .worker, text: "no worker\(placement.condition) that is connected can measure \(names)")
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

extension SweepPlacement {
  /// The requirement after the word ‘worker’; empty if there is none.
  var condition: String { requires.isEmpty ? "" : " with \(requirement)" }
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
