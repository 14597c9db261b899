import Bytes
import Sweep

/// The state that the records of the journal lead to: sweeps, jobs, attempts, and what was lost.
///
/// A pure fold: `apply` alone changes it, live and in replay alike, and looks at nothing but the record and the ledger.
/// Keepers of queues and rosters learn from the `Changes` what has become of jobs.
struct Ledger: Sendable {
  /// The changes of a record that others keep an account of.
  struct Changes: Sendable {
    /// The jobs that have entered a state, or whose parents' models have come or gone, in this order.
    var moved: [JobIndex] = []
    /// The sweeps with another priority, placement or number of running jobs.
    var turned: [SweepIndex] = []
    /// The sweeps whose jobs may start from now on, or may not any more.
    var steered: [SweepIndex] = []
    var begun: Attempt?
    var ended: [AttemptNumber] = []
    /// Checkpoints that need not be kept any longer, unless something else references them.
    var superseded: [Digest] = []
    /// Other artifacts count as lost than before.
    var hasLossesChanged = false
  }

  private(set) var sweeps = Table<SweepState>()
  private(set) var sweepOfID: [SweepID: SweepIndex] = [:]
  private(set) var jobs = Table<Job>()
  private(set) var jobOfKey: [JobKey: JobIndex] = [:]
  /// The attempts that may still bring a result.
  private(set) var attempts: [AttemptNumber: Attempt] = [:]
  /// The newest fencing number.
  private(set) var lastAttempt: UInt64 = 0
  /// The attempts held against their jobs. A worker that returns with one lifts the suspicion.
  private(set) var lostAttempts: [AttemptNumber: LostAttempt] = [:]
  private(set) var drainedWorkers: Set<WorkerID> = []
  /// Artifacts that nobody has: what must be submitted again, and models that nobody needs for now.
  private(set) var lostArtifacts: Set<Digest> = []
  private(set) var failedAttemptCount = 0
  private(set) var lostAttemptCount = 0
  private var changes = Changes()

  mutating func apply(_ record: Record) -> Changes {
    defer { changes = Changes() }
    switch record {
    case .sweepSubmitted(let id, let submission): add(id, submission)
    case .sweepCancelled(let id): withdraw(id)
    case .sweepSteered(let id, let mode):
      guard let sweep = sweepOfID[id] else { break }
      sweeps[sweep].mode = mode
      changes.steered = [sweep]
    case .sweepPrioritized(let id, let priority):
      guard let sweep = sweepOfID[id] else { break }
      sweeps[sweep].priority = priority
      changes.turned = [sweep]
    case .sweepLimited(let id, let limits): if let sweep = sweepOfID[id] { sweeps[sweep].limits = limits }
    case .sweepPlaced(let id, let placement):
      guard let sweep = sweepOfID[id] else { break }
      sweeps[sweep].placement = placement
      changes.turned = [sweep]
    case .attemptStarted(let number, let key, let worker, let box): begin(number, at: key, by: worker, on: box)
    case .epochFinished(let number, let key, let metrics):
      guard let job = jobOfKey[key] else { break }
      jobs[job].epochs = metrics
      attempts[number]?.lastEpoch = metrics.epoch
    case .checkpointStored(_, let key, let checkpoint):
      guard let job = jobOfKey[key] else { break }
      supersedeCheckpoint(of: job)
      jobs[job].checkpoint = checkpoint
      jobs[job].fruitlessAttempts = 0
      forgiveLosses(of: job)
    case .attemptEnded(let number, let key, let outcome): end(number, at: key, outcome)
    case .attemptSurvived(let number, let key):
      lostAttempts[number] = nil
      if let job = jobOfKey[key] { jobs[job].losses.removeAll { $0 == number } }
    case .jobSucceeded(let number, let key, let worker, let result): succeed(number, at: key, by: worker, result)
    case .jobFailed(let key, let reason):
      guard let job = jobOfKey[key] else { break }
      enter(.failed(reason: reason), job)
      block(below: job)
    case .jobsRetried(let keys): for key in keys { reset(key) }
    case .workerDrained(let worker, let isDraining):
      if isDraining { drainedWorkers.insert(worker) } else { drainedWorkers.remove(worker) }
    case .benchmarkBoxChosen(let id, let box): move(id, to: box)
    case .artifactsLost(let artifacts): forget(artifacts)
    case .artifactRestored(let artifact):
      lostArtifacts.remove(artifact)
      changes.hasLossesChanged = true
    }
    return changes
  }
}

