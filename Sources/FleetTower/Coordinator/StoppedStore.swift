import Artifacts
import Bytes
import Fleet
import Store
import Sweep
import Synchronization

/// The store of a coordinator that does not run: the same upkeep, for the folder alone. What is found lost here, the
/// coordinator asks its workers for when it starts.
public struct StoppedStore: Sendable {
  private let folder: DataFolder
  private let keeper: StoreKeeper
  private let brain: CoordinatorBrain
  private let records: Int

  /// - Throws: also if a coordinator runs on the folder.
  public init(_ path: String) throws {
    let folder = try DataFolder(path)
    var brain = CoordinatorBrain()
    records = try Journal(folder.journalPath, replay: { brain.replay($0) }, report: { _ in }).openedSequence
    self.folder = folder
    self.brain = brain
    keeper = StoreKeeper(folder.artifacts)
  }

  /// - Parameter report: hears of each artifact that was read.
  public func verify(_ report: @escaping @Sendable (_ checked: Int, _ total: Int) -> Void) async throws
    -> VerificationReport
  {
    var verification = VerificationReport()
    let missing = await keeper.missing(of: brain.referencedArtifacts())
    let tally = Tally()
    let damaged = try await keeper.verify { checked, total, byteCount in
      tally.count(byteCount)
      report(checked, total)
      return true
    }
    (verification.artifactsChecked, verification.bytesChecked) = tally.totals
    verification.artifacts = verification.artifactsChecked
    verification.add(missing, isDamaged: false, brain)
    verification.add(damaged, isDamaged: true, brain)
    return verification
  }

  /// Checks that what the journal's records come to agrees with itself.
  public func check() -> JournalReport {
    var brain = brain
    brain.start(at: Instant(milliseconds: 0))
    let figures = brain.figures
    return JournalReport(
      records: records, sweeps: figures.sweeps.values.reduce(0, +), jobs: figures.jobs.total,
      violations: brain.validate())
  }

  public func clean(isDryRun: Bool) async throws -> CleaningReport {
    try await keeper.clean(keeping: brain.referencedArtifacts(), isDryRun: isDryRun)
  }
}

extension VerificationReport {
  mutating func add(_ digests: [Digest], isDamaged: Bool, _ brain: CoordinatorBrain) {
    for digest in digests {
      let what = brain.description(of: digest)
      findings.append(
        Finding(
          artifact: digest, what: what ?? "nothing references it", isDamaged: isDamaged,
          state: what == nil ? .unneeded : .lost))
    }
  }
}

/// The findings of checking a journal. (A record that is not what was written ends the reading before.)
public struct JournalReport: Codable, Sendable {
  public let records: Int
  public let sweeps: Int
  public let jobs: Int
  /// The contradictions, in words, in the coordinator that the records lead to.
  public let violations: [String]
}

private final class Tally: Sendable {
  private let counts = Mutex((artifacts: 0, bytes: 0))
  func count(_ byteCount: Int) {
    counts.withLock {
      $0.artifacts += 1
      $0.bytes += byteCount
    }
  }
  var totals: (artifacts: Int, bytes: Int) { counts.withLock { $0 } }
}
