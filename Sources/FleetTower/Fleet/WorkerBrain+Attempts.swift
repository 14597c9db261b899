import Bytes
import Sweep

/// The way of one attempt.
extension WorkerBrain {
  mutating func take(_ assignment: Assignment) {
    let number = assignment.attempt
    guard attempts[number] == nil else { return }  // Said twice.
    if let problem = assignment.problem {
      return decline(.attemptFailed(attempt: number, failure: StageFailure(message: "refused: \(problem)")), number)
    }
    // No coordinator that counts slots assigns so many.
    guard attempts.count < policy.attemptLimit else { return decline(.attemptReturned(attempt: number), number) }
    let inputs = Dictionary(assignment.inputs.values.map { ($0.digest, $0) }) { first, _ in first }
    attempts[number] = HeldAttempt(assignment: assignment, phase: .fetching(Set(inputs.keys)))
    // Assigned before the coordinator heard that we leave.
    if isLeaving || isClosing { return announce(.attemptReturned(attempt: number), number) }
    guard isTimeLeft(for: assignment.stage) else { return close() }
    for digest in inputs.keys.sorted() { beginFetch(inputs[digest]!) }
    if inputs.isEmpty { attempts[number]!.phase = .queued }
  }

  /// Refuses an attempt without taking it in hand.
  private mutating func decline(_ message: WorkerMessage, _ number: AttemptNumber) {
    say(message)
    emit(.discard(number))
  }

  mutating func inputArrived(_ digest: Digest) {
    for number in heldAttempts {
      guard case .fetching(var missing) = attempts[number]!.phase, missing.remove(digest) != nil else { continue }
      attempts[number]!.phase = missing.isEmpty ? .queued : .fetching(missing)
    }
  }

  mutating func inputUnavailable(_ digest: Digest, _ reason: String, _ cause: FailureCause) {
    for number in heldAttempts {
      guard case .fetching(let missing) = attempts[number]!.phase, missing.contains(digest) else { continue }
      fail(number, StageFailure(message: "cannot fetch \(digest): \(reason)", cause: cause))
    }
  }

  /// Oldest first. A cancelled stage holds its slot until its process is gone.
  mutating func startQueued() {
    var free = identity.slots - attempts.values.count(where: \.hasProcess)
    for number in heldAttempts where free > 0 {
      guard case .queued = attempts[number]!.phase else { continue }
      guard isTimeLeft(for: attempts[number]!.assignment.stage) else { return close() }
      attempts[number]!.phase = .running(end: nil)
      attempts[number]!.startedAt = now
      emit(.startStage(attempts[number]!.assignment))
      free -= 1
    }
  }

  /// Whether an attempt that begins now is likely to reach a checkpoint, or its end, before the worker must leave.
  private func isTimeLeft(for stage: Stage) -> Bool {
    guard let until = policy.until else { return true }
    let pace = paces[stage] ?? policy.unknownPaceMilliseconds
    return now.advanced(byMilliseconds: pace + policy.leaveMilliseconds) <= until
  }

  private mutating func notePace(of number: AttemptNumber) {
    guard let attempt = attempts[number], let start = attempt.startedAt else { return }
    attempts[number]!.startedAt = nil
    let stage = attempt.assignment.stage
    paces[stage] = max(paces[stage] ?? 0, now.milliseconds - start.milliseconds)
  }

  mutating func stageReported(_ number: AttemptNumber, _ event: StageEvent) {
    // A killed stage may still have said something.
    guard case .running(let end) = attempts[number]?.phase else { return }
    switch event {
    case .started: break
    case .epoch(let metrics):
      attempts[number]!.metrics.append(metrics)
      if attempts[number]!.metrics.count > policy.metricsLimit { attempts[number]!.metrics.removeFirst() }
      say(.epochMetrics(attempt: number, metrics: metrics))
    case .checkpoint(let epoch, let file):
      notePace(of: number)
      deliver(HeldAttempt.Delivery(epoch: epoch, file: file), of: number)
    case .finished(let output):
      notePace(of: number)
      attempts[number]!.phase = .running(end: end ?? .finished(output))
    case .failed(let message, let cause):
      attempts[number]!.phase = .running(end: .failed(message: message, cause: cause))
    }
  }

  mutating func stageExited(_ number: AttemptNumber, _ message: String, _ cause: FailureCause) {
    guard let phase = attempts[number]?.phase else { return }  // Forgotten when the daemon began to leave.
    switch phase {
    case .running(let end): settle(number, end ?? .failed(message: message, cause: cause))
    case .dying(isHandedBack: true):
      attempts[number]!.phase = .returning
      returnIfDelivered(number)
    case .dying(isHandedBack: false): forget(number)
    case .fetching, .queued, .settling, .resting, .owed, .returning:
      preconditionFailure("a stage ended that was not running: attempt \(number)")
    }
  }

  /// The files become artifacts. The result carries everything, so a checkpoint still on its way is given up.
  private mutating func settle(_ number: AttemptNumber, _ end: HeldAttempt.StageEnd) {
    attempts[number]!.delivery = nil
    attempts[number]!.nextCheckpoint = nil
    var files: [String: String] = [:]
    if case .finished(let output) = end { files = output.files }
    files[OutputRole.log.rawValue] = WorkerBrain.logFile
    attempts[number]!.phase = .settling(HeldAttempt.Settling(end: end, unkept: files))
    for role in files.keys.sorted() { emit(.keepFile(number, file: files[role]!)) }
  }

  /// Where a stage's process prints, in its folder.
  static let logFile = "stage.log"

