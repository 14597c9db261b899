import Bytes
import Sweep
import Wording

/// The messages of workers about their attempts.
extension CoordinatorBrain {
  /// Only a live attempt, named by the worker that holds it, changes anything. What came before is acknowledged again.
  mutating func receive(
    _ message: WorkerMessage, of number: AttemptNumber, from worker: WorkerID, missing: [Digest]
  ) {
    guard let attempt = ledger.attempts[number], attempt.worker == worker else {
      return tell(worker, message.staleAnswer(number))
    }
    let job = jobs[attempt.job]
    switch message {
    case .checkpointStored where !missing.isEmpty, .attemptFinished where !missing.isEmpty:
      return tell(worker, .artifactsMissing(attempt: number, digests: missing))
    case .epochMetrics(_, let metrics):
      if metrics.epoch > attempt.lastEpoch {
        decide(.epochFinished(attempt: number, job: job.key, metrics: metrics))
      }
      return tell(worker, .metricsAcknowledged(attempt: number, epoch: metrics.epoch))
    case .checkpointStored(_, let checkpoint):
      // Late news of an older checkpoint must not take a stage back.
      if checkpoint.epoch > job.checkpoint?.epoch ?? -1 {
        decide(.checkpointStored(attempt: number, job: job.key, checkpoint: checkpoint))
      }
      return tell(worker, .checkpointAcknowledged(attempt: number, epoch: checkpoint.epoch))
    case .attemptFinished(_, let result) where job.stage.makesModel && result.artifact(.model) == nil:
      fail(number, StageFailure(message: "the stage finished without a model"))
    case .attemptFinished(_, let result):
      decide(.jobSucceeded(attempt: number, job: job.key, worker: worker, result: result))
    case .attemptFailed(_, let failure) where failure.isFinal || !wasLetDown(number):
      // A failure counts even if its log got lost.
      fail(number, missing.isEmpty ? failure : StageFailure(message: failure.message, cause: failure.cause))
    case .attemptFailed, .attemptReturned: handBack(number)
    case .hello, .heartbeat, .broughtBack, .cannotBringBack, .goodbye: return
    }
    tell(worker, .attemptAcknowledged(attempt: number, accepted: true))
  }

  private mutating func fail(_ number: AttemptNumber, _ failure: StageFailure) {
    let job = ledger.attempts[number]!.job
    decide(.attemptEnded(attempt: number, job: jobs[job].key, outcome: .failed(failure)))
    if failure.isFinal { return decide(.jobFailed(job: jobs[job].key, reason: failure.message)) }
    guard jobs[job].failures >= policy.failureLimit else { return }
    let reason = "failed \(counted(jobs[job].failures, "time")), at last: \(failure.message)"
    decide(.jobFailed(job: jobs[job].key, reason: reason))
  }

  /// Ends an attempt that vanished with its worker. A job that took too many workers along is set aside, so that it
  /// does not take the whole fleet.
  mutating func lose(_ number: AttemptNumber) {
    let job = ledger.attempts[number]!.job
    decide(.attemptEnded(attempt: number, job: jobs[job].key, outcome: .lost))
    let losses = jobs[job].losses.count
    guard losses >= policy.lossLimit else { return }
    decide(.jobFailed(job: jobs[job].key, reason: "set aside: \(counted(losses, "worker")) vanished while running it"))
  }

  mutating func handBack(_ number: AttemptNumber) {
    decide(.attemptEnded(attempt: number, job: jobs[ledger.attempts[number]!.job].key, outcome: .returned))
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
    while let moment = nextDeadline, moment <= now,
      let deadline = roster.takeDeadline(upTo: moment) ?? queue.takeDeadline(upTo: moment)
        ?? repairs.takeDeadline(upTo: moment)
    {
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

extension WorkerMessage {
  /// Returns the answer for an attempt that does not count any more.
  fileprivate func staleAnswer(_ number: AttemptNumber) -> CoordinatorMessage {
    switch self {
    case .epochMetrics, .checkpointStored: .cancelAttempt(attempt: number, reason: .superseded)
    default: .attemptAcknowledged(attempt: number, accepted: false)
    }
  }
}
