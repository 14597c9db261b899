import Sweep

/// Pausing, stopping and resuming sweeps, and their priorities.
extension CoordinatorBrain {
  mutating func steer(_ sweep: SweepIndex, to mode: SweepMode) throws(Refusal) -> OperatorResponse {
    let id = sweeps[sweep].id
    guard !sweeps[sweep].isCancelled else {
      throw Refusal("\(id) is cancelled: submitting it again goes on where it stopped")
    }
    guard sweeps[sweep].mode != mode else { return .done(message: "\(id) \(mode.sentence) already") }
    if mode != .active, !sweeps[sweep].jobs.contains(where: { jobs[$0].state.isUnderWay }) {
      throw Refusal("\(id) has ended: nothing of it runs or waits")
    }
    decide(.sweepSteered(sweep: id, mode: mode))
    takeBackPausedJobs(of: sweep)
    let running = sweeps[sweep].running
    switch mode {
    case .active: return .done(message: "\(id) goes on")
    case .paused:
      let handedBack = running > 0 ? "; \(running) running jobs are handed back with their newest checkpoints" : ""
      return .done(message: "\(id) is paused\(handedBack): 'greensweep resume' goes on with it")
    case .stopped:
      let finished = running > 0 ? "; \(running) running jobs are finished" : ""
      return .done(message: "\(id) starts nothing more\(finished): 'greensweep resume' goes on with it")
    }
  }

  mutating func prioritize(_ sweep: SweepIndex, _ priority: Int) throws(Refusal) -> OperatorResponse {
    guard SweepSpec.priorityRange.contains(priority) else { throw Refusal("a priority must lie in -1000...1000") }
    setPriority(of: sweep, priority)
    return .done(message: "\(sweeps[sweep].id) has priority \(priority)")
  }

  mutating func setPriority(of sweep: SweepIndex, _ priority: Int) {
    guard sweeps[sweep].priority != priority else { return }
    decide(.sweepPrioritized(sweep: sweeps[sweep].id, priority: priority))
  }

  /// Whether a sweep that may start jobs wants it.
  func isWantedNow(_ job: JobIndex) -> Bool { jobs[job].sweeps.contains(where: isActive) }

  /// Whether all sweeps that want the job are paused, so that it must not even be finished.
  func isHeldBack(_ job: JobIndex) -> Bool {
    !jobs[job].sweeps.isEmpty && jobs[job].sweeps.allSatisfy { sweeps[$0].mode == .paused }
  }

  /// Called when a sweep lets go of jobs that others may want.
  mutating func takeBackPausedJobs(of sweep: SweepIndex) {
    for job in sweeps[sweep].jobs {
      if case .leased(let number) = jobs[job].state, isHeldBack(job) { takeBack(number) }
    }
  }

  /// Has the attempt handed back. A worker that cannot be reached is told when it returns.
  mutating func takeBack(_ number: AttemptNumber) {
    guard let worker = roster.workers[ledger.attempts[number]!.worker], worker.connection != nil else { return }
    if worker.protocolVersion >= FleetProtocol.handBackVersion {
      tell(worker.id, .handBack(attempt: number))
    } else {
      handBack(number)
      tell(worker.id, .cancelAttempt(attempt: number, reason: .superseded))
    }
  }
}

extension SweepMode {
  fileprivate var sentence: String {
    switch self {
    case .active: "is active"
    case .paused: "is paused"
    case .stopped: "is stopped"
    }
  }
}
