import Sweep

/// The contradictions in a coordinator, in words.
struct Violations: Sendable {
  /// Enough to see what is wrong; one broken index breaks many things.
  private static let limit = 100
  private(set) var words: [String] = []

  mutating func check(_ holds: Bool, _ violation: @autoclosure () -> String) { if !holds { add(violation()) } }
  mutating func add(_ violation: String) { if words.count < Self.limit { words.append(violation) } }
  mutating func add(_ others: Violations) { for violation in others.words { add(violation) } }
}

// MARK: - The brain

extension CoordinatorBrain {
  /// Checks everything that must hold within the parts and between them, whatever has happened. Takes time in
  /// proportion to all jobs and workers.
  /// - Parameter isLedgerKnown: leaves out the ledger alone, which only records change.
  /// - Returns: what does not hold, in words.
  public func validate(isLedgerKnown: Bool = false) -> [String] {
    var found = isLedgerKnown ? Violations() : ledger.validate()
    found.add(roster.validate())
    found.add(queue.validate(claim: { sweeps[$0].claim }))
    found.add(repairs.validate(roster))
    checkAttempts(&found)
    checkLines(&found)
    for (id, worker) in roster.workers {
      found.check(worker.isDrained == ledger.drainedWorkers.contains(id), "\(id) is wrongly drained, or not")
    }
    for sweep in sweeps.indices {
      let isUnmeasurable = !unmeasurableMetrics(of: sweep).isEmpty
      found.check(
        unmeasurableSweeps.contains(sweep) == isUnmeasurable, "\(sweeps[sweep].id) is wrongly unmeasurable, or not")
    }
    return found.words
  }

  /// Every live attempt is with the worker that has it, and no others are.
  private func checkAttempts(_ found: inout Violations) {
    let attempts = ledger.attempts
    found.check(
      attempts.count == roster.holdings.count, "\(roster.holdings.count) attempts are held, \(attempts.count) are live")
    for (number, attempt) in attempts {
      let holding = roster.holdings[number]
      found.check(
        holding?.worker == attempt.worker && holding?.box == attempt.box, "\(number) is not with \(attempt.worker)")
      guard attempt.isBenchmark else { continue }
      found.check(roster.boxes[attempt.box]?.benchmark == number, "the benchmark \(number) is not alone on its box")
    }
  }

  /// The queue holds exactly the jobs that could start, each where it belongs.
  private func checkLines(_ found: inout Violations) {
    var count = 0
    for job in jobs.indices {
      let entry = entry(of: job)
      if entry != nil { count += 1 }
      let standing = queue.entries[job]
      found.check(
        standing == entry,
        "\(name(of: job)) stands in \(standing?.sweeps.count ?? 0) lines, and belongs into \(entry?.sweeps.count ?? 0)")
    }
    found.check(count == queue.entries.count, "\(queue.entries.count) jobs stand in line, not \(count)")
  }

  private func name(of job: JobIndex) -> String { "\(jobs[job].stage.rawValue) \(jobs[job].key.short)" }
}

// MARK: - The ledger

extension Ledger {
  /// Returns what contradicts itself, in words.
  func validate() -> Violations {
    var found = Violations()
    found.check(sweepOfID.count == sweeps.count, "\(sweepOfID.count) names of \(sweeps.count) sweeps")
    found.check(jobOfKey.count == jobs.count, "\(jobOfKey.count) keys of \(jobs.count) jobs")
    for sweep in sweeps.indices { check(sweep, &found) }
    for job in jobs.indices { check(job, &found) }
    for (number, attempt) in attempts {
      found.check(number.value <= lastAttempt, "\(number) is newer than the newest attempt \(lastAttempt)")
      found.check(jobs[attempt.job].state == .leased(number), "\(number) is live, and its job is not leased to it")
    }
    let losses = jobs.reduce(0) { $0 + $1.losses.count }
    found.check(losses == lostAttempts.count, "\(lostAttempts.count) attempts are held against jobs, not \(losses)")
    return found
  }

  private func check(_ index: SweepIndex, _ found: inout Violations) {
    let sweep = sweeps[index]
    found.check(sweepOfID[sweep.id] == index, "\(sweep.id) is not found by its name")
    found.check(sweep.jobs.count == sweep.tree.nodes.count, "\(sweep.id) has \(sweep.jobs.count) jobs")
    var running = 0
    for (node, index) in zip(sweep.tree.nodes, sweep.jobs) {
      let job = jobs[index]
      found.check(job.key == node.key, "\(job.key.short) stands in the place of \(node.key.short)")
      found.check(
        job.sources == node.sources.map { sweep.jobs[$0] }, "\(job.key.short) has other sources than its node")
      if !sweep.isCancelled, case .leased = job.state { running += 1 }
    }
    found.check(sweep.running == running, "\(sweep.id) counts \(sweep.running) running jobs, not \(running)")
  }

  private func check(_ index: JobIndex, _ found: inout Violations) {
    let job = jobs[index]
    var name: String { job.key.short }
    found.check(jobOfKey[job.key] == index, "\(name) is not found by its key")
    found.check(sweeps[job.sweep].jobs[job.node] == index, "\(name) is not where its configuration is")
    found.check(job.children.allSatisfy { jobs[$0].sources.contains(index) }, "\(name) has another job's child")
    for (place, sweep) in job.sweeps.enumerated() {
      found.check(!sweeps[sweep].isCancelled, "\(name) is wanted by a cancelled sweep")
      found.check(!job.sweeps[..<place].contains(sweep), "\(name) is wanted twice by a sweep")
    }
    for number in job.losses { found.check(lostAttempts[number]?.job == index, "\(number) is held against \(name)") }
    found.check(job.history.count <= min(job.attemptCount, Job.historyLimit), "\(name) remembers too much")
    found.check((job.success != nil) == (job.state == .succeeded), "\(name) has a result and no success, or reversed")
    let sources = job.sources.map { jobs[$0].state }
    switch job.state {
    case .waiting: found.check(sources.contains { $0 != .succeeded }, "\(name) waits for nothing")
    case .ready:
      found.check(sources.allSatisfy { $0 == .succeeded }, "\(name) is ready before its sources")
      found.check(!job.sources.contains(where: hasLostModel), "\(name) is ready, and a source's model is lost")
    case .leased(let number): found.check(attempts[number]?.job == index, "\(name) is leased to \(number)")
    case .succeeded: found.check(job.checkpoint == nil, "\(name) has succeeded and has a checkpoint")
    case .blocked: found.check(sources.contains(where: \.isHopeless), "\(name) is blocked by nothing")
    case .cancelled: found.check(job.sweeps.isEmpty, "\(name) is cancelled and wanted")
    case .failed: break
    }
    switch job.state {
    case .waiting, .ready, .leased, .blocked: found.check(!job.sweeps.isEmpty, "\(name) is wanted by nobody")
    case .succeeded, .failed, .cancelled: break
    }
  }
}
