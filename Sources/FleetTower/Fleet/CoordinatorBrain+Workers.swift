import Bytes
import Sweep

/// Workers coming, staying and going.
extension CoordinatorBrain {
  mutating func receive(_ message: WorkerMessage, from connection: ConnectionID, missing: [Digest]) {
    if let problem = message.problem { return refuse(connection, "invalid message from the worker: \(problem)") }
    if case .hello(let hello) = message { return welcome(hello, on: connection) }
    // Messages that were on their way when their connection was replaced or closed count for nothing: the worker
    // repeats on the new connection what was not acknowledged.
    guard let worker = roster.worker(on: connection) else { return emit(.close(connection)) }
    roster.heard(from: worker, at: now)
    for artifact in message.artifacts where !missing.contains(artifact.digest) { artifactStored(artifact.digest) }
    switch message {
    case .hello: break
    case .heartbeat(let attempts, let fetching): heartbeat(of: attempts, fetching: fetching ?? [], from: worker)
    case .epochMetrics(let number, _), .checkpointStored(let number, _), .attemptFinished(let number, _),
      .attemptFailed(let number, _), .attemptReturned(let number):
      receive(message, of: number, from: worker, missing: missing)
    case .broughtBack(let artifact): if !missing.isEmpty { repairs.refuse(artifact.digest, by: worker) }
    case .cannotBringBack(let artifact): repairs.refuse(artifact, by: worker)
    case .goodbye: farewell(worker)
    }
  }

  private mutating func refuse(_ connection: ConnectionID, _ reason: String) {
    emit(.send(.refused(reason: reason), to: connection))
    disconnected(connection)
    emit(.close(connection))
  }

  private mutating func welcome(_ hello: Hello, on connection: ConnectionID) {
    guard FleetProtocol.accepted.contains(hello.protocolVersion) else {
      return refuse(
        connection,
        "this coordinator speaks protocol \(FleetProtocol.version), the worker \(hello.protocolVersion): "
          + "update the older of the two")
    }
    guard roster.worker(on: connection) ?? hello.worker == hello.worker else {
      return emit(.close(connection))  // One connection cannot speak for two workers.
    }
    if let former = roster.workers[hello.worker], let formerConnection = former.connection,
      formerConnection != connection
    {
      if former.incarnation != hello.incarnation, roster.isAlive(former, at: now) {
        return refuse(
          connection,
          "another process with the identity \(hello.worker) is connected: if the --cache folder was copied, remove "
            + "the file worker-id from the copy")
      }
      disconnected(formerConnection)
      emit(.close(formerConnection))
    }
    let former = roster.workers[hello.worker]
    let isDrained = ledger.drainedWorkers.contains(hello.worker)
    roster.enroll(hello, on: connection, isDrained: isDrained, keeping: awaitedBoxes, at: now)
    let worker = roster.workers[hello.worker]!
    if former?.metrics != worker.metrics || former?.labels != worker.labels { refreshUnmeasurableSweeps() }
    endUnlisted(by: hello, hasCrashed: former.map { $0.incarnation != hello.incarnation } ?? false)
    let abandon = hello.attempts.filter { !resume($0, by: hello.worker) }
    tell(
      hello.worker,
      .welcome(
        Welcome(
          leaseMilliseconds: policy.leaseMilliseconds, heartbeatMilliseconds: policy.heartbeatMilliseconds,
          abandon: abandon)))
    for number in roster.attempts(of: hello.worker) where isHeldBack(ledger.attempts[number]!.job) { takeBack(number) }
    if isDrained { tell(hello.worker, .drain(isDraining: true)) }
    repairs.join(hello.worker)
  }

  /// Ends the attempts that the worker should run and does not: it crashed since, or the assignment never arrived. Only
  /// a crash is held against the job; of one that happened while the coordinator was away, nothing is known.
  private mutating func endUnlisted(by hello: Hello, hasCrashed: Bool) {
    for number in roster.attempts(of: hello.worker) where !hello.attempts.contains(number) {
      if hasCrashed { lose(number) } else { handBack(number) }
    }
  }

  /// - Returns: whether the attempt still counts.
  private mutating func resume(_ number: AttemptNumber, by worker: WorkerID) -> Bool {
    if let lost = ledger.lostAttempts[number], lost.worker == worker {
      decide(.attemptSurvived(attempt: number, job: jobs[lost.job].key))
    }
    guard let attempt = ledger.attempts[number], attempt.worker == worker else { return false }
    roster.resume(number, at: now)
    lineUp(attempt.job)
    return true
  }

  private mutating func heartbeat(
    of listed: [AttemptNumber], fetching: [AttemptNumber], from worker: WorkerID
  ) {
    for number in listed {
      if ledger.attempts[number]?.worker == worker {
        roster.renewLease(of: number, at: now)
        roster.setFetching(number, fetching.contains(number))
      } else {
        tell(worker, .cancelAttempt(attempt: number, reason: .superseded))
      }
    }
    tell(worker, .heartbeatAcknowledged)
  }

  private mutating func farewell(_ worker: WorkerID) {
    for number in roster.attempts(of: worker) { handBack(number) }
    guard let connection = roster.workers[worker]?.connection else { return }
    disconnected(connection)
    emit(.close(connection))
  }

  /// The jobs of a worker whose connection is gone may go elsewhere at once.
  mutating func disconnected(_ connection: ConnectionID) {
    guard let worker = roster.disconnect(connection, at: now) else { return }
    repairs.leave(worker)
    for number in roster.attempts(of: worker) { lineUp(ledger.attempts[number]!.job) }
    while let superfluous = roster.superfluousWorker { forget(superfluous) }
  }

  mutating func forget(_ worker: WorkerID) {
    if roster.forget(worker, keeping: awaitedBoxes, at: now) { refreshUnmeasurableSweeps() }
  }
}
