import Sweep

/// What each record changes. Nothing here looks at connections, and nothing decides: replay must come out the same.
extension CoordinatorBrain {
  mutating func apply(_ record: Record) {
    switch record {
    case .sweepSubmitted(let id, let submission): add(id, submission)
    case .sweepCancelled(let id): withdraw(id)
    case .sweepSteered(let id, let mode): steer(id, mode)
    case .sweepPrioritized(let id, let priority): prioritize(id, priority)
    case .sweepLimited(let id, let limits): if let sweep = sweepIndex[id] { sweeps[sweep].limits = limits }
    case .attemptStarted(let number, let key, let worker, let box): begin(number, at: key, by: worker, on: box)
    case .epochFinished(let number, let key, let metrics):
      guard let job = jobIndex[key] else { return }
      jobs[job].epochs = metrics
      attempts[number]?.lastEpoch = metrics.epoch
    case .checkpointStored(_, let key, let checkpoint):
      guard let job = jobIndex[key] else { return }
      supersede(job)
      jobs[job].checkpoint = checkpoint
      jobs[job].fruitlessAttempts = 0
      forgiveLosses(of: job)
    case .attemptEnded(let number, let key, let outcome): end(number, at: key, outcome)
    case .attemptSurvived(let number, let key):
      lostAttempts[number] = nil
      guard let job = jobIndex[key] else { return }
      jobs[job].losses.removeAll { $0 == number }
    case .jobSucceeded(let number, let key, let worker, let result): succeed(number, at: key, by: worker, result)
    case .jobFailed(let key, let reason):
      guard let job = jobIndex[key] else { return }
      enter(.failed(reason: reason), job)
      block(below: job)
    case .jobsRetried(let keys): for key in keys { reset(key) }
    case .workerDrained(let worker, let isDraining):
      if isDraining { drainedWorkers.insert(worker) } else { drainedWorkers.remove(worker) }
    case .benchmarkBoxChosen(let id, let box): move(id, to: box)
    case .artifactsLost(let artifacts): forget(artifacts)
    case .artifactRestored(let artifact):
      lostArtifacts.remove(artifact)
      refreshQueue()
    }
  }

  /// Submitting again what was cancelled, or sharing what has failed, gives it a new chance.
  private mutating func add(_ id: SweepID, _ submission: SweepSubmission) {
    let sweep = sweepIndex[id] ?? create(id, submission)
    sweeps[sweep].isCancelled = false
    sweeps[sweep].mode = .active
    if let priority = submission.spec.priority { sweeps[sweep].priority = priority }
    sweeps[sweep].limits = submission.spec.limits ?? [:]
    for (node, job) in zip(sweeps[sweep].tree.nodes, sweeps[sweep].jobs) {
      adopt(job, by: sweep, cost: node.remainingCost)
    }
    for job in sweeps[sweep].jobs { settle(job) }
    reopenNeeded(of: sweep)
    openLine(of: sweep)
  }

  private mutating func create(_ id: SweepID, _ submission: SweepSubmission) -> Int {
    let tree = StageTree(submission)
    let sweep = sweeps.count
    var jobsOfNodes: [Int] = []
    jobsOfNodes.reserveCapacity(tree.nodes.count)
    for (index, node) in tree.nodes.enumerated() {
      jobsOfNodes.append(
        jobIndex[node.key] ?? create(node, parent: node.parent.map { jobsOfNodes[$0] }, sweep, index))
    }
    sweepIndex[id] = sweep
    sweeps.append(SweepState(id: id, tree: tree, jobs: jobsOfNodes))
    return sweep
  }

  private mutating func create(_ node: StageTree.Node, parent: Int?, _ sweep: Int, _ index: Int) -> Int {
    let job = jobs.count
    jobs.append(
      Job(
        key: node.key, stage: node.stage, parent: parent, sweep: sweep, node: index, remainingCost: node.remainingCost))
    jobIndex[node.key] = job
    if let parent { jobs[parent].children.append(job) }
    return job
  }

