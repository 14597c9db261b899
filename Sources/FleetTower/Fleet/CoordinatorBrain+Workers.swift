import Sweep

/// Workers coming, staying and going.
extension CoordinatorBrain {
  mutating func receive(_ message: WorkerMessage, from connection: ConnectionID, missing: [ArtifactDigest]) {
    if let problem = message.problem { return refuse(connection, "the worker said what none would: \(problem)") }
    if case .hello(let hello) = message { return welcome(hello, on: connection) }
    // Messages that were on their way when their connection was replaced or closed count for nothing: what they were
    // owed for is said again on the new connection.
    guard let worker = workerOfConnection[connection] else { return emit(.close(connection)) }
    heard(from: worker)
    for artifact in message.artifacts where !missing.contains(artifact.digest) { artifactStored(artifact.digest) }
    switch message {
    case .hello: break
    case .heartbeat(let attempts, let fetching): heartbeat(of: attempts, fetching: fetching ?? [], from: worker)
    case .epochMetrics(let attempt, let metrics): epochFinished(attempt, metrics, worker)
    case .checkpointStored(let attempt, let checkpoint): checkpointStored(attempt, checkpoint, worker, missing)
    case .attemptFinished(let attempt, let result): attemptFinished(attempt, result, worker, missing)
    case .attemptFailed(let attempt, let failure): attemptFailed(attempt, failure, worker, missing)
    case .attemptReturned(let attempt): attemptReturned(attempt, worker)
    case .broughtBack(let artifact): if !missing.isEmpty { cannotBringBack(artifact.digest, worker) }
    case .cannotBringBack(let artifact): cannotBringBack(artifact, worker)
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
    guard workerOfConnection[connection] ?? hello.worker == hello.worker else {
      return emit(.close(connection))  // One connection cannot speak for two workers.
    }
    if let former = workers[hello.worker], let formerConnection = former.connection, formerConnection != connection {
      if former.incarnation != hello.incarnation, isAlive(former) {
        return refuse(
          connection,
          "another process with the identity \(hello.worker) is connected: if the --cache folder was copied, remove "
            + "the file worker-id from the copy")
      }
      disconnected(formerConnection)
      emit(.close(formerConnection))
    }
    let hasCrashed = workers[hello.worker].map { $0.incarnation != hello.incarnation } ?? false
    enroll(hello, on: connection)
    endUnlisted(by: hello, hasCrashed: hasCrashed)
    let abandon = hello.attempts.filter { !resume($0, by: hello.worker) }
    refresh(hello.worker)
    tell(
      hello.worker,
      .welcome(
        Welcome(
          leaseMilliseconds: policy.leaseMilliseconds, heartbeatMilliseconds: policy.heartbeatMilliseconds,
          abandon: abandon)))
    for number in attemptsOfWorker[hello.worker] ?? [] where isHeldBack(attempts[number]!.job) { takeBack(number) }
    if drainedWorkers.contains(hello.worker) { tell(hello.worker, .drain(isDraining: true)) }
    askNewcomer(hello.worker)
  }

  private mutating func enroll(_ hello: Hello, on connection: ConnectionID) {
    let known = workers[hello.worker]
    if let known, known.box != hello.box { leave(known) }
    workers[hello.worker] = WorkerState(
      id: hello.worker, incarnation: hello.incarnation, name: hello.name, box: hello.box,
      slots: min(max(0, hello.slots), MessageBounds.slots),
      labels: hello.labels, protocolVersion: hello.protocolVersion, connection: connection,
      isLeaving: hello.isDraining, metrics: hello.metrics.map(Set.init), heardAt: now)
    workerOfConnection[connection] = hello.worker
    if boxes[hello.box]?.workers.contains(hello.worker) != true {
      boxes[hello.box, default: Box()].workers.append(hello.worker)
      boxes[hello.box]!.workers.sort()
    }
    deadlines.remove(.forget(hello.worker))
    absentWorkers.remove(hello.worker)
    heard(from: hello.worker)
    if known.map({ $0.metrics != workers[hello.worker]!.metrics }) ?? true { refreshHolds() }
  }

  /// What we believe the worker runs and it does not: it crashed since, or the assignment never arrived. Only a crash
  /// is held against the job; of one that happened while the coordinator was away, nothing is known.
  private mutating func endUnlisted(by hello: Hello, hasCrashed: Bool) {
    for number in attemptsOfWorker[hello.worker] ?? [] where !hello.attempts.contains(number) {
      if hasCrashed { lose(number) } else { handBack(number) }
    }
  }

  mutating func handBack(_ number: AttemptNumber) {
    decide(.attemptEnded(attempt: number, job: jobs[attempts[number]!.job].key, outcome: .returned))
  }

  /// - Returns: whether the attempt still counts.
  private mutating func resume(_ number: AttemptNumber, by worker: WorkerID) -> Bool {
    if let lost = lostAttempts[number], lost.worker == worker {
      decide(.attemptSurvived(attempt: number, job: jobs[lost.job].key))
    }
    guard let attempt = attempts[number], attempt.worker == worker else { return false }
    attempts[number]!.isOrphaned = false
    dequeue(attempt.job)
    renewLease(of: number)
    return true
  }

  private mutating func heartbeat(
    of listed: [AttemptNumber], fetching: [AttemptNumber], from worker: WorkerID
  ) {
    for number in listed {
      if attempts[number]?.worker == worker {
        renewLease(of: number)
        attempts[number]!.isFetching = fetching.contains(number)
      } else {
        tell(worker, .cancelAttempt(attempt: number, reason: .superseded))
      }
    }
    tell(worker, .heartbeatAcknowledged)
  }

  private mutating func farewell(_ worker: WorkerID) {
    for number in attemptsOfWorker[worker] ?? [] { handBack(number) }
    if let connection = workers[worker]!.connection {
      disconnected(connection)
      emit(.close(connection))
    }
  }

  /// The jobs of a worker whose connection is gone may go elsewhere at once; should it come back before they have, it
  /// goes on with them.
  mutating func disconnected(_ connection: ConnectionID) {
    // Operators, connections that never said hello, and those already replaced end without consequence.
    guard let id = workerOfConnection.removeValue(forKey: connection) else { return }
    workers[id]!.connection = nil
    repairsEnd(by: id)
    deadlines.remove(.silence(id))
    deadlines.set(.forget(id), now.advanced(byMilliseconds: policy.boxPatienceMilliseconds))
    for number in attemptsOfWorker[id] ?? [] {
      attempts[number]!.isOrphaned = true
      enqueue(attempts[number]!.job)
    }
    refresh(id)
    absentWorkers.set(id, now)
    while absentWorkers.count > policy.absentWorkerLimit, let longest = absentWorkers.first?.key { forget(longest) }
  }

  /// Drops a worker that has not come back. (Its attempts ended with their leases, long before.)
  mutating func forget(_ id: WorkerID) {
    absentWorkers.remove(id)
    guard let worker = workers[id], worker.connection == nil, attemptsOfWorker[id] == nil else { return }
    workers[id] = nil
    deadlines.remove(.forget(id))
    leave(worker)
    refreshHolds()
  }

  private mutating func leave(_ worker: WorkerState) {
    boxes[worker.box]!.workers.removeAll { $0 == worker.id }
    let isNeeded = boxes[worker.box]!.attemptCount > 0 || isAwaited(worker.box)
    if boxes[worker.box]!.workers.isEmpty, !isNeeded { boxes[worker.box] = nil }
  }

  /// Whether a connected worker has been heard of late. A process that a new one replaces has fallen silent.
  private func isAlive(_ worker: WorkerState) -> Bool {
    now < worker.heardAt.advanced(byMilliseconds: 2 * policy.heartbeatMilliseconds)
  }

  private mutating func heard(from worker: WorkerID) {
    workers[worker]!.heardAt = now
    deadlines.set(.silence(worker), now.advanced(byMilliseconds: policy.leaseMilliseconds))
  }
}
