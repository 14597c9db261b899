import Fleet
import Sweep

/// The effects of planted faults.
extension SimulatedCluster {
  /// Lets a planted fault change a message.
  /// - Returns: whether it is swallowed.
  func spoil(_ message: inout CoordinatorMessage) -> Bool {
    switch (fault, message) {
    case (.ignoreCheckpoint, .assign(var assignment)):
      assignment.inputs["resume"] = nil
      message = .assign(assignment)
    case (.resumeFromOlderCheckpoint, .assign(var assignment)):
      let checkpoints = coordinator.journal.records.compactMap { record in
        if case .checkpointStored(_, assignment.job, let checkpoint) = record { checkpoint } else { nil }
      }
      guard checkpoints.count > 1 else { return false }
      assignment.inputs["resume"] = checkpoints[checkpoints.count - 2].artifact
      message = .assign(assignment)
    case (.noFencing, .welcome(var welcome)), (.acceptStaleResults, .welcome(var welcome)):
      welcome.abandon = []
      message = .welcome(welcome)
    case (.noFencing, .cancelAttempt(_, reason: .superseded)): return true
    default: break
    }
    return false
  }

  mutating func tearTransaction() throws(BrokenPromise) {
    guard coordinator.journal.transaction.count > 1 else { return }
    coordinator.journal.tearTransaction()
    try writeTransaction()
  }

  /// Returns the attempts that the coordinator has given to a worker, by its journal.
  private func liveAttempts(of worker: Int) -> Set<AttemptNumber> {
    let id = workers[worker].id
    var live: [JobKey: AttemptNumber] = [:]
    for record in coordinator.journal.records {
      switch record {
      case .attemptStarted(let attempt, let job, id, _): live[job] = attempt
      case .attemptStarted(_, let job, _, _), .attemptEnded(_, let job, _), .jobSucceeded(_, let job, _, _):
        live[job] = nil
      default: break
      }
    }
    return Set(live.values)
  }

  /// The planted fault: the coordinator believes that the worker lives until it says hello on another connection.
  mutating func believe(_ id: ConnectionID) throws(BrokenPromise) {
    guard let connection = connections[id], !connection.isGoneAtCoordinator else { return }
    after(500, .endAtCoordinator(id))
    let attempts = liveAttempts(of: connection.worker).sorted()
    try inform(.received(.heartbeat(attempts: attempts), from: id))
  }

  /// Lets a planted fault change the disk in a crash.
  mutating func spoilDisk() {
    switch fault {
    case .forgetPauses:
      coordinator.journal.damage { $0.removeAll { if case .sweepSteered = $0 { true } else { false } } }
    case .forgiveLosses: coordinator.journal.damage { $0 = $0.map(SimulatedCluster.forgiven) }
    case .loseTail: coordinator.journal.damage { $0.removeLast(min(1, $0.count)) }
    default: break
    }
  }

  private static func forgiven(_ record: Record) -> Record {
    guard case .attemptEnded(let attempt, let job, .lost) = record else { return record }
    return .attemptEnded(attempt: attempt, job: job, outcome: .returned)
  }

  mutating func stopFailedSweeps(_ records: [Record]) throws(BrokenPromise) {
    for case .jobFailed(let job, _) in records {
      for tree in trees where tree.nodes.contains(where: { $0.key == job }) {
        try inform(.requested(.steer(sweep: tree.sweep.name, mode: .stopped), from: ConnectionID(0)))
      }
    }
  }

  /// Returns a request as a planted fault changes it.
  func spoiled(_ request: OperatorRequest) -> OperatorRequest {
    guard case .submit(var submission) = request else { return request }
    if fault == .ignorePriorities { submission.spec.priority = nil }
    if fault == .favourOneSweep, submission.sweepID == trees.last!.sweep {
      submission.spec.priority = (submission.spec.priority ?? 0) + 1
    }
    return .submit(submission)
  }

  /// Returns a worker's message as a planted fault changes it, and the connection that it then seems to come from.
  func spoiled(_ message: WorkerMessage, from id: ConnectionID) -> (WorkerMessage, ConnectionID) {
    switch (fault, message) {
    case (.noRequeueOnDisconnect, .hello(var hello)):
      hello.attempts = liveAttempts(of: connections[id]!.worker).union(hello.attempts).sorted()
      return (.hello(hello), id)
    case (.noRequeueOnDisconnect, .heartbeat(let attempts, let fetching)):
      let claimed = liveAttempts(of: connections[id]!.worker).union(attempts).sorted()
      return (.heartbeat(attempts: claimed, fetching: fetching), id)
    case (.forgetSharedBox, .hello(var hello)):
      hello.box = BoxID("\(hello.worker)")
      return (.hello(hello), id)
    case (.claimAllMetrics, .hello(var hello)):
      hello.metrics = nil
      return (.hello(hello), id)
    case (.claimLabels, .hello(var hello)):
      hello.labels["site"] = "lab"
      return (.hello(hello), id)
    case (.ignoreVersions, .hello(var hello)):
      hello.protocolVersion = FleetProtocol.version
      return (.hello(hello), id)
    case (.forgetFinality, .attemptFailed(let attempt, var failure)):
      failure.cause = .other
      return (.attemptFailed(attempt: attempt, failure: failure), id)
    case (.noFencing, .attemptFinished(let number, let result)),
      (.acceptStaleResults, .attemptFinished(let number, let result)):
      return passOff(number, result, from: id)
    default: return (message, id)
    }
  }

  /// The planted fault: a stale attempt's result takes the number and the connection of the job's live attempt.
  private func passOff(
    _ number: AttemptNumber, _ result: StageResult, from id: ConnectionID
  ) -> (WorkerMessage, ConnectionID) {
    let message = WorkerMessage.attemptFinished(attempt: number, result: result)
    var jobs: [AttemptNumber: JobKey] = [:]
    var live: [JobKey: (AttemptNumber, WorkerID)] = [:]
    for record in coordinator.journal.records {
      if case .attemptStarted(let attempt, let job, let worker, _) = record {
        jobs[attempt] = job
        live[job] = (attempt, worker)
      }
    }
    guard let job = jobs[number], let (newest, worker) = live[job], newest > number else { return (message, id) }
    let holder = connections.first { !$0.value.isGoneAtCoordinator && workers[$0.value.worker].id == worker }
    guard let holder else { return (message, id) }
    return (.attemptFinished(attempt: newest, result: result), holder.key)
  }
}
