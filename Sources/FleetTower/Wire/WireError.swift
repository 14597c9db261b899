/// Why a frame was not understood.
public enum WireError: Error, Equatable, CustomStringConvertible {
  case empty
  case unknownFormat(UInt8)
  case unknownKind(UInt8)
  /// The payload is not what the kind says.
  case malformed(kind: String, reason: String)
  /// A message of that kind has no business here.
  case unexpected(kind: String)

  /// What a log may repeat of words that a peer or a damaged file has chosen: few, and no control characters.
  public static func shortened(_ text: String) -> String {
    let scalars = text.unicodeScalars.prefix(500).map { scalar in
      scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
        ? "\u{fffd}" : scalar
    }
    return String(String.UnicodeScalarView(scalars)) + (text.unicodeScalars.count > 500 ? "…" : "")
  }

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
