import Sweep

/// What the store may forget, and what to call what it holds.
extension CoordinatorBrain {
  /// What the journal still speaks of and what live attempts were promised; the store may forget everything else that
  /// is not fresh.
  public func referencedArtifacts() -> Set<ArtifactDigest> {
    var digests: Set<ArtifactDigest> = []
    forEachReference { artifact, _ in digests.insert(artifact.digest) }
    for attempt in attempts.values { digests.formUnion(attempt.inputs) }
    return digests
  }

  /// Checkpoints that later ones, or results, have superseded since this was last asked, and of which nothing speaks.
  /// They need not grow old before the store forgets them.
  public mutating func takeSuperseded() -> [ArtifactDigest] {
    guard !superseded.isEmpty else { return [] }
    var digests = superseded
    // What is still spoken of, such as the checkpoint a running attempt began with, is left to the next cleaning.
    superseded = []
    forEachReference { artifact, _ in digests.remove(artifact.digest) }
    for attempt in attempts.values { digests.subtract(attempt.inputs) }
    return digests.sorted()
  }

  /// For people; nil if nothing speaks of it.
  public func description(of digest: ArtifactDigest) -> String? {
    for sweep in sweeps {
      if sweep.tree.submission.dataset.digest == digest { return "data set of \(sweep.id)" }
      let file = sweep.tree.submission.files.first { $0.value.digest == digest }
      if let file { return "\(file.key) of \(sweep.id)" }
    }
    for job in jobs {
      let name = "\(job.stage.rawValue) \(job.key.short)"
      if job.checkpoint?.artifact.digest == digest { return "checkpoint of \(name)" }
      let result = job.success?.result.artifacts.first { $0.value.digest == digest }
      if let result { return "\(result.key) of \(name)" }
      if job.history.contains(where: { $0.log?.digest == digest }) { return "log of \(name)" }
    }
    return nil
  }

  /// Whether a worker may yet bring it.
  public func isBeingRepaired(_ digest: ArtifactDigest) -> Bool {
    repairs[digest] != nil && !lostArtifacts.contains(digest)
  }
}
