/// Why a frame was not understood.
public enum WireError: Error, Equatable, CustomStringConvertible {
  case empty
  case unknownFormat(UInt8)
  case unknownKind(UInt8)
  /// The payload is not what the kind says.
  case malformed(kind: String, reason: String)
  /// A message of that kind has no business here.
  case unexpected(kind: String)

  public var description: String {
    switch self {
    case .empty: "an empty frame"
    case .unknownFormat(let format):
      "a frame in format \(format), which this build does not speak: update the older of the two programs"
    case .unknownKind(let kind): "a frame of the unknown kind \(kind): update the older of the two programs"
    case .malformed(let kind, let reason): "a malformed \(kind): \(reason)"
    case .unexpected(let kind): "a \(kind) where none belongs"
    }
  }
}