  private mutating func adopt(_ job: Int, by sweep: Int, cost: Int) {
    if !jobs[job].sweeps.contains(sweep) {
      jobs[job].sweeps.append(sweep)
      if case .leased = jobs[job].state { countRunning(1, for: sweep) }
    }
    jobs[job].remainingCost = max(jobs[job].remainingCost, cost)
    switch jobs[job].state {
    case .failed, .blocked, .cancelled:
      forgive(job)
      enter(.waiting, job)
      // Other sweeps' jobs wait for it too.
      unblock(below: job)
    case .waiting, .ready, .leased, .succeeded: break
    }
  }

  private mutating func withdraw(_ id: SweepID) {
    guard let sweep = sweepIndex[id] else { return }
    closeLine(of: sweep)
    sweeps[sweep].isCancelled = true
    sweeps[sweep].running = 0
    for job in sweeps[sweep].jobs {
      jobs[job].sweeps.removeAll { $0 == sweep }
      guard jobs[job].sweeps.isEmpty else { continue }
      switch jobs[job].state {
      case .leased(let number):
        close(number, at: job, outcome: "cancelled")
        enter(.cancelled, job)
      case .waiting, .ready, .blocked: enter(.cancelled, job)
      case .succeeded, .failed, .cancelled: break
      }
    }
  }

  private mutating func begin(_ number: AttemptNumber, at key: JobKey, by worker: WorkerID, on box: BoxID) {
    lastAttempt = max(lastAttempt, number.value)
    guard let job = jobIndex[key] else { return }
    attempts[number] = Attempt(
      number: number, job: job, worker: worker, box: box, inputs: inputs(of: job).values.map(\.digest))
    attemptsOfWorker[worker, default: []].append(number)
    jobs[job].attemptCount += 1
    if jobs[job].history.count == Job.historyLimit { jobs[job].history.removeFirst() }
    jobs[job].history.append(JobHistory.Entry(attempt: number, worker: worker.name, outcome: "running", log: nil))
    enter(.leased(number), job)
    countRunning(1, of: job)
    place(attempts[number]!)
    renewLease(of: number)
  }

  private mutating func end(_ number: AttemptNumber, at key: JobKey, _ outcome: AttemptOutcome) {
    guard let job = jobIndex[key] else { return }
    jobs[job].fruitlessAttempts += 1
    switch outcome {
    case .failed(let failure):
      close(number, at: job, outcome: "failed: " + failure.message, log: failure.log)
      jobs[job].failures += 1
      failedAttemptCount += 1
      release(job)
      delay(job, doublings: jobs[job].failures - 1)
    case .lost:
      let worker = attempts[number]?.worker
      close(number, at: job, outcome: "lost with its worker")
      jobs[job].losses.append(number)
      lostAttemptCount += 1
      lostAttempts[number] = LostAttempt(job: job, worker: worker)
      release(job)
      backOff(job)
    case .returned:
      close(number, at: job, outcome: "handed back")
      release(job)
      backOff(job)
    }
  }

  private mutating func succeed(
    _ number: AttemptNumber, at key: JobKey, by worker: WorkerID, _ result: StageResult
  ) {
    guard let job = jobIndex[key] else { return }
    close(number, at: job, outcome: "succeeded", log: result.artifact(.log))
    jobs[job].success = Job.Success(attempt: number, worker: worker, result: result)
    supersede(job)
    lostArtifacts.subtract(result.artifacts.values.map(\.digest))
    forgiveLosses(of: job)
    enter(.succeeded, job)
    for child in jobs[job].children { settle(child) }
  }

  private mutating func reset(_ key: JobKey) {
    guard let job = jobIndex[key] else { return }
    forgive(job)
    enter(.waiting, job)
    unblock(below: job)
    settle(job)
  }

  private mutating func move(_ id: SweepID, to box: BoxID) {
    guard let sweep = sweepIndex[id] else { return }
    sweeps[sweep].benchmarkBox = box
    for job in sweeps[sweep].jobs where jobs[job].stage == .benchmark && jobs[job].state == .succeeded {
      jobs[job].success = nil
      enter(.waiting, job)
      settle(job)
    }
  }
}

