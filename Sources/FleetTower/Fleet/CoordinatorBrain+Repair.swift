import Sweep

/// An artifact that the store does not have any more, and who is asked to bring it back.
struct Repair: Sendable {
  let artifact: ArtifactReference
  /// Who made it, and so most probably still has it.
  let makers: [WorkerID]
  let begunAt: Instant
  var asked: WorkerID?
  /// Who need not be asked again.
  var refused: Set<WorkerID> = []
}

/// What follows when bytes rot or vanish. Meanwhile nothing starts that needs them.
///
/// First the workers are asked, one after the other, whether they still have the bytes: who made them, then everybody
/// who is there or comes within a grace. Where nobody has them, that is a fact of the journal (`forget`): jobs whose
/// models are needed run again, which gives the same bytes; stages without a checkpoint begin anew; and what came with
/// a submission must be submitted again, or be brought by a worker that joins later.
extension CoordinatorBrain {
  mutating func artifactsLost(_ digests: [ArtifactDigest]) {
    let found = references(to: Set(digests.filter { repairs[$0] == nil }))
    for (digest, (artifact, makers)) in found.sorted(by: { $0.key < $1.key }) {
      repairs[digest] = Repair(artifact: artifact, makers: makers, begunAt: now)
      repairQueue.set(digest, 0)
    }
    if !found.isEmpty { refreshQueue() }
  }

  /// The store has it, whoever brought it.
  mutating func artifactStored(_ digest: ArtifactDigest) {
    guard isUnavailable(digest) else { return }
    endRepair(digest)
    if lostArtifacts.contains(digest) { decide(.artifactRestored(artifact: digest)) }
    refreshQueue()
  }

  func isUnavailable(_ digest: ArtifactDigest) -> Bool {
    repairs[digest] != nil || lostArtifacts.contains(digest)
  }

  /// What keeps the job from being started, with its role.
  func unavailableInput(of job: Int) -> (role: InputRole, digest: ArtifactDigest)? {
    if repairs.isEmpty && lostArtifacts.isEmpty { return nil }
    let missing = inputs(of: job).filter { isUnavailable($0.value.digest) }
    return missing.min { $0.key < $1.key }.map { ($0.key, $0.value.digest) }
  }

  /// Whether the attempt may have failed only because the store lacked what it was promised.
  func wasLetDown(_ number: AttemptNumber) -> Bool { attempts[number]!.inputs.contains(where: isUnavailable) }

  /// Brings the queue in line with what can be had.
  mutating func refreshQueue() {
    for job in jobs.indices where couldStart(job) {
      if unavailableInput(of: job) == nil { enqueue(job) } else { dequeue(job) }
    }
  }
}

// MARK: - Asking workers

extension CoordinatorBrain {
  /// Asks for what waits to be asked for, a few artifacts at a time.
  mutating func askForRepairs() {
    var unobtainable: [ArtifactDigest] = []
    while repairsAsked < policy.repairLimit, let digest = repairQueue.first?.key {
      repairQueue.remove(digest)
      guard let repair = repairs[digest] else { continue }
      let end = repair.begunAt.advanced(byMilliseconds: policy.repairGraceMilliseconds)
      if let worker = candidate(for: repair) {
        ask(worker, for: digest)
      } else if now < end {
        deadlines.set(.repair(digest), end)
      } else if !lostArtifacts.contains(digest) {
        unobtainable.append(digest)
      }
    }
    if !unobtainable.isEmpty { giveUp(unobtainable) }
  }

  private func candidate(for repair: Repair) -> WorkerID? {
    func canHelp(_ id: WorkerID) -> Bool {
      guard let worker = workers[id], worker.connection != nil, !repair.refused.contains(id) else { return false }
      return worker.protocolVersion >= FleetProtocol.bringBackVersion
    }
    return repair.makers.first(where: canHelp) ?? workers.keys.filter(canHelp).min()
  }

  private mutating func ask(_ worker: WorkerID, for digest: ArtifactDigest) {
    repairs[digest]!.asked = worker
    repairsAsked += 1
    deadlines.set(.repair(digest), now.advanced(byMilliseconds: policy.repairPatienceMilliseconds))
    tell(worker, .bringBack(artifact: repairs[digest]!.artifact))
  }

  /// The worker does not have it, or does not get it across.
  mutating func cannotBringBack(_ digest: ArtifactDigest, _ worker: WorkerID) {
    guard repairs[digest] != nil else { return }
    repairs[digest]!.refused.insert(worker)
    if repairs[digest]!.asked == worker { askAnother(for: digest) }
  }

  /// What was asked has taken too long, or the time in which somebody might still come has passed.
  mutating func repairIsDue(_ digest: ArtifactDigest) {
    if let worker = repairs[digest]?.asked { repairs[digest]!.refused.insert(worker) }
    askAnother(for: digest)
  }

  /// Somebody else must be asked for what the worker was to bring.
  mutating func repairsEnd(by worker: WorkerID) {
    for (digest, repair) in repairs.sorted(by: { $0.key < $1.key }) where repair.asked == worker {
      askAnother(for: digest)
    }
  }

  /// A worker that was not here before may have what nobody else had.
  mutating func askNewcomer(_ worker: WorkerID) {
    for (digest, repair) in repairs.sorted(by: { $0.key < $1.key }) {
      repairs[digest]!.refused.remove(worker)
      if repair.asked == nil { repairQueue.set(digest, 0) }
    }
  }

