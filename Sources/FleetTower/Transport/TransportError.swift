import Glibc
import Wording

/// A failure between processes; every message names the peer and says what to do.
public enum TransportError: SystemFailure, Equatable, CustomStringConvertible {
  /// A system or library call failed.
  case system(call: String, subject: String, errno: CInt)
  case library(call: String)
  /// `HOST:PORT` was expected.
  case invalidEndpoint(String)
  /// Plain HTTP is for this machine only.
  case notLoopback(String)
  case unresolvable(endpoint: String, reason: String)
  /// The text is not a token, or its file is missing or open to others.
  case invalidToken(reason: String)
  /// The connection ended; `reason` says how, for people.
  case closed(peer: String, reason: String)
  /// The program could not be started.
  case notStarted(program: String, errno: CInt)

  public var description: String {
    switch self {
    case .system(let call, let subject, let code): "\(call) failed on \(subject): \(systemReason(code))"
    case .library(let call): "\(call) failed; the library is unusable or memory is exhausted"
    case .invalidEndpoint(let text): "'\(text.shortened())' is not an address: write HOST:PORT, as in 10.0.0.5:7433"
    case .notLoopback(let endpoint):
      "\(endpoint) can be reached from other machines, and plain HTTP would show them the token: use 127.0.0.1:PORT, "
        + "and from elsewhere 'ssh -L PORT:127.0.0.1:PORT HOST' or a TLS proxy on this machine"
    case .unresolvable(let endpoint, let reason): "cannot resolve \(endpoint): \(reason)"
    case .invalidToken(let reason): reason
    case .closed(let peer, let reason): "connection with \(peer) closed: \(reason)"
    case .notStarted(let program, let code): "cannot start \(program): \(systemReason(code))"
    }
  }
}

extension TransportError {
  public var errorNumber: Int32? {
    switch self {
    case .system(_, _, let code), .notStarted(_, let code): code
    default: nil
    }
  }
}
