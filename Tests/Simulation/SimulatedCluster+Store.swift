import Bytes
import Fleet
import Randomness
import Sweep

/// The coordinator's store, in which bytes rot and vanish.
extension SimulatedCluster {
  /// Durably there, whoever brought it.
  mutating func store(_ digest: Digest) throws(BrokenPromise) {
    coordinator.store.insert(digest)
    coordinator.rotten.remove(digest)
    try inform(.artifactStored(digest))
  }

  /// - Returns: false if the artifact is not there, or was damaged, which is noticed on reading and told.
  mutating func serve(_ digest: Digest) throws(BrokenPromise) -> Bool {
    if coordinator.store.contains(digest) {
      guard coordinator.rotten.contains(digest), fault != .serveRottenBytes else { return true }
    }
    try lose([digest])
    return false
  }

  /// Nobody notices until somebody needs it.
  mutating func rot(_ fate: inout SplitMix64) {
    let whole = coordinator.store.subtracting(coordinator.rotten).sorted()
    guard !whole.isEmpty else { return }
    let digest = whole[fate.below(whole.count)]
    if fate.once(in: 2) {
      tellFate("\(describe(digest)) rots")
      coordinator.rotten.insert(digest)
    } else {
      tellFate("\(describe(digest)) vanishes from the store")
      coordinator.store.remove(digest)
    }
  }

  /// An operator has everything read and compared with the artifacts that the journal references.
  mutating func verifyStore() throws(BrokenPromise) {
    guard let brain = coordinator.brain else { return }
    let lost = brain.referencedArtifacts().subtracting(coordinator.store).union(coordinator.rotten)
    tellFate("the store is verified: \(lost.count) artifacts are lost")
    try lose(lost.sorted())
  }

  private mutating func lose(_ digests: [Digest]) throws(BrokenPromise) {
    coordinator.store.subtract(digests)
    coordinator.rotten.subtract(digests)
    guard fault != .ignoreLoss, !digests.isEmpty else { return }
    try observe(.lost(digests, unwritten: coordinator.journal.unwrittenAttempts))
    try inform(.artifactsLost(digests))
  }

  /// Whether all models are there that people may ask for.
  var isStoreWhole: Bool {
    trees.allSatisfy { tree in
      tree.trialIDs.allSatisfy { trial in
        var brain = coordinator.brain
        let request = OperatorRequest.pull(trial: "\(tree.sweep)/\(trial)")
        for case .respond(let response, _) in brain?.handle(
          .requested(request, from: ConnectionID(0)), at: Instant(milliseconds: 0)) ?? []
        {
          if case .artifacts(_, _, let artifacts) = response {
            return artifacts.values.allSatisfy {
              coordinator.store.contains($0.digest) && !coordinator.rotten.contains($0.digest)
            }
          }
        }
        return true
      }
    }
  }

  private func describe(_ digest: Digest) -> String {
    contents[digest].map { "\($0)" } ?? digest.description
  }
}
