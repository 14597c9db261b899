import Sweep

/// Which job goes to which worker. One pass after every event; its work is in proportion to what it starts.
extension CoordinatorBrain {
  mutating func schedule() {
    for box in reservedBoxes.sorted() where !isKeptFree(box) { setReserved(box, false) }
    startBenchmarks()
    while let sweep = queue.firstSweep, let job = queue.first(of: sweep), let idlest = freeWorkers.first?.key {
      guard releaseForAnotherAttempt(job) else { continue }
      if let holder = holder(of: job), freeWorkers.contains(holder) {
        start(job, on: holder)
      } else if let held = queue.firstHeld(by: idlest, of: sweep), jobs[held].remainingCost == jobs[job].remainingCost {
        // Equally urgent, and its input need not travel.
        guard releaseForAnotherAttempt(held) else { continue }
        start(held, on: idlest)
      } else {
        start(job, on: idlest)
      }
    }
    startBenchmarks()
  }

  /// Ends the orphaned attempt of a job that is to start anew.
  /// - Returns: false if that was one loss too many, so that the job is set aside or has to pause.
  private mutating func releaseForAnotherAttempt(_ job: Int) -> Bool {
    guard case .leased(let number) = jobs[job].state else { return true }
    lose(number)
    return jobs[job].state == .ready && !deadlines.contains(.retry(job: job))
  }

  private mutating func start(_ job: Int, on worker: WorkerID) {
    let number = AttemptNumber(lastAttempt + 1)
    decide(.attemptStarted(attempt: number, job: jobs[job].key, worker: worker, box: workers[worker]!.box))
    tell(worker, .assign(assignment(number, of: job)))
  }

  private func assignment(_ number: AttemptNumber, of job: Int) -> Assignment {
    let configuration = sweeps[jobs[job].sweep].tree.configuration(of: jobs[job].node)
    return Assignment(
      attempt: number, job: jobs[job].key, configuration: configuration, inputs: inputs(of: job),
      limits: limits(of: job))
  }

  /// What an attempt that began now would be given.
  func inputs(of job: Int) -> [InputRole: ArtifactReference] {
    var inputs = sweeps[jobs[job].sweep].tree.inputs(of: jobs[job].node)
    inputs[.model] = jobs[job].parent.flatMap { jobs[$0].success?.result.artifact(.model) }
    inputs[.resume] = jobs[job].checkpoint?.artifact
    return inputs
  }

