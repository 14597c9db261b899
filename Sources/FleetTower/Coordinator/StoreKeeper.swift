import Artifacts
import Bytes
import Fleet
import Glibc
import Sweep
import Synchronization
import Transfer

/// Reads the store through and removes artifacts that nothing references. It blocks, so it has a thread of its own, and
/// does one thing at a time.
actor StoreKeeper {
  private nonisolated let thread = BlockingExecutor("store")
  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.executor }

  private nonisolated let folder: ArtifactFolder
  /// Artifacts somebody has relied on since a cleaning began; nil while none is under way.
  private nonisolated let reliedOn = Mutex<Set<Digest>?>(nil)

  init(_ folder: ArtifactFolder) { self.folder = folder }

  /// Younger files may belong to a message still in flight.
  static let graceSeconds = 3600

  /// Whether the artifact is there, by its size. From now on the cleaning that is under way leaves it alone.
  nonisolated func holds(_ reference: ArtifactReference) -> Bool {
    let digest = reference.digest
    return reliedOn.withLock { reliedOn in
      reliedOn?.insert(digest)
      return folder.byteCount(of: digest) == reference.byteCount
    }
  }

  nonisolated func holds(_ digest: Digest) -> Bool { folder.byteCount(of: digest) != nil }

  /// Returns the digests of which there is no artifact, sorted.
  func missing(of digests: Set<Digest>) -> [Digest] {
    digests.filter { !holds($0) }.sorted()
  }

  // MARK: - Verifying

  /// Reads every artifact; damaged ones are set aside.
  /// - Parameter report: hears of each artifact; returns false to end early.
  /// - Returns: the damaged ones.
  func verify(
    _ report: @Sendable (_ checked: Int, _ total: Int, _ byteCount: Int) -> Bool
  ) throws -> [Digest] {
    let entries = try folder.entries()
    var damaged: [Digest] = []
    for (index, entry) in entries.enumerated() {
      do { try ArtifactReader(entry.digest, in: folder).finish() } catch let error as ArtifactsError {
        if error.isDamage {
          damaged.append(entry.digest)
        } else if folder.byteCount(of: entry.digest) != nil {
          throw error  // It was not just removed: something is wrong with the folder.
        }
      }
      guard report(index + 1, entries.count, entry.byteCount) else { break }
    }
    return damaged
  }

  // MARK: - Cleaning

  /// Called before the brain lists the referenced artifacts: `clean` spares those that anybody relies on from here on.
  nonisolated func beginCleaning() { reliedOn.withLock { if $0 == nil { $0 = [] } } }

  /// Removes all artifacts but those to be kept and those younger than an hour, and what was left of old transfers.
  func clean(keeping kept: Set<Digest>, isDryRun: Bool) throws -> CleaningReport {
    defer { reliedOn.withLock { $0 = nil } }
    let limit = Int(time(nil)) - Self.graceSeconds
    var report = CleaningReport()
    for entry in try folder.entries() {
      if !kept.contains(entry.digest), entry.lastUse < limit, try isDryRun || remove(entry.digest) {
        report.artifactsRemoved += 1
        report.bytesFreed += entry.byteCount
      } else {
        report.artifactsKept += 1
        report.bytesKept += entry.byteCount
      }
    }
    report.bytesFreed += try folder.removeLeftovers(before: limit, isDryRun: isDryRun)
    return report
  }

  /// Removes artifacts that are known to be no longer referenced, however young.
  func remove(superseded digests: [Digest]) throws -> CleaningReport {
    defer { reliedOn.withLock { $0 = nil } }
    var report = CleaningReport()
    for digest in digests {
      guard let byteCount = folder.byteCount(of: digest), try remove(digest) else { continue }
      report.artifactsRemoved += 1
      report.bytesFreed += byteCount
    }
    return report
  }

  /// - Returns: false if somebody has begun to rely on it.
  private func remove(_ digest: Digest) throws -> Bool {
    try reliedOn.withLock { reliedOn in
      guard reliedOn?.contains(digest) != true else { return false }
      try folder.remove(digest)
      return true
    }
  }
}