  mutating func fileKept(_ number: AttemptNumber, _ file: String, _ artifact: ArtifactReference) {
    guard case .settling(var settling) = attempts[number]?.phase else {
      return checkpointKept(number, file, artifact)
    }
    for (role, name) in settling.unkept where name == file {
      settling.unkept[role] = nil
      settling.artifacts[role] = artifact
      settling.unstored.insert(artifact.digest)
    }
    attempts[number]!.phase = .settling(settling)
    if settling.unstored.contains(artifact.digest) { beginUpload(artifact) }
    reportIfSettled(number)
  }

  mutating func fileNotKept(_ number: AttemptNumber, _ file: String, _ reason: String, _ cause: FailureCause) {
    guard case .settling(var settling) = attempts[number]?.phase else { return checkpointNotKept(number, file) }
    settling.unkept = settling.unkept.filter { $0.value != file }
    attempts[number]!.phase = .settling(settling)
    if file == WorkerBrain.logFile { return reportIfSettled(number) }  // A result without its log is still one.
    fail(number, StageFailure(message: "cannot keep \(file): \(reason)", cause: cause))
  }

  mutating func resultStored(_ digest: Digest) {
    for number in heldAttempts {
      guard case .settling(var settling) = attempts[number]!.phase, settling.unstored.remove(digest) != nil else {
        continue
      }
      attempts[number]!.phase = .settling(settling)
      reportIfSettled(number)
    }
  }

  mutating func resultGone(_ digest: Digest, _ reason: String) {
    for number in heldAttempts {
      guard case .settling(let settling) = attempts[number]!.phase, settling.unstored.contains(digest) else { continue }
      fail(number, StageFailure(message: "a result was lost: \(reason)"))
    }
  }

  private mutating func reportIfSettled(_ number: AttemptNumber) {
    guard case .settling(let settling) = attempts[number]!.phase, settling.unkept.isEmpty, settling.unstored.isEmpty
    else { return }
    switch settling.end {
    case .finished(let output):
      var result = StageResult(metrics: output.metrics, kinds: output.kinds, artifacts: [:])
      result.artifacts = settling.artifacts
      announce(.attemptFinished(attempt: number, result: result), number)
    case .failed(let message, let cause):
      let failure = StageFailure(
        message: String(message.suffix(WorkerBrain.messageLimit)), log: settling.artifacts[OutputRole.log.rawValue],
        cause: cause)
      fail(number, failure)
    }
  }

  /// Characters of a failure's last words that travel; the whole is in the log.
  static let messageLimit = 2_000

  /// Reports the failure. A full disk is not the job's fault: the job is handed back, after a pause in which the host
  /// may get room, lest it come back at once.
  private mutating func fail(_ number: AttemptNumber, _ failure: StageFailure) {
    guard failure.cause == .diskFull, !isLeaving else {
      return announce(.attemptFailed(attempt: number, failure: failure), number)
    }
    attempts[number]!.phase = .resting
    deadlines.set(.rest(number), now.advanced(byMilliseconds: policy.fullDiskMilliseconds))
  }

  private mutating func announce(_ message: WorkerMessage, _ number: AttemptNumber) {
    attempts[number]!.phase = .owed(message)
    say(message)
  }

  /// After a welcome: all of it again, in the order in which it happened.
  mutating func sayOwed(_ number: AttemptNumber) {
    guard let attempt = attempts[number], !attempt.isForgotten else { return }
    for metrics in attempt.metrics { say(.epochMetrics(attempt: number, metrics: metrics)) }
    sayCheckpoint(of: number)
    if case .owed(let message) = attempt.phase { say(message) }
  }

  /// The coordinator's store does not have what it was told of.
  mutating func artifactsMissing(_ number: AttemptNumber, _ digests: [Digest]) {
    switch attempts[number]?.phase {
    case .owed(.attemptFinished(_, let result)):
      let lost = result.artifacts.values.filter { digests.contains($0.digest) }
      var settling = HeldAttempt.Settling(
        end: .finished(StageOutput(metrics: result.metrics, kinds: result.kinds, files: [:])), unkept: [:],
        artifacts: result.artifacts)
      settling.unstored = Set(lost.map(\.digest))
      attempts[number]!.phase = .settling(settling)
      for artifact in lost.sorted(by: { $0.digest < $1.digest }) { beginUpload(artifact) }
      reportIfSettled(number)
    default: checkpointMissing(number, digests)
    }
  }

  // MARK: - Giving up

  /// Cancelled, superseded, or acknowledged: nothing is owed any more.
  mutating func drop(_ number: AttemptNumber) {
    guard let attempt = attempts[number] else { return }  // Said twice.
    switch attempt.phase {
    case .running:
      attempts[number]!.phase = .dying(isHandedBack: false)
      emit(.killStage(number))
    case .dying: attempts[number]!.phase = .dying(isHandedBack: false)
    case .fetching, .queued, .settling, .resting, .owed, .returning: forget(number)
    }
  }

  mutating func handBack(_ number: AttemptNumber) {
    switch attempts[number]!.phase {
    case .fetching, .queued, .resting: announce(.attemptReturned(attempt: number), number)
    case .running:
      attempts[number]!.phase = .dying(isHandedBack: true)
      emit(.killStage(number))
    // A finished attempt is delivered, and a cancelled one need not be handed back.
    case .settling, .owed, .dying, .returning: break
    }
  }

  mutating func returnIfDelivered(_ number: AttemptNumber) {
    guard let attempt = attempts[number], case .returning = attempt.phase, attempt.delivery == nil else { return }
    announce(.attemptReturned(attempt: number), number)
  }

  private mutating func forget(_ number: AttemptNumber) {
    attempts[number] = nil
    deadlines.remove(.rest(number))
    emit(.discard(number))
  }
}