  /// A sweep that shares a job with a more frugal one still gets its result.
  private func limits(of job: Int) -> StageLimits? {
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
/// a higher priority are ready, benchmarks wait.
extension CoordinatorBrain {
  private mutating func startBenchmarks() {
    for sweep in queue.benchmarkedSweeps.sorted(by: { (turn(of: $0), $0) < (turn(of: $1), $1) }) {
      guard !isOutranked(sweep) else { return }
      guard let box = benchmarkBox(of: sweep), let worker = benchmarkWorker(on: box, of: sweep) else { continue }
      if boxes[box]!.attemptCount > 0 {
        let isDue = !deadlines.contains(.benchmark(sweep: sweep))
        if isDue || highestReadyPriority < sweeps[sweep].priority { setReserved(box, true) }
        continue
      }
      guard let job = queue.firstBenchmark(of: sweep), releaseForAnotherAttempt(job) else { continue }
      start(job, on: worker)
    }
  }

  /// The sweep's box, chosen now if it has none, or if its box has been gone for too long, or cannot measure any more,
  /// and there is another.
  private mutating func benchmarkBox(of sweep: Int) -> BoxID? {
    let chosen = sweeps[sweep].benchmarkBox
    if let chosen {
      if benchmarkWorker(on: chosen, of: sweep) != nil { return chosen }
      guard willingWorker(on: chosen) != nil || hasBeenAbsentTooLong(chosen) else { return nil }
    }
    let candidates = boxes.keys.filter { benchmarkWorker(on: $0, of: sweep) != nil }
    let idlest = candidates.min { (boxes[$0]!.attemptCount, $0) < (boxes[$1]!.attemptCount, $1) }
    guard let idlest else { return nil }
    for job in sweeps[sweep].jobs where jobs[job].stage == .benchmark {
      if case .leased(let number) = jobs[job].state { lose(number) }
    }
    decide(.benchmarkBoxChosen(sweep: sweeps[sweep].id, box: idlest))
    return idlest
  }

  /// A box of which nothing is known since the coordinator started counts from its first absence noticed.
  private mutating func hasBeenAbsentTooLong(_ id: BoxID) -> Bool {
    guard let since = boxes[id]?.absentSince else {
      boxes[id, default: Box()].absentSince = now
      deadlines.set(.box(id), now.advanced(byMilliseconds: policy.boxPatienceMilliseconds))
      return false
    }
    return now >= since.advanced(byMilliseconds: policy.boxPatienceMilliseconds)
  }

  private func willingWorker(on box: BoxID) -> WorkerID? { boxes[box]?.workers.first { isWilling($0) } }

  private func benchmarkWorker(on box: BoxID, of sweep: Int) -> WorkerID? {
    boxes[box]?.workers.first { isWilling($0) && canMeasure($0, sweep) }
  }

  mutating func setReserved(_ id: BoxID, _ isReserved: Bool) {
    guard reservedBoxes.contains(id) != isReserved else { return }
    if isReserved { reservedBoxes.insert(id) } else { reservedBoxes.remove(id) }
    for worker in boxes[id]!.workers { refresh(worker) }
  }

  /// Of the jobs that are no benchmarks.
  private var highestReadyPriority: Int { queue.firstSweep.map { sweeps[$0].priority } ?? .min }

  /// Whether more important jobs than the sweep's benchmarks could start.
  func isOutranked(_ sweep: Int) -> Bool { highestReadyPriority > sweeps[sweep].priority }

  private func isKeptFree(_ box: BoxID) -> Bool {
    queue.benchmarkedSweeps.contains { sweeps[$0].benchmarkBox == box && !isOutranked($0) }
  }

  /// Whether a benchmark waits for the box.
  func isAwaited(_ box: BoxID) -> Bool { queue.benchmarkedSweeps.contains { sweeps[$0].benchmarkBox == box } }
}

// MARK: - Who could take a job

extension CoordinatorBrain {
  /// Connected and not on its way out.
  func isWilling(_ id: WorkerID) -> Bool {
    guard let worker = workers[id], worker.connection != nil else { return false }
    return !worker.isLeaving && !drainedWorkers.contains(id)
  }

  /// Keeps `freeWorkers` and the box's record of absence true after anything that concerns the worker.
  mutating func refresh(_ id: WorkerID) {
    guard let worker = workers[id] else { return freeWorkers.remove(id) }
    let box = boxes[worker.box]!
    let load = attemptsOfWorker[id]?.count ?? 0
    if isWilling(id), load < worker.slots, !reservedBoxes.contains(worker.box), box.benchmark == nil {
      freeWorkers.set(id, load)
    } else {
      freeWorkers.remove(id)
    }
    refreshAbsence(of: worker.box)
  }

  private mutating func refreshAbsence(of id: BoxID) {
    let isAbsent = willingWorker(on: id) == nil
    guard isAbsent != (boxes[id]!.absentSince != nil) else { return }
    boxes[id]!.absentSince = isAbsent ? now : nil
    if isAbsent {
      setReserved(id, false)
      deadlines.set(.box(id), now.advanced(byMilliseconds: policy.boxPatienceMilliseconds))
    } else {
      deadlines.remove(.box(id))
    }
  }

  /// Notes that the attempt runs on its box.
  mutating func place(_ attempt: Attempt) {
    boxes[attempt.box, default: Box()].attemptCount += 1
    if jobs[attempt.job].stage == .benchmark { setBenchmark(attempt.number, on: attempt.box) }
    refresh(attempt.worker)
  }

  /// Undoes `place`, after the attempt has ended.
  mutating func vacate(_ attempt: Attempt) {
    boxes[attempt.box]!.attemptCount -= 1
    if boxes[attempt.box]!.benchmark == attempt.number { setBenchmark(nil, on: attempt.box) }
    refresh(attempt.worker)
  }

  private mutating func setBenchmark(_ number: AttemptNumber?, on id: BoxID) {
    boxes[id]!.benchmark = number
    for worker in boxes[id]!.workers { refresh(worker) }
  }
}
