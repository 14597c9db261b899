import Bytes
import Glibc
import Wording

/// A failure with files, hashes or compression. Every message names the file or the bytes concerned and says what to
/// do.
public enum ArtifactsError: SystemFailure, Equatable, CustomStringConvertible {
  /// A system call failed on `path` with `errno`.
  case system(call: String, path: String, errno: CInt)
  /// The bytes of `subject` do not have the hash by which they were asked for.
  case hashMismatch(subject: String, expected: Digest, found: Digest)
  /// Compressed bytes are damaged, are not zstd, or would grow beyond the stated limit.
  case compression(String)
  /// The OpenSSL or zstd library could not do what never fails on a healthy machine.
  case library(String)

  public var description: String {
    switch self {
    case .system(let call, let path, let code):
      "\(call) failed on \(path): \(systemReason(code))"
    case .hashMismatch(let subject, let expected, let found):
      "\(subject) is damaged: its SHA-256 is \(found), expected \(expected); fetch it again"
    case .compression(let reason): "cannot decompress: \(reason)"
    case .library(let call): "\(call) failed; the library is unusable or memory is exhausted"
    }
  }

  /// Whether bytes were lost: they are not those that were written, or the disk cannot read them.
  public var isDamage: Bool {
    switch self {
    case .hashMismatch: true
    case .system(let call, _, let code): call == "read" && code == EIO
    case .compression, .library: false
    }
  }

  public var errorNumber: Int32? { if case .system(_, _, let code) = self { code } else { nil } }

  static func lastSystemError(_ call: String, _ path: String) -> ArtifactsError {
    .system(call: call, path: path, errno: errno)
  }
}
