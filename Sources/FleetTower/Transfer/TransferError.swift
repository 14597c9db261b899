import Sweep

/// Why an artifact did not get across.
public enum TransferError: Error, CustomStringConvertible {
  /// The other side said why.
  case refused(reason: String)
  /// The other side sent what the protocol does not allow.
  case protocolViolation(String)
  case unreachable(endpoint: String, reason: String)

  public var description: String {
    switch self {
    case .refused(let reason): reason
    case .protocolViolation(let what): "the other side sent \(what)"
    case .unreachable(let endpoint, let reason): "cannot reach the coordinator at \(endpoint): \(reason)"
    }
  }
}
