import Glibc
import Wording

/// Why a stage failed, as far as it decides what is done next.
public enum FailureCause: String, Hashable, Sendable, Codable {
  /// The request cannot be carried out on any host, so that the job is not tried again.
  case refused
  /// The host's disk is full. The job is handed back after a pause, and the failure does not count against it.
  case diskFull = "disk_full"
  /// The host ran out of memory.
  case outOfMemory = "out_of_memory"
  case other

  /// Returns the cause of an error that a stage or a worker has met.
  public init(of error: any Error) {
    switch errorNumber(of: error) {
    case ENOSPC, EDQUOT: self = .diskFull
    case ENOMEM: self = .outOfMemory
    default: self = error is StageRefusal ? .refused : .other
    }
  }

  /// Reads a word that only newer programs know as `other`.
  public init(from decoder: any Decoder) throws {
    self = FailureCause(rawValue: try decoder.singleValueContainer().decode(String.self)) ?? .other
  }
}