// MARK: - Sweeps

extension Ledger {
  /// Submitting again what was cancelled, or sharing what has failed, gives it a new chance.
  private mutating func add(_ id: SweepID, _ submission: SweepSubmission) {
    let sweep = sweepOfID[id] ?? create(id, submission)
    sweeps[sweep].isCancelled = false
    sweeps[sweep].mode = .active
    if let priority = submission.spec.priority { sweeps[sweep].priority = priority }
    sweeps[sweep].limits = submission.spec.limits ?? [:]
    sweeps[sweep].placement = submission.spec.placement
    for (node, job) in zip(sweeps[sweep].tree.nodes, sweeps[sweep].jobs) {
      adopt(job, by: sweep, cost: node.remainingCost)
    }
    for job in sweeps[sweep].jobs { settle(job) }
    reopenNeeded(among: sweeps[sweep].jobs)
    changes.turned.append(sweep)
    changes.steered.append(sweep)
  }

  private mutating func create(_ id: SweepID, _ submission: SweepSubmission) -> SweepIndex {
    let tree = StageTree(submission)
    let sweep = sweeps.endIndex
    var jobsOfNodes: [JobIndex] = []
    jobsOfNodes.reserveCapacity(tree.nodes.count)
    for (index, node) in tree.nodes.enumerated() {
      jobsOfNodes.append(jobOfKey[node.key] ?? create(node, jobsOfNodes, sweep, index))
    }
    sweepOfID[id] = sweep
    let metrics = submission.spec.objectives.map(\.metric).filter(\.isBenchmarked)
    sweeps.append(SweepState(id: id, tree: tree, jobs: jobsOfNodes, hostMetrics: metrics))
    return sweep
  }

  private mutating func create(
    _ node: StageTree.Node, _ jobsOfNodes: [JobIndex], _ sweep: SweepIndex, _ index: Int
  ) -> JobIndex {
    let job = jobs.endIndex
    jobs.append(
      Job(
        key: node.key, stage: node.stage, parent: node.parent.map { jobsOfNodes[$0] },
        teacher: node.teacher.map { jobsOfNodes[$0] }, sweep: sweep, node: index, remainingCost: node.remainingCost))
    jobOfKey[node.key] = job
    for source in jobs[job].sources { jobs[source].children.append(job) }
    return job
  }

  private mutating func adopt(_ job: JobIndex, by sweep: SweepIndex, cost: Int) {
    if !jobs[job].sweeps.contains(sweep) {
      jobs[job].sweeps.append(sweep)
      if case .leased = jobs[job].state { sweeps[sweep].running += 1 }
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
    guard let sweep = sweepOfID[id] else { return }
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
    changes.steered.append(sweep)
  }

  private mutating func move(_ id: SweepID, to box: BoxID) {
    guard let sweep = sweepOfID[id] else { return }
    sweeps[sweep].benchmarkBox = box
    for job in sweeps[sweep].jobs where jobs[job].stage == .benchmark && jobs[job].state == .succeeded {
      setSuccess(nil, of: job)
      release(job)
    }
  }
}

// MARK: - Attempts

extension Ledger {
  private mutating func begin(_ number: AttemptNumber, at key: JobKey, by worker: WorkerID, on box: BoxID) {
    lastAttempt = max(lastAttempt, number.value)
    guard let job = jobOfKey[key] else { return }
    let attempt = Attempt(
      number: number, job: job, worker: worker, box: box, isBenchmark: jobs[job].stage == .benchmark,
      inputs: inputs(of: job))
    attempts[number] = attempt
    jobs[job].attemptCount += 1
    if jobs[job].history.count == Job.historyLimit { jobs[job].history.removeFirst() }
    jobs[job].history.append(JobHistory.Entry(attempt: number, worker: worker.name, outcome: "running", log: nil))
    enter(.leased(number), job)
    countRunning(1, of: job)
    changes.begun = attempt
  }

