import Bytes
import Sweep

/// The repair of bytes that rot or vanish. Nothing that needs them starts meanwhile.
///
/// First the workers are asked whether they still have the bytes (`RepairDesk`). That nobody has them is a fact of the
/// journal (`Record.artifactsLost`): jobs whose models are needed run again, which gives the same bytes; stages without
/// a checkpoint begin anew; and what came with a submission must be submitted again, or be brought by a worker that
/// joins later.
extension CoordinatorBrain {
  mutating func artifactsLost(_ digests: [Digest]) {
    let found = ledger.references(to: Set(digests.filter { !repairs.contains($0) }))
    for (_, (artifact, makers)) in found.sorted(by: { $0.key < $1.key }) {
      repairs.begin(artifact, makers: makers, isUrgent: true, at: now)
    }
    if !found.isEmpty { refreshQueue() }
  }

  /// The store has it, whoever brought it.
  mutating func artifactStored(_ digest: Digest) {
    guard isUnavailable(digest) else { return }
    repairs.end(digest)
    if ledger.lostArtifacts.contains(digest) { decide(.artifactRestored(artifact: digest)) } else { refreshQueue() }
  }

  func isUnavailable(_ digest: Digest) -> Bool {
    repairs.contains(digest) || ledger.lostArtifacts.contains(digest)
  }

  /// The input that keeps the job from being started, with its role.
  func unavailableInput(of job: JobIndex) -> (role: InputRole, digest: Digest)? {
    if repairs.repairs.isEmpty && ledger.lostArtifacts.isEmpty { return nil }
    let missing = ledger.inputs(of: job).filter { isUnavailable($0.value.digest) }
    return missing.min { $0.key < $1.key }.map { ($0.key, $0.value.digest) }
  }

  /// Whether the attempt may have failed only because the store lacked what it was promised.
  func wasLetDown(_ number: AttemptNumber) -> Bool {
    ledger.attempts[number]!.inputs.values.contains { isUnavailable($0.digest) }
  }

  mutating func askForRepairs() {
    var unobtainable: [Digest] = []
    while let step = repairs.next(roster, at: now) {
      switch step {
      case .ask(let worker, let artifact): tell(worker, .bringBack(artifact: artifact))
      case .giveUp(let digest): if !ledger.lostArtifacts.contains(digest) { unobtainable.append(digest) }
      }
    }
    if !unobtainable.isEmpty { giveUp(unobtainable) }
  }

  /// Nobody has them. Attempts that still wait for one of them would wait in vain.
  private mutating func giveUp(_ digests: [Digest]) {
    let needed = ledger.references(to: Set(digests)).keys.sorted()
    let submitted = ledger.submittedArtifacts
    for digest in digests where !submitted.contains(digest) || !needed.contains(digest) { repairs.end(digest) }
    guard !needed.isEmpty else { return }
    decide(.artifactsLost(artifacts: needed))
    for (number, holding) in roster.holdings.sorted(by: { $0.key < $1.key })
    where holding.isFetching && wasLetDown(number) {
      takeBack(number)
    }
  }

  /// After a restart, what must be submitted again may still be brought by a worker that joins.
  mutating func resumeRepairs() {
    let submitted = ledger.submittedArtifacts
    for (digest, (artifact, makers)) in ledger.references(to: ledger.lostArtifacts) where submitted.contains(digest) {
      repairs.begin(artifact, makers: makers, isUrgent: false, at: now)
    }
  }
}