// MARK: - Steering

extension CoordinatorBrain {
  private mutating func steer(_ id: SweepID, _ mode: SweepMode) {
    guard let sweep = sweepIndex[id] else { return }
    sweeps[sweep].mode = mode
    if sweeps[sweep].isActive { openLine(of: sweep) } else { closeLine(of: sweep) }
  }

  private mutating func prioritize(_ id: SweepID, _ priority: Int) {
    guard let sweep = sweepIndex[id] else { return }
    sweeps[sweep].priority = priority
    queue.setTurn(sweep, turn(of: sweep))
  }
}

// MARK: - Parts of transitions

extension CoordinatorBrain {
  /// The one place where a job changes its state; the queue follows.
  private mutating func enter(_ state: Job.State, _ job: Int) {
    dequeue(job)
    deadlines.remove(.retry(job: job))
    jobs[job].state = state
    if state == .ready { enqueue(job) }
  }

  /// A waiting job whose parent has succeeded becomes ready; if the parent's model is lost, it is made again first.
  private mutating func settle(_ job: Int) {
    guard jobs[job].state == .waiting else { return }
    if let parent = jobs[job].parent {
      guard jobs[parent].state == .succeeded else { return }
      if hasLostModel(parent) { return reopen(parent) }
    }
    enter(.ready, job)
  }

  /// What follows an attempt without a result.
  private mutating func release(_ job: Int) {
    enter(.waiting, job)
    settle(job)
  }

  /// A job whose model is lost and needed runs again. Children that have begun go on with the model they have.
  mutating func reopen(_ job: Int) {
    jobs[job].success = nil
    for child in jobs[job].children where jobs[child].state == .ready { enter(.waiting, child) }
    release(job)
  }

  /// Slows down a job that starts and ends again and again through no fault of its own.
  private mutating func backOff(_ job: Int) {
    let excess = jobs[job].fruitlessAttempts - policy.failureLimit
    if excess >= 0 { delay(job, doublings: excess) }
  }

  /// Keeps the job from the queue for a while. After a restart it may go at once.
  private mutating func delay(_ job: Int, doublings: Int) {
    let pause = doubling(policy.retryMilliseconds, doublings, policy.retryLimitMilliseconds)
    dequeue(job)
    deadlines.set(.retry(job: job), now.advanced(byMilliseconds: pause))
  }

  private mutating func close(
    _ number: AttemptNumber, at job: Int, outcome: String, log: ArtifactReference? = nil
  ) {
    if let attempt = attempts.removeValue(forKey: number) {
      attemptsOfWorker[attempt.worker]!.removeAll { $0 == number }
      if attemptsOfWorker[attempt.worker]!.isEmpty { attemptsOfWorker[attempt.worker] = nil }
      countRunning(-1, of: job)
      vacate(attempt)
    }
    deadlines.remove(.lease(number))
    guard let entry = jobs[job].history.lastIndex(where: { $0.attempt == number }) else { return }
    jobs[job].history[entry].outcome = outcome
    jobs[job].history[entry].log = log
  }

  /// Its checkpoint has served.
  private mutating func supersede(_ job: Int) {
    if let checkpoint = jobs[job].checkpoint { superseded.insert(checkpoint.artifact.digest) }
    jobs[job].checkpoint = nil
  }

  private mutating func forgiveLosses(of job: Int) {
    for number in jobs[job].losses { lostAttempts[number] = nil }
    jobs[job].losses = []
  }

  private mutating func forgive(_ job: Int) {
    forgiveLosses(of: job)
    jobs[job].failures = 0
    jobs[job].fruitlessAttempts = 0
  }

  private mutating func block(below job: Int) {
    for child in jobs[job].children where jobs[child].state == .waiting {
      enter(.blocked, child)
      block(below: child)
    }
  }

  private mutating func unblock(below job: Int) {
    for child in jobs[job].children where jobs[child].state == .blocked {
      enter(.waiting, child)
      unblock(below: child)
    }
  }
}