  private mutating func end(_ number: AttemptNumber, at key: JobKey, _ outcome: AttemptOutcome) {
    guard let job = jobOfKey[key] else { return }
    jobs[job].fruitlessAttempts += 1
    switch outcome {
    case .failed(let failure):
      close(number, at: job, outcome: "failed: " + failure.message, log: failure.log)
      jobs[job].failures += 1
      failedAttemptCount += 1
    case .lost:
      lostAttempts[number] = LostAttempt(job: job, worker: attempts[number]?.worker)
      close(number, at: job, outcome: "lost with its worker")
      jobs[job].losses.append(number)
      lostAttemptCount += 1
    case .returned: close(number, at: job, outcome: "handed back")
    }
    release(job)
  }

  private mutating func succeed(
    _ number: AttemptNumber, at key: JobKey, by worker: WorkerID, _ result: StageResult
  ) {
    guard let job = jobOfKey[key] else { return }
    close(number, at: job, outcome: "succeeded", log: result.artifact(.log))
    setSuccess(Job.Success(attempt: number, worker: worker, result: result), of: job)
    supersedeCheckpoint(of: job)
    jobs[job].fruitlessAttempts = 0
    changes.hasLossesChanged = !lostArtifacts.isEmpty
    lostArtifacts.subtract(result.artifacts.values.map(\.digest))
    forgiveLosses(of: job)
    enter(.succeeded, job)
    for child in jobs[job].children { settle(child) }
  }

  private mutating func close(
    _ number: AttemptNumber, at job: JobIndex, outcome: String, log: ArtifactReference? = nil
  ) {
    if attempts.removeValue(forKey: number) != nil {
      countRunning(-1, of: job)
      changes.ended.append(number)
    }
    guard let entry = jobs[job].history.lastIndex(where: { $0.attempt == number }) else { return }
    jobs[job].history[entry].outcome = outcome
    jobs[job].history[entry].log = log
  }

  /// A job that runs counts for every sweep that wants it.
  private mutating func countRunning(_ change: Int, of job: JobIndex) {
    for sweep in jobs[job].sweeps { sweeps[sweep].running += change }
    changes.turned += jobs[job].sweeps
  }

  private mutating func supersedeCheckpoint(of job: JobIndex) {
    if let checkpoint = jobs[job].checkpoint { changes.superseded.append(checkpoint.artifact.digest) }
    jobs[job].checkpoint = nil
  }

  private mutating func forgiveLosses(of job: JobIndex) {
    for number in jobs[job].losses { lostAttempts[number] = nil }
    jobs[job].losses = []
  }

  private mutating func forgive(_ job: JobIndex) {
    forgiveLosses(of: job)
    jobs[job].failures = 0
    jobs[job].fruitlessAttempts = 0
  }
}

// MARK: - The states of jobs

extension Ledger {
  /// The one place where a job changes its state.
  private mutating func enter(_ state: Job.State, _ job: JobIndex) {
    jobs[job].state = state
    changes.moved.append(job)
  }

  private mutating func setSuccess(_ success: Job.Success?, of job: JobIndex) {
    jobs[job].success = success
    changes.moved += jobs[job].children
  }

  /// A waiting job whose sources have succeeded becomes ready; a source's model that is lost is made again first.
  private mutating func settle(_ job: JobIndex) {
    guard jobs[job].state == .waiting else { return }
    for source in jobs[job].sources {
      guard jobs[source].state == .succeeded else { return }
      if hasLostModel(source) { return reopen(source) }
    }
    enter(.ready, job)
  }

