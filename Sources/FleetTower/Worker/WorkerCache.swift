import Artifacts
import Bytes
import Foundation
import Sweep
import Transfer

/// Artifacts and unpacked data sets on the worker's disk, within a bound. Blocks, so it has a thread of its own.
actor WorkerCache {
  private nonisolated let thread = BlockingExecutor("cache")
  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.executor }

  nonisolated let artifacts: ArtifactFolder
  private let unpacked: String
  private let byteCountLimit: Int
  /// Read through since this process began. What an earlier one left may be torn.
  private var verified: Set<Digest> = []

  init(artifacts: String, unpacked: String, byteCountLimit: Int) throws {
    self.artifacts = try ArtifactFolder(artifacts, isDurable: false)
    self.unpacked = unpacked
    self.byteCountLimit = byteCountLimit
  }

  /// Whether the artifact is here, whole and undamaged.
  func holds(_ reference: ArtifactReference) -> Bool {
    let digest = reference.digest
    guard artifacts.byteCount(of: digest) == reference.byteCount else { return false }
    if !verified.contains(digest) {
      guard (try? artifacts.verify(digest)) != nil else { return false }
      verified.insert(digest)
    }
    artifacts.touch(digest)
    return true
  }

  /// Makes a stage's file an artifact.
  func keep(_ file: String) throws -> ArtifactReference {
    let (digest, byteCount) = try artifacts.adopt(file)
    verified.insert(digest)
    return ArtifactReference(digest: digest, byteCount: byteCount)
  }

  func removeFolder(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

  /// Makes room: data sets unpacked longest ago go first (they can be unpacked again), then artifacts.
  func trim(keeping kept: Set<Digest>) throws {
    let manager = FileManager.default
    var folders: [(path: String, byteCount: Int, lastUse: Date)] = []
    for name in try manager.contentsOfDirectory(atPath: unpacked).sorted() {
      if let digest = Digest(name), kept.contains(digest) { continue }
      let path = "\(unpacked)/\(name)"
      let date = try manager.attributesOfItem(atPath: path)[.modificationDate] as? Date
      folders.append((path, byteCount(ofFolder: path), date ?? .distantPast))
    }
    let artifactByteCount = try artifacts.entries().reduce(0) { $0 + $1.byteCount }
    var total = folders.reduce(artifactByteCount) { $0 + $1.byteCount }
    for folder in folders.sorted(by: { $0.lastUse < $1.lastUse }) where total > byteCountLimit {
      try manager.removeItem(atPath: folder.path)
      total -= folder.byteCount
    }
    let unpackedByteCount = total - artifactByteCount
    try artifacts.trim(toByteCount: max(0, byteCountLimit - unpackedByteCount), keeping: kept)
  }

  private func byteCount(ofFolder path: String) -> Int {
    let files = FileManager.default.enumerator(atPath: path)
    var total = 0
    while files?.nextObject() != nil { total += (files?.fileAttributes?[.size] as? Int) ?? 0 }
    return total
  }
}
