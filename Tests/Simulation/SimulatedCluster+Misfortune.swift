import Fleet
import Randomness
import Sweep

/// The misfortunes, one thing at a time and often several at once.
extension SimulatedCluster {
  /// Each misfortune draws from a generator of its own, so that one left out changes nothing about the others.
  mutating func misfortune() throws(BrokenPromise) {
    guard !isPeaceful else { return }
    misfortunes += 1
    var fate = SplitMix64(seed: seed ^ 0xFA7E, misfortunes)
    after(fate.milliseconds(200...3_000), .misfortune)
    if leftOut.contains(misfortunes) { return }
    let kind = Misfortune.allCases[fate.below(Misfortune.allCases.count)]
    let worker = fate.below(workers.count)
    switch kind {
    case .coordinatorCrashes, .coordinatorCrashesWriting, .coordinatorCrashesSending, .coordinatorDiskIsFull,
      .coordinatorWritesFail:
      try befallCoordinator(kind, &fate)
    case .workerCrashes, .workerCrashesToo, .workerFreezes, .workerIsSuspended, .workerIsCutOff, .connectionBreaks,
      .connectionBreaksToo, .workerDiskIsFull, .workerIsAskedToLeave, .workerIsGone:
      befall(worker, kind, &fate)
    case .artifactRots, .artifactRotsToo: rot(&fate)
    case .storeIsVerified: try verifyStore()
    case .clockLeaps: try moveClock(of: worker, by: fate.milliseconds(100...8_000), &fate)
    case .clockFallsBack: try moveClock(of: worker, by: -fate.milliseconds(100...3_000), &fate)
    case .drain, .cancel, .steer, .steerToo, .prioritize, .retry: try peopleInterfere(kind, worker, &fate)
    }
  }

  private mutating func befallCoordinator(_ kind: Misfortune, _ fate: inout SplitMix64) throws(BrokenPromise) {
    switch kind {
    case .coordinatorCrashesWriting: coordinator.crashPoint = .torn
    case .coordinatorCrashesSending: coordinator.crashPoint = .written(sent: fate.below(4))
    case .coordinatorDiskIsFull:
      coordinator.journal.fullUntil = now + fate.milliseconds(200...10_000)
      tellFate("the coordinator's disk is full until \(coordinator.journal.fullUntil) ms")
    case .coordinatorWritesFail:
      coordinator.journal.failingUntil = now + fate.milliseconds(200...5_000)
      tellFate("the coordinator's writes fail until \(coordinator.journal.failingUntil) ms")
    default: try crashCoordinator()
    }
  }

  private mutating func befall(_ worker: Int, _ kind: Misfortune, _ fate: inout SplitMix64) {
    let id = workers[worker].id
    switch kind {
    case .workerFreezes: freeze(worker, for: fate.milliseconds(200...8_000), isSuspended: false)
    case .workerIsSuspended: freeze(worker, for: fate.milliseconds(200...8_000), isSuspended: true)
    case .workerIsCutOff:
      workers[worker].partitionedUntil = now + fate.milliseconds(200...8_000)
      tellFate("\(id) is cut off until \(workers[worker].partitionedUntil) ms")
    case .connectionBreaks, .connectionBreaksToo:
      guard let connection = workers[worker].connection else { return }
      tellFate("the connection of \(id) breaks")
      after(fate.milliseconds(0...200), .endAtWorker(connection))
      if !fate.once(in: 4) { after(fate.milliseconds(0...200), .endAtCoordinator(connection)) }
    case .workerDiskIsFull:
      workers[worker].fullUntil = now + fate.milliseconds(200...5_000)
      tellFate("the disk of \(id) is full until \(workers[worker].fullUntil) ms")
    case .workerIsAskedToLeave:
      tellFate("\(id) is asked to leave")
      deliver(worker, workers[worker].incarnation, .leaveRequested)
    case .workerIsGone:
      guard !workers.contains(where: \.isGone), fate.once(in: 3) else { return }
      tellFate("\(id) is gone for good")
      workers[worker].isGone = true
      workers[worker].connection = nil
      endWorker(worker)
    default: crashWorker(worker)
    }
  }