  private mutating func askAnother(for digest: ArtifactDigest) {
    guard let repair = repairs[digest] else { return }
    if repair.asked != nil { repairsAsked -= 1 }
    repairs[digest]!.asked = nil
    deadlines.remove(.repair(digest))
    repairQueue.set(digest, 0)
  }

  private mutating func endRepair(_ digest: ArtifactDigest) {
    if repairs.removeValue(forKey: digest)?.asked != nil { repairsAsked -= 1 }
    deadlines.remove(.repair(digest))
    repairQueue.remove(digest)
  }

  /// Nobody has them. Attempts that still wait for one of them would wait in vain.
  private mutating func giveUp(_ digests: [ArtifactDigest]) {
    let needed = references(to: Set(digests)).keys.sorted()
    let submitted = submittedArtifacts
    for digest in digests where !submitted.contains(digest) || !needed.contains(digest) { endRepair(digest) }
    guard !needed.isEmpty else { return }
    decide(.artifactsLost(artifacts: needed))
    for number in attempts.keys.sorted() where attempts[number]!.isFetching && wasLetDown(number) { takeBack(number) }
  }

  /// After a restart, what must be submitted again may still be brought by a worker that joins.
  mutating func resumeRepairs() {
    let submitted = submittedArtifacts
    for (digest, (artifact, makers)) in references(to: lostArtifacts) where submitted.contains(digest) {
      repairs[digest] = Repair(artifact: artifact, makers: makers, begunAt: now)
    }
  }
}

// MARK: - Who speaks of what

extension CoordinatorBrain {
  /// Everything the journal speaks of, with who made it where that is known; some of it several times.
  func forEachReference(_ body: (ArtifactReference, _ maker: WorkerID?) -> Void) {
    for sweep in sweeps { for artifact in sweep.tree.submission.artifacts { body(artifact, nil) } }
    for job in jobs {
      let last = job.history.last.map { WorkerID($0.worker) }
      if let checkpoint = job.checkpoint { body(checkpoint.artifact, last) }
      if let success = job.success {
        for artifact in success.result.artifacts.values { body(artifact, success.worker) }
      }
      for entry in job.history { if let log = entry.log { body(log, WorkerID(entry.worker)) } }
    }
  }

  private func references(
    to digests: Set<ArtifactDigest>
  ) -> [ArtifactDigest: (artifact: ArtifactReference, makers: [WorkerID])] {
    var found: [ArtifactDigest: (artifact: ArtifactReference, makers: [WorkerID])] = [:]
    if digests.isEmpty { return found }
    forEachReference { artifact, maker in
      guard digests.contains(artifact.digest) else { return }
      var makers = found[artifact.digest]?.makers ?? []
      if let maker, !makers.contains(maker) { makers.append(maker) }
      found[artifact.digest] = (artifact, makers)
    }
    return found
  }

  private var submittedArtifacts: Set<ArtifactDigest> {
    sweeps.reduce(into: []) { $0.formUnion($1.tree.submission.artifacts.map(\.digest)) }
  }
}

// MARK: - What the records change

extension CoordinatorBrain {
  /// Nobody has these bytes any more.
  mutating func forget(_ digests: [ArtifactDigest]) {
    lostArtifacts.formUnion(digests)
    for job in jobs.indices { forgetLost(of: job) }
    let outcomes = outcomes
    for job in jobs.indices where hasLostModel(job) && isModelNeeded(job, outcomes) { reopen(job) }
    // The rest need not be remembered: nothing speaks of it any more.
    var spokenOf = submittedArtifacts
    for job in jobs { if let model = job.success?.result.artifact(.model) { spokenOf.insert(model.digest) } }
    for attempt in attempts.values { spokenOf.formUnion(attempt.inputs) }
    lostArtifacts.formIntersection(spokenOf)
    refreshQueue()
  }

  /// A stage goes on without its checkpoint, from the beginning; a result without its log or report is still one.
  private mutating func forgetLost(of job: Int) {
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

  /// Jobs of a sweep whose models were lost while nobody needed them.
  mutating func reopenNeeded(of sweep: Int) {
    guard !lostArtifacts.isEmpty else { return }
    let outcomes = outcomes
    for job in sweeps[sweep].jobs where hasLostModel(job) && isModelNeeded(job, outcomes) { reopen(job) }
  }

  func hasLostModel(_ job: Int) -> Bool {
    guard !lostArtifacts.isEmpty, let model = jobs[job].success?.result.artifact(.model) else { return false }
    return lostArtifacts.contains(model.digest)
  }

  /// The jobs whose models are what some trial comes to.
  private var outcomes: Set<Int> {
    var outcomes: Set<Int> = []
    for sweep in sweeps where !sweep.isCancelled {
      for trial in sweep.tree.trials.indices { outcomes.insert(sweep.jobs[sweep.tree.modelNode(ofTrial: trial)]) }
    }
    return outcomes
  }

  private func isModelNeeded(_ job: Int, _ outcomes: Set<Int>) -> Bool {
    guard !jobs[job].sweeps.isEmpty else { return false }
    return outcomes.contains(job)
      || jobs[job].children.contains { child in
        switch jobs[child].state {
        case .waiting, .ready, .leased: !jobs[child].sweeps.isEmpty
        case .succeeded, .failed, .blocked, .cancelled: false
        }
      }
  }
}
