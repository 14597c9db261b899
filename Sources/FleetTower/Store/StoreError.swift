internal import CSQLite

/// A fault of the coordinator's data folder; each message says what to do.
public enum StoreError: Error, CustomStringConvertible {
  case inUse(folder: String)
  /// SQLite refused; `code` is its extended result code.
  case database(path: String, call: String, code: Int32, message: String)
  /// A record's bytes are not those that were written.
  case damaged(path: String, sequence: Int, reason: String)
  /// Written by a newer build.
  case tooNew(path: String, version: Int)

  public var description: String {
    switch self {
    case .inUse(let folder):
      "another coordinator runs on \(folder): stop it first, or give this one a --data folder of its own"
    case .database(let path, let call, _, let message): "\(path): \(call): \(message)"
    case .damaged(let path, let sequence, let reason):
      "\(path) is damaged at record \(sequence) (\(reason)): restore the folder from a copy"
    case .tooNew(let path, let version):
      "\(path) was written by a newer Greensweep (format \(version)): update this one"
    }
  }

  /// Full disks and failing writes pass; a database that is no longer one does not.
  public var isTransient: Bool {
    guard case .database(_, _, let code, _) = self else { return false }
    return [SQLITE_FULL, SQLITE_IOERR, SQLITE_BUSY, SQLITE_LOCKED, SQLITE_CANTOPEN].contains(code & 0xff)
  }
}