  /// A frozen process wakes up late. A suspended box also: its clock stood still meanwhile.
  private mutating func freeze(_ worker: Int, for duration: Int64, isSuspended: Bool) {
    guard workers[worker].brain != nil else { return }
    workers[worker].frozenUntil = max(workers[worker].frozenUntil, now + duration)
    if isSuspended { workers[worker].clockOffset -= duration }
    tellFate(
      "\(workers[worker].id) \(isSuspended ? "is suspended" : "freezes") until \(workers[worker].frozenUntil) ms")
  }

  /// Clocks that are read again and again should only go forward, by as much as time passes; this one does not.
  private mutating func moveClock(of worker: Int, by milliseconds: Int64, _ fate: inout SplitMix64)
    throws(BrokenPromise)
  {
    if fate.once(in: 3) {
      tellFate("the coordinator's clock moves by \(milliseconds) ms")
      coordinator.clockOffset += milliseconds
      coordinator.ring = nil
      return try inform(.deadlinePassed)
    }
    tellFate("the clock of \(workers[worker].id) moves by \(milliseconds) ms")
    workers[worker].clockOffset += milliseconds
    workers[worker].ring = nil
    deliver(worker, workers[worker].incarnation, .deadlinePassed)
  }

  private mutating func peopleInterfere(_ kind: Misfortune, _ worker: Int, _ fate: inout SplitMix64)
    throws(BrokenPromise)
  {
    let submission = submissions[fate.below(submissions.count)]
    let sweep = submission.sweepID
    switch kind {
    case .drain:
      let isDraining = fate.once(in: 2)
      tellFate("\(workers[worker].id) draining: \(isDraining)")
      try operatorAsks(.drain(worker: workers[worker].id.name, isDraining: isDraining))
    case .cancel:
      if fate.once(in: 3) {
        tellFate("\(sweep) is cancelled")
        try operatorAsks(.cancel(sweep: sweep.name))
      }
      after(fate.milliseconds(500...5_000), .operatorAsks(.submit(submission)))
    case .steer, .steerToo:
      let mode = SweepMode.allCases[fate.below(3)]
      tellFate("\(sweep) shall be \(mode)")
      try operatorAsks(.steer(sweep: sweep.name, mode: mode))
      after(fate.milliseconds(1_000...8_000), .operatorAsks(.steer(sweep: sweep.name, mode: .active)))
    case .prioritize:
      try operatorAsks(.prioritize(sweep: sweep.name, priority: fate.below(3) - 1))
      if workers.contains(where: { !$0.labels.isEmpty }) { try moveElsewhere(submission, &fate) }
    default: try operatorAsks(.retry(target: sweep.name))
    }
  }

  /// Somebody wants other workers for the sweep, which may not be there; in peace it is as it was.
  private mutating func moveElsewhere(_ submission: SweepSubmission, _ fate: inout SplitMix64) throws(BrokenPromise) {
    var submission = submission
    let wishes = [[:], ["site": "lab"], ["site": "home"], ["site": "moon"]]
    submission.spec.placement = SweepPlacement(requires: wishes[fate.below(4)], prefers: wishes[fate.below(4)])
    tellFate("\(submission.sweepID) requires \(submission.spec.placement.requires)")
    try operatorAsks(.submit(submission))
  }

  mutating func makePeace() throws(BrokenPromise) {
    isPeaceful = true
    tellFate("peace")
    coordinator.journal.fullUntil = min(coordinator.journal.fullUntil, now)
    coordinator.journal.failingUntil = min(coordinator.journal.failingUntil, now)
    coordinator.crashPoint = nil
    for index in workers.indices {
      workers[index].partitionedUntil = min(workers[index].partitionedUntil, now)
      workers[index].fullUntil = min(workers[index].fullUntil, now)
      after(0...100, .workerRestarts(index))
      after(100...200, .operatorAsks(.drain(worker: workers[index].id.name, isDraining: false)))
    }
    after(0...100, .coordinatorRestarts)
    for submission in submissions { after(200...6_000, .operatorAsks(.submit(submission))) }
    for tree in trees { after(6_100...7_000, .operatorAsks(.steer(sweep: tree.sweep.name, mode: .active))) }
    after(7_500...7_900, .verification)
    after(8_000...8_000, .look)
  }
}
