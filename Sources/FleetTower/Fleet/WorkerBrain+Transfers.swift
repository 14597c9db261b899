import Bytes
import Sweep

/// Checkpoints on their way.
extension WorkerBrain {
  mutating func deliver(_ checkpoint: HeldAttempt.Delivery, of number: AttemptNumber) {
    guard attempts[number]!.delivery == nil else {
      attempts[number]!.nextCheckpoint = checkpoint
      return
    }
    attempts[number]!.delivery = checkpoint
    emit(.keepFile(number, file: checkpoint.file))
  }

  mutating func checkpointKept(_ number: AttemptNumber, _ file: String, _ artifact: ArtifactReference) {
    // The attempt may have been cancelled, or have finished, while its file was being hashed.
    guard let delivery = attempts[number]?.delivery, delivery.file == file, case .keeping = delivery.step else {
      return
    }
    attempts[number]!.delivery!.step = .uploading(artifact)
    beginUpload(artifact)
  }

  /// The stage has replaced or lost the file; the next checkpoint takes its place.
  mutating func checkpointNotKept(_ number: AttemptNumber, _ file: String) {
    guard let delivery = attempts[number]?.delivery, delivery.file == file, case .keeping = delivery.step else {
      return
    }
    deliverNext(of: number)
  }

  mutating func checkpointStored(_ digest: Digest) {
    for number in heldAttempts {
      guard let delivery = attempts[number]!.delivery, case .uploading(let artifact) = delivery.step,
        artifact.digest == digest
      else { continue }
      attempts[number]!.delivery!.step = .reported(artifact)
      sayCheckpoint(of: number)
    }
  }

  mutating func checkpointGone(_ digest: Digest) {
    for number in heldAttempts {
      guard case .uploading(let artifact) = attempts[number]!.delivery?.step, artifact.digest == digest else {
        continue
      }
      deliverNext(of: number)
    }
  }

  mutating func checkpointMissing(_ number: AttemptNumber, _ digests: [Digest]) {
    guard case .reported(let artifact) = attempts[number]?.delivery?.step, digests.contains(artifact.digest) else {
      return  // Acknowledged or given up in the meantime.
    }
    attempts[number]!.delivery!.step = .uploading(artifact)
    beginUpload(artifact)
  }

  mutating func checkpointAcknowledged(_ number: AttemptNumber, _ epoch: Int) {
    guard let delivery = attempts[number]?.delivery, delivery.epoch <= epoch, case .reported = delivery.step else {
      return
    }
    deliverNext(of: number)
  }

  mutating func sayCheckpoint(of number: AttemptNumber) {
    guard let delivery = attempts[number]?.delivery, case .reported(let artifact) = delivery.step else { return }
    let checkpoint = Checkpoint(epoch: delivery.epoch, artifact: artifact)
    say(.checkpointStored(attempt: number, checkpoint: checkpoint))
  }

  private mutating func deliverNext(of number: AttemptNumber) {
    attempts[number]!.delivery = nil
    if let next = attempts[number]!.nextCheckpoint {
      attempts[number]!.nextCheckpoint = nil
      deliver(next, of: number)
    }
    returnIfDelivered(number)
  }
}

/// An artifact being fetched or uploaded, for however many attempts.
struct Transfer: Sendable {
  let artifact: ArtifactReference
  var failures = 0
}

// MARK: - Transfers

extension WorkerBrain {
  mutating func beginFetch(_ artifact: ArtifactReference) {
    guard fetches[artifact.digest] == nil else { return }  // Under way, or waiting for its next try.
    fetches[artifact.digest] = Transfer(artifact: artifact)
    fetch(artifact.digest)
  }

  mutating func fetch(_ digest: Digest) {
    deadlines.remove(.fetch(digest))
    if let transfer = fetches[digest] { emit(.fetch(transfer.artifact)) }
  }

  mutating func fetched(_ digest: Digest) {
    fetches[digest] = nil
    inputArrived(digest)
  }

  /// Failures while the coordinator is away say nothing of the artifact and do not count.
  mutating func fetchFailed(_ digest: Digest, _ reason: String, _ cause: FailureCause) {
    guard fetches[digest] != nil else { return }
    if case .welcomed = link { fetches[digest]!.failures += 1 }
    let isWanted = attempts.values.contains { attempt in
      if case .fetching(let missing) = attempt.phase { missing.contains(digest) } else { false }
    }
    guard isWanted, fetches[digest]!.failures < policy.fetchLimit else {
      fetches[digest] = nil
      return inputUnavailable(digest, reason, cause)
    }
    deadlines.set(.fetch(digest), transferRetry(after: fetches[digest]!.failures))
  }

  mutating func beginUpload(_ artifact: ArtifactReference) {
    guard uploads[artifact.digest] == nil else { return }
    uploads[artifact.digest] = Transfer(artifact: artifact)
    upload(artifact.digest)
  }

  mutating func upload(_ digest: Digest) {
    deadlines.remove(.upload(digest))
    if let transfer = uploads[digest] { emit(.upload(transfer.artifact)) }
  }

  /// Not owed: if the connection breaks, the coordinator asks again, or somebody else.
  mutating func bringBack(_ artifact: ArtifactReference) {
    requested.insert(artifact.digest)
    beginUpload(artifact)
  }

  private mutating func cannotBringBack(_ digest: Digest) {
    if requested.remove(digest) != nil { say(.cannotBringBack(artifact: digest)) }
  }

  mutating func uploaded(_ digest: Digest) {
    let transfer = uploads.removeValue(forKey: digest)
    if let transfer, requested.remove(digest) != nil { say(.broughtBack(artifact: transfer.artifact)) }
    resultStored(digest)
    checkpointStored(digest)
  }

  /// A result is too precious to give up while the worker still has it: a full disk at the coordinator passes.
  mutating func uploadFailed(_ digest: Digest, _ reason: String, _ isGone: Bool) {
    guard uploads[digest] != nil else { return }
    guard !isGone else {
      uploads[digest] = nil
      cannotBringBack(digest)
      resultGone(digest, reason)
      return checkpointGone(digest)
    }
    if case .welcomed = link { uploads[digest]!.failures += 1 }
    if uploads[digest]!.failures >= policy.bringBackLimit { cannotBringBack(digest) }
    let isOwed = attempts.values.contains { attempt in
      if case .settling(let settling) = attempt.phase, settling.unstored.contains(digest) { return true }
      if case .uploading(let artifact) = attempt.delivery?.step { return artifact.digest == digest }
      return false
    }
    guard isOwed || requested.contains(digest) else {
      uploads[digest] = nil
      return
    }
    deadlines.set(.upload(digest), transferRetry(after: uploads[digest]!.failures))
  }

  /// While the coordinator is away there is nothing to hurry for: the next welcome tries everything again at once.
  private func transferRetry(after failures: Int) -> Instant {
    guard case .welcomed = link else { return now.advanced(byMilliseconds: policy.transferRetryLimitMilliseconds) }
    let pause = doubling(
      policy.transferRetryMilliseconds, max(failures - 1, 0), policy.transferRetryLimitMilliseconds)
    return now.advanced(byMilliseconds: pause)
  }
}
