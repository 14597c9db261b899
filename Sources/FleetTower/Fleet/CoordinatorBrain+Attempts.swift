import Sweep

/// What workers say of their attempts. Only a live attempt, named by the worker that holds it, changes anything.
extension CoordinatorBrain {
  private func isLive(_ number: AttemptNumber, _ worker: WorkerID) -> Bool { attempts[number]?.worker == worker }

  mutating func epochFinished(_ number: AttemptNumber, _ metrics: EpochMetrics, _ worker: WorkerID) {
    guard isLive(number, worker) else { return tell(worker, .cancelAttempt(attempt: number, reason: .superseded)) }
    // An epoch heard of before is acknowledged again and written once.
    if metrics.epoch > attempts[number]!.lastEpoch {
      decide(.epochFinished(attempt: number, job: jobs[attempts[number]!.job].key, metrics: metrics))
    }
    tell(worker, .metricsAcknowledged(attempt: number, epoch: metrics.epoch))
  }

  mutating func checkpointStored(
    _ number: AttemptNumber, _ checkpoint: Checkpoint, _ worker: WorkerID, _ missing: [ArtifactDigest]
  ) {
    guard isLive(number, worker) else { return tell(worker, .cancelAttempt(attempt: number, reason: .superseded)) }
    guard missing.isEmpty else { return tell(worker, .artifactsMissing(attempt: number, digests: missing)) }
    let job = attempts[number]!.job
    // Late news of an older checkpoint must not take a stage back.
    if checkpoint.epoch > jobs[job].checkpoint?.epoch ?? -1 {
      decide(.checkpointStored(attempt: number, job: jobs[job].key, checkpoint: checkpoint))
    }
    tell(worker, .checkpointAcknowledged(attempt: number, epoch: checkpoint.epoch))
  }

  mutating func attemptFinished(
    _ number: AttemptNumber, _ result: StageResult, _ worker: WorkerID, _ missing: [ArtifactDigest]
  ) {
    guard isLive(number, worker) else {
      return tell(worker, .attemptAcknowledged(attempt: number, accepted: false))
    }
    guard missing.isEmpty else { return tell(worker, .artifactsMissing(attempt: number, digests: missing)) }
    let job = attempts[number]!.job
    if jobs[job].stage.makesModel, result.artifact(.model) == nil {
      fail(number, StageFailure(message: "the stage finished without a model"))
    } else {
      decide(.jobSucceeded(attempt: number, job: jobs[job].key, worker: worker, result: result))
    }
    tell(worker, .attemptAcknowledged(attempt: number, accepted: true))
  }

  mutating func attemptFailed(
    _ number: AttemptNumber, _ failure: StageFailure, _ worker: WorkerID, _ missing: [ArtifactDigest]
  ) {
    guard isLive(number, worker) else {
      return tell(worker, .attemptAcknowledged(attempt: number, accepted: false))
    }
    if !failure.isFinal, wasLetDown(number) {
      handBack(number)
    } else {
      // A log that got lost must not keep a failure from being heard.
      fail(number, missing.isEmpty ? failure : StageFailure(message: failure.message, cause: failure.cause))
    }
    tell(worker, .attemptAcknowledged(attempt: number, accepted: true))
  }

  mutating func attemptReturned(_ number: AttemptNumber, _ worker: WorkerID) {
    guard isLive(number, worker) else {
      return tell(worker, .attemptAcknowledged(attempt: number, accepted: false))
    }
    handBack(number)
    tell(worker, .attemptAcknowledged(attempt: number, accepted: true))
  }

  private mutating func fail(_ number: AttemptNumber, _ failure: StageFailure) {
    let job = attempts[number]!.job
    decide(.attemptEnded(attempt: number, job: jobs[job].key, outcome: .failed(failure)))
    if failure.isFinal { return decide(.jobFailed(job: jobs[job].key, reason: failure.message)) }
    guard jobs[job].failures >= policy.failureLimit else { return }
    let reason = "failed \(jobs[job].failures) times, at last: \(failure.message)"
    decide(.jobFailed(job: jobs[job].key, reason: reason))
  }

  /// Ends an attempt that vanished with its worker. A job that took too many workers along is set aside, so that it
  /// does not take the whole fleet.
  mutating func lose(_ number: AttemptNumber) {
    let job = attempts[number]!.job
    decide(.attemptEnded(attempt: number, job: jobs[job].key, outcome: .lost))
    let losses = jobs[job].losses.count
    guard losses >= policy.lossLimit else { return }
    decide(.jobFailed(job: jobs[job].key, reason: "set aside: \(losses) workers vanished while running it"))
  }
}

// MARK: - Leases and other deadlines

extension CoordinatorBrain {
  mutating func renewLease(of number: AttemptNumber) {
    deadlines.set(.lease(number), now.advanced(byMilliseconds: policy.leaseMilliseconds))
  }

  /// After the coordinator was away: no worker can have been heard, so none is held to be lost yet.
  mutating func renewAllLeases() {
    for number in attempts.keys.sorted() {
      attempts[number]!.isOrphaned = false
      dequeue(attempts[number]!.job)
      renewLease(of: number)
    }
  }

  mutating func meetDeadlines() {
    while let (deadline, moment) = deadlines.first, moment <= now {
      deadlines.remove(deadline)
      switch deadline {
      case .lease(let number): lose(number)
      case .silence(let worker):
        guard let connection = workers[worker]?.connection else { break }
        disconnected(connection)
        emit(.close(connection))
      case .retry(let job): if jobs[job].state == .ready { enqueue(job) }
      case .repair(let artifact): repairIsDue(artifact)
      case .forget(let worker): forget(worker)
      case .benchmark, .box: break  // Scheduling, which follows, asks for them.
      }
    }
  }
}
