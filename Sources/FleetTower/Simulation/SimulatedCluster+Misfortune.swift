import Fleet
import Sweep

/// What goes wrong, one thing at a time and often several at once.
extension SimulatedCluster {
  mutating func misfortune() throws {
    guard !isPeaceful else { return }
    after(200...4_000, .misfortune)
    let worker = random.below(workers.count)
    let id = workers[worker].id
    switch random.below(19) {
    case 0, 1: try crashCoordinator()
    case 2, 3: crashWorker(worker)
    case 4:
      guard workers[worker].brain != nil else { return }
      workers[worker].frozenUntil = now + random.milliseconds(200...8_000)
      tell("\(id) freezes until \(workers[worker].frozenUntil) ms")
    case 5:
      workers[worker].partitionedUntil = now + random.milliseconds(200...8_000)
      tell("\(id) is cut off until \(workers[worker].partitionedUntil) ms")
    case 6, 7:
      guard let connection = workers[worker].connection else { return }
      tell("the connection of \(id) breaks")
      after(0...200, .endAtWorker(connection))
      if !random.once(in: 4) { after(0...200, .endAtCoordinator(connection)) }
    case 8:
      tell("\(id) is asked to leave")
      deliver(worker, workers[worker].incarnation, .leaveRequested)
    case 9:
      let isDraining = random.once(in: 2)
      tell("\(id) draining: \(isDraining)")
      try operatorAsks(.drain(worker: id.name, isDraining: isDraining))
    case 10:
      let submission = submissions[random.below(submissions.count)]
      if random.once(in: 3) {
        tell("\(submission.sweepID) is cancelled")
        try operatorAsks(.cancel(sweep: submission.sweepID.name))
      }
      after(500...5_000, .operatorAsks(.submit(submission)))
    case 11:
      guard !workers.contains(where: \.isGone), random.once(in: 3) else { return }
      tell("\(id) is gone for good")
      workers[worker].isGone = true
      workers[worker].connection = nil
      endWorker(worker)
    case 12, 13:
      let sweep = trees[random.below(trees.count)].sweep
      let mode = SweepMode.allCases[random.below(3)]
      tell("\(sweep) shall be \(mode)")
      try operatorAsks(.steer(sweep: sweep.name, mode: mode))
      after(1_000...8_000, .operatorAsks(.steer(sweep: sweep.name, mode: .active)))
    case 14:
      let sweep = trees[random.below(trees.count)].sweep
      try operatorAsks(.prioritize(sweep: sweep.name, priority: random.below(3) - 1))
    case 15, 16: rot()
    case 17: try verifyStore()
    default: try operatorAsks(.retry(target: trees[random.below(trees.count)].sweep.name))
    }
  }

  mutating func makePeace() throws {
    isPeaceful = true
    tell("peace")
    for index in workers.indices {
      workers[index].partitionedUntil = min(workers[index].partitionedUntil, now)
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
