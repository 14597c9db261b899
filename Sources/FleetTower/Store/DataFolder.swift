import Artifacts

/// The coordinator's folder: one coordinator at a time, as long as this object lives; readable by its user only.
///
///     lock             held as long as the coordinator runs
///     journal.sqlite   what happened
///     artifacts/       checkpoints, models, data sets, logs
///     worker.token, operator.token, tokens/   who may connect (`TokenFolder`)
public final class DataFolder: Sendable {
  public let path: String
  public let artifacts: ArtifactFolder
  private let lock: FileDescriptor

  /// - Throws: `StoreError.inUse` when another coordinator runs on it.
  public init(_ path: String) throws {
    try Files.createFolder(path)
    self.path = path
    lock = try FileDescriptor(path + "/lock", .update)
    guard try lock.lockExclusively() else { throw StoreError.inUse(folder: path) }
    artifacts = try ArtifactFolder(path + "/artifacts")
  }

  public var journalPath: String { path + "/journal.sqlite" }
}
