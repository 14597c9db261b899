/// A value without a type of its own: what job configurations and reports are made of, and what JSON can say.
public enum PlainValue: Hashable, Sendable {
  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case array([PlainValue])
  case object([String: PlainValue])
}

extension PlainValue {
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  public var int: Int? { if case .int(let value) = self { value } else { nil } }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// Also of an integer: JSON writes `0.0` and `0` alike.
  public var double: Double? {
    switch self {
    case .double(let value): value
    case .int(let value): Double(value)
    default: nil
    }
  }

  /// JSON with sorted keys and no spaces: equal values give equal text. What JSON cannot say (NaN, infinity) is null.
  public var canonicalJSON: String {
    do {
      return String(decoding: try JSON.encode(self, JSONOutput.Style(numbers: .canonical)), as: UTF8.self)
    } catch { preconditionFailure("a plain value without JSON: \(error)") }
  }
}

extension PlainValue: Codable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Int.self) {
      self = .int(value)
    } else if let value = try? container.decode(Double.self) {
      self = .double(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([PlainValue].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: PlainValue].self))
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .int(let value): try container.encode(value)
    case .double(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .array(let value): try container.encode(value)
    case .object(let value): try container.encode(value)
    }
  }
}
