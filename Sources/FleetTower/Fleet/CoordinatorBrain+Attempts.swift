import Sweep

/// What workers say of their attempts. Only a live attempt, named by the worker that holds it, changes anything.
extension CoordinatorBrain {
  /// The live attempt of this number, if it is the worker's.
  private func attempt(_ number: AttemptNumber, of worker: WorkerID) -> Attempt? {
    ledger.attempts[number].flatMap { $0.worker == worker ? $0 : nil }
  }

  private func key(of number: AttemptNumber) -> JobKey { jobs[ledger.attempts[number]!.job].key }

  mutating func epochFinished(_ number: AttemptNumber, _ metrics: EpochMetrics, _ worker: WorkerID) {
    guard let attempt = attempt(number, of: worker) else {
      return tell(worker, .cancelAttempt(attempt: number, reason: .superseded))
    }
    // An epoch that was reported before is acknowledged again and written once.
    if metrics.epoch > attempt.lastEpoch {
      decide(.epochFinished(attempt: number, job: jobs[attempt.job].key, metrics: metrics))
    }
    tell(worker, .metricsAcknowledged(attempt: number, epoch: metrics.epoch))
  }

  mutating func checkpointStored(
    _ number: AttemptNumber, _ checkpoint: Checkpoint, _ worker: WorkerID, _ missing: [ArtifactDigest]
  ) {
    guard let attempt = attempt(number, of: worker) else {
      return tell(worker, .cancelAttempt(attempt: number, reason: .superseded))
    }
    guard missing.isEmpty else { return tell(worker, .artifactsMissing(attempt: number, digests: missing)) }
    let job = jobs[attempt.job]
    // Late news of an older checkpoint must not take a stage back.
    if checkpoint.epoch > job.checkpoint?.epoch ?? -1 {
      decide(.checkpointStored(attempt: number, job: job.key, checkpoint: checkpoint))
    }
    tell(worker, .checkpointAcknowledged(attempt: number, epoch: checkpoint.epoch))
  }

  mutating func attemptFinished(
    _ number: AttemptNumber, _ result: StageResult, _ worker: WorkerID, _ missing: [ArtifactDigest]
  ) {
    guard let attempt = attempt(number, of: worker) else {
      return tell(worker, .attemptAcknowledged(attempt: number, accepted: false))
    }
    guard missing.isEmpty else { return tell(worker, .artifactsMissing(attempt: number, digests: missing)) }
    let job = jobs[attempt.job]
    if job.stage.makesModel, result.artifact(.model) == nil {
      fail(number, StageFailure(message: "the stage finished without a model"))
    } else {
      decide(.jobSucceeded(attempt: number, job: job.key, worker: worker, result: result))
    }
    tell(worker, .attemptAcknowledged(attempt: number, accepted: true))
  }

  mutating func attemptFailed(
    _ number: AttemptNumber, _ failure: StageFailure, _ worker: WorkerID, _ missing: [ArtifactDigest]
  ) {
    guard attempt(number, of: worker) != nil else {
      return tell(worker, .attemptAcknowledged(attempt: number, accepted: false))
    }
    if !failure.isFinal, wasLetDown(number) {
      handBack(number)
    } else {
      // A failure counts even if its log got lost.
      fail(number, missing.isEmpty ? failure : StageFailure(message: failure.message, cause: failure.cause))
    }
    tell(worker, .attemptAcknowledged(attempt: number, accepted: true))
  }

  mutating func attemptReturned(_ number: AttemptNumber, _ worker: WorkerID) {
    guard attempt(number, of: worker) != nil else {
      return tell(worker, .attemptAcknowledged(attempt: number, accepted: false))
    }
    handBack(number)
    tell(worker, .attemptAcknowledged(attempt: number, accepted: true))
  }

  private mutating func fail(_ number: AttemptNumber, _ failure: StageFailure) {
    let job = ledger.attempts[number]!.job
    decide(.attemptEnded(attempt: number, job: jobs[job].key, outcome: .failed(failure)))
    if failure.isFinal { return decide(.jobFailed(job: jobs[job].key, reason: failure.message)) }
    guard jobs[job].failures >= policy.failureLimit else { return }
    let reason = "failed \(jobs[job].failures) times, at last: \(failure.message)"
    decide(.jobFailed(job: jobs[job].key, reason: reason))
  }

  /// Ends an attempt that vanished with its worker. A job that took too many workers along is set aside, so that it
  /// does not take the whole fleet.
  mutating func lose(_ number: AttemptNumber) {
    let job = ledger.attempts[number]!.job
    decide(.attemptEnded(attempt: number, job: jobs[job].key, outcome: .lost))
    let losses = jobs[job].losses.count
    guard losses >= policy.lossLimit else { return }
    decide(.jobFailed(job: jobs[job].key, reason: "set aside: \(losses) workers vanished while running it"))
  }

  mutating func handBack(_ number: AttemptNumber) {
    decide(.attemptEnded(attempt: number, job: key(of: number), outcome: .returned))
  }
}

// MARK: - Deadlines

extension CoordinatorBrain {
  /// Called after the coordinator was away: no worker can have been heard, so none is held to be lost yet.
  mutating func renewAllLeases() {
    for (number, attempt) in ledger.attempts.sorted(by: { $0.key < $1.key }) {
      roster.resume(number, at: now)
      lineUp(attempt.job)
    }
  }

  mutating func meetDeadlines() {
    while let moment = nextDeadline, moment <= now, let deadline = takeDeadline(upTo: moment) {
      switch deadline {
      case .lease(let number): lose(number)
      case .silence(let worker):
        guard let connection = roster.workers[worker]?.connection else { break }
        disconnected(connection)
        emit(.close(connection))
      case .retry(let job): lineUp(job)
      case .repair(let artifact): repairs.becomeDue(artifact)
      case .forget(let worker): forget(worker)
      case .benchmark, .box: break  // Scheduling, which follows, asks for them.
      }
    }
  }
}
