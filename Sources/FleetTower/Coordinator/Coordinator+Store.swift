import Bytes
import Fleet
import Sweep
import Synchronization
import Transfer
import Transport
import Wording

/// The store's upkeep: what a coordinator does by itself, and what operators ask for. Disks are read on the keeper's
/// thread; the brain decides what is referenced and what counts as lost.
extension Coordinator {
  static let cleaningSeconds = 3600
  static let supersededSeconds = 60

  /// After a start: artifacts that vanished are noticed before anybody needs them.
  func tendStore() {
    let spokenOf = brain.referencedArtifacts()
    Task {
      let missing = await keeper.missing(of: spokenOf)
      if !missing.isEmpty { lose(missing, "they are not there") }
      await cleanByItself()
    }
    watchStore(minutes: 1)
  }

  private func watchStore(minutes: Int) {
    storeTimer = Transport.Timer(on: loop, after: .seconds(Self.supersededSeconds)) { [self] in
      removeSuperseded()
      if minutes * Self.supersededSeconds % Self.cleaningSeconds == 0 { Task { await cleanByItself() } }
      watchStore(minutes: minutes + 1)
    }
  }

  func lose(_ digests: [Digest], _ reason: String) {
    for digest in digests.prefix(20) {
      options.log("\(brain.description(of: digest) ?? "an artifact") (\(digest)) is lost: \(reason)")
    }
    if digests.count > 20 { options.log("\(digests.count) artifacts are lost: \(reason)") }
    handle(.artifactsLost(digests))
  }

  // MARK: - Cleaning

  private func cleanByItself() async {
    do { log(try await clean(isDryRun: false)) } catch { options.log("cannot clean the store: \(error.words)") }
  }

  /// Removes artifacts that nothing references. A record that is not on the disk yet does not count: what it supersedes
  /// would be needed again after a crash.
  private func clean(isDryRun: Bool) async throws -> CleaningReport {
    keeper.beginCleaning()
    let spokenOf = brain.referencedArtifacts()
    try await untilDurable()
    return try await keeper.clean(keeping: spokenOf, isDryRun: isDryRun)
  }

  private func removeSuperseded() {
    keeper.beginCleaning()
    let superseded = brain.takeSuperseded()
    guard !superseded.isEmpty else { return }
    Task {
      do {
        try await untilDurable()
        log(try await keeper.remove(superseded: superseded))
      } catch {
        options.log("cannot remove superseded checkpoints: \(error.words)")
      }
    }
  }

  private func log(_ report: CleaningReport) {
    guard report.artifactsRemoved > 0 else { return }
    options.log(
      "\(counted(report.artifactsRemoved, "artifact")) of no more use removed, \(report.bytesFreed) bytes freed")
  }

  // MARK: - Operators

  func answer(_ request: StoreRequest, on id: ConnectionID) {
    switch request {
    case .verify:
      if !verification.isRunning { beginVerification() }
      respond(.verification(verification), to: id)
    case .verification:
      updateFindings()
      respond(.verification(verification), to: id)
    case .clean(let isDryRun):
      Task {
        do { respond(.cleaning(try await clean(isDryRun: isDryRun)), to: id) } catch {
          respond(.refused(reason: "cannot clean the store: \(error.words)"), to: id)
        }
      }
    }
  }

  private func beginVerification() {
    verification = VerificationReport()
    verification.isRunning = true
    let spokenOf = brain.referencedArtifacts()
    Task {
      do {
        let missing = await keeper.missing(of: spokenOf)
        found(missing, isDamaged: false)
        let damaged = try await keeper.verify { [self] checked, total, byteCount in
          loop.post { self.assumeIsolated { $0.count(checked, total, byteCount) } }
          return !isStopping.load(ordering: .relaxed)
        }
        found(damaged, isDamaged: true)
      } catch { verification.failure = "\(error.words)" }
      verification.isRunning = false
    }
  }

  private func count(_ checked: Int, _ total: Int, _ byteCount: Int) {
    verification.artifactsChecked = checked
    verification.artifacts = total
    verification.bytesChecked += byteCount
  }

  private func found(_ digests: [Digest], isDamaged: Bool) {
    guard !digests.isEmpty else { return }
    verification.add(digests, isDamaged: isDamaged, brain)
    lose(digests, isDamaged ? "damaged" : "they are not there")
    updateFindings()
  }

  private func updateFindings() {
    for index in verification.findings.indices where verification.findings[index].state != .unneeded {
      let digest = verification.findings[index].artifact
      let isThere = keeper.holds(digest)
      verification.findings[index].state = isThere ? .repaired : brain.isBeingRepaired(digest) ? .asked : .lost
    }
  }
}