  /// The job has no result, and is ready again unless a source is not done.
  private mutating func release(_ job: JobIndex) {
    enter(.waiting, job)
    settle(job)
  }

  private mutating func reset(_ key: JobKey) {
    guard let job = jobOfKey[key] else { return }
    forgive(job)
    enter(.waiting, job)
    unblock(below: job)
    settle(job)
  }

  private mutating func block(below job: JobIndex) {
    for child in jobs[job].children where jobs[child].state == .waiting {
      enter(.blocked, child)
      block(below: child)
    }
  }

  private mutating func unblock(below job: JobIndex) {
    for child in jobs[job].children
    where jobs[child].state == .blocked && !jobs[child].sources.contains(where: { jobs[$0].state.isHopeless }) {
      enter(.waiting, child)
      unblock(below: child)
    }
  }
}

// MARK: - Lost artifacts

extension Ledger {
  /// Nobody has these bytes any more.
  private mutating func forget(_ digests: [Digest]) {
    lostArtifacts.formUnion(digests)
    changes.hasLossesChanged = true
    for job in jobs.indices { forgetLost(of: job) }
    reopenNeeded(among: jobs.indices)
    // The rest need not be remembered, since nothing references it any more.
    var referenced = submittedArtifacts
    for job in jobs { if let model = job.success?.result.artifact(.model) { referenced.insert(model.digest) } }
    for attempt in attempts.values { referenced.formUnion(attempt.inputs.values.map(\.digest)) }
    lostArtifacts.formIntersection(referenced)
  }

  /// A stage goes on without its checkpoint, from the beginning; a result without its log or report is still one.
  private mutating func forgetLost(of job: JobIndex) {
    if let checkpoint = jobs[job].checkpoint, lostArtifacts.contains(checkpoint.artifact.digest) {
      jobs[job].checkpoint = nil
    }
    for entry in jobs[job].history.indices {
      if let log = jobs[job].history[entry].log, lostArtifacts.contains(log.digest) {
        jobs[job].history[entry].log = nil
      }
    }
    for (role, artifact) in jobs[job].success?.result.artifacts ?? [:]
    where role != OutputRole.model.rawValue && lostArtifacts.contains(artifact.digest) {
      jobs[job].success!.result.artifacts[role] = nil
    }
  }

  /// Runs the jobs again whose models are lost and needed.
  private mutating func reopenNeeded(among candidates: some Sequence<JobIndex>) {
    guard !lostArtifacts.isEmpty else { return }
    let outcomes = outcomes
    for job in candidates where hasLostModel(job) && isModelNeeded(job, outcomes) { reopen(job) }
  }

  /// The job runs again. Children that have begun go on with the model they have.
  private mutating func reopen(_ job: JobIndex) {
    setSuccess(nil, of: job)
    for child in jobs[job].children where jobs[child].state == .ready { enter(.waiting, child) }
    release(job)
  }

  func hasLostModel(_ job: JobIndex) -> Bool {
    guard !lostArtifacts.isEmpty, let model = jobs[job].success?.result.artifact(.model) else { return false }
    return lostArtifacts.contains(model.digest)
  }

  /// The jobs whose models are what some trial comes to.
  private var outcomes: Set<JobIndex> {
    var outcomes: Set<JobIndex> = []
    for sweep in sweeps where !sweep.isCancelled {
      for trial in sweep.tree.trials.indices { outcomes.insert(sweep.jobs[sweep.tree.modelNode(ofTrial: trial)]) }
    }
    return outcomes
  }

  private func isModelNeeded(_ job: JobIndex, _ outcomes: Set<JobIndex>) -> Bool {
    guard !jobs[job].sweeps.isEmpty else { return false }
    return outcomes.contains(job)
      || jobs[job].children.contains { jobs[$0].state.isUnderWay && !jobs[$0].sweeps.isEmpty }
  }
}
