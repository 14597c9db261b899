import Sweep

/// Which job goes to which worker. One pass after every event; its work is in proportion to what it starts.
extension CoordinatorBrain {
  mutating func schedule() {
    for box in roster.reservedBoxes.sorted() where !isKeptFree(box) { roster.setReserved(box, false, at: now) }
    startBenchmarks()
    roster.openPools(for: queue.placements)
    while let sweep = queue.firstSweep(where: { roster.bestFreeWorker(for: $0) != nil }),
      let job = queue.first(of: sweep), let best = roster.bestFreeWorker(for: sweeps[sweep].placement)
    {
      guard releaseForAnotherAttempt(job) else { continue }
      if let holder = holder(of: job), roster.isFree(holder, likeTheBestFor: sweeps[sweep].placement) {
        start(job, on: holder)
      } else if let held = queue.firstHeld(by: best, of: sweep), jobs[held].remainingCost == jobs[job].remainingCost {
        // Equally urgent, and its input need not travel.
        guard releaseForAnotherAttempt(held) else { continue }
        start(held, on: best)
      } else {
        start(job, on: best)
      }
    }
    startBenchmarks()
  }

  /// Ends the orphaned attempt of a job that is to start anew.
  /// - Returns: false if that was one loss too many, so that the job is set aside or has to pause.
  private mutating func releaseForAnotherAttempt(_ job: JobIndex) -> Bool {
    guard case .leased(let number) = jobs[job].state else { return true }
    lose(number)
    return jobs[job].state == .ready && !queue.isPausing(job)
  }

  private mutating func start(_ job: JobIndex, on worker: WorkerID) {
    let number = AttemptNumber(ledger.lastAttempt + 1)
    decide(.attemptStarted(attempt: number, job: jobs[job].key, worker: worker, box: roster.workers[worker]!.box))
    tell(worker, .assign(assignment(number, of: job)))
  }

  private func assignment(_ number: AttemptNumber, of job: JobIndex) -> Assignment {
    let configuration = sweeps[jobs[job].sweep].tree.configuration(of: jobs[job].node)
    return Assignment(
      attempt: number, job: jobs[job].key, configuration: configuration, inputs: ledger.attempts[number]!.inputs,
      limits: limits(of: job))
  }

  /// A sweep that shares a job with a more frugal one still gets its result.
  private func limits(of job: JobIndex) -> StageLimits? {
    let all = jobs[job].sweeps.map { sweeps[$0].limits[jobs[job].stage.rawValue] ?? StageLimits() }
    let limits = all.dropFirst().reduce(all.first ?? StageLimits()) { $0.looser($1) }
    return limits.isEmpty ? nil : limits
  }
}

// MARK: - Benchmarks

/// All benchmarks of a sweep run on one box, and while one runs nothing else does there.
///
/// An idle box takes its benchmark at once. A busy one is kept from new jobs (reserved) only when no other job of that
/// priority is ready, or when the benchmark has waited long: measuring at the end of a sweep costs least. While jobs of
/// a higher priority are ready that could run on the box, benchmarks wait.
extension CoordinatorBrain {
  private mutating func startBenchmarks() {
    for sweep in queue.benchmarkedSweeps.sorted(by: { (sweeps[$0].turn, $0) < (sweeps[$1].turn, $1) }) {
      // Asked again once the box is known, which may have been chosen just now.
      guard !isOutranked(sweep), let box = benchmarkBox(of: sweep), !isOutranked(sweep),
        let worker = benchmarkWorker(on: box, of: sweep)
      else { continue }
      if roster.boxes[box]!.attemptCount > 0 {
        let isDue = !queue.isPatient(sweep)
        if isDue || highestReadyPriority(on: box) < sweeps[sweep].priority { roster.setReserved(box, true, at: now) }
        continue
      }
      guard let job = queue.firstBenchmark(of: sweep), releaseForAnotherAttempt(job) else { continue }
      start(job, on: worker)
    }
  }

  /// The sweep's box, chosen now if it has none, or if its box has been gone for too long, or cannot measure any more,
  /// and there is another.
  private mutating func benchmarkBox(of sweep: SweepIndex) -> BoxID? {
    let chosen = sweeps[sweep].benchmarkBox
    if let chosen {
      if benchmarkWorker(on: chosen, of: sweep) != nil { return chosen }
      guard roster.willingWorker(on: chosen) != nil || roster.hasBeenAbsentTooLong(chosen, at: now) else { return nil }
    }
    let candidates = roster.boxes.keys.filter { benchmarkWorker(on: $0, of: sweep) != nil }
    let placement = sweeps[sweep].placement
    let rank = { [roster] (box: BoxID) in
      let count = roster.boxes[box]!.attemptCount
      return (count == 0 ? 0 : 1, -roster.matches(on: box, for: placement), count, box)
    }
    guard let best = candidates.min(by: { rank($0) < rank($1) }) else { return nil }
    for job in sweeps[sweep].jobs where jobs[job].stage == .benchmark {
      if case .leased(let number) = jobs[job].state { lose(number) }
    }
    decide(.benchmarkBoxChosen(sweep: sweeps[sweep].id, box: best))
    return best
  }

  private func benchmarkWorker(on box: BoxID, of sweep: SweepIndex) -> WorkerID? {
    roster.willingWorker(on: box, for: sweeps[sweep].placement, measuring: sweeps[sweep].hostMetrics)
  }

  /// The highest priority of the sweeps with jobs ready that are not benchmarks and that a worker on the box may take;
  /// on any, if it is nil.
  private func highestReadyPriority(on box: BoxID?) -> Int {
    queue.firstSweep { roster.hasWillingWorker(on: box, for: $0) }.map { sweeps[$0].priority } ?? .min
  }

  /// Whether more important jobs than the sweep's benchmarks could start on its box.
  func isOutranked(_ sweep: SweepIndex) -> Bool {
    highestReadyPriority(on: sweeps[sweep].benchmarkBox) > sweeps[sweep].priority
  }

  private func isKeptFree(_ box: BoxID) -> Bool {
    queue.benchmarkedSweeps.contains {
      sweeps[$0].benchmarkBox == box && benchmarkWorker(on: box, of: $0) != nil && !isOutranked($0)
    }
  }

  /// The hosts that benchmarks wait for.
  var awaitedBoxes: Set<BoxID> { Set(queue.benchmarkedSweeps.compactMap { sweeps[$0].benchmarkBox }) }
}
