/// JSON from anybody: files, frames, journals.
///
/// A decoder of its own, because Foundation's can crash on a text that is cut off within nested lists, and because it
/// builds a tree of boxed values first, which took most of a coordinator's time.
public enum JSON {
  public enum Dialect: Sendable {
    /// Members as the types declare them.
    case plain
    /// Members `like_this` where the types declare `likeThis`.
    case snakeCase
    /// As the fleet writes it: plain, with words ("nan", "inf", "-inf") for figures that JSON has none for.
    case fleet
  }

  /// - Parameter valueLimit: the most values and names that are read. Each takes 16 bytes of memory.
  public static func decode<Value: Decodable>(
    _ type: Value.Type, from bytes: some Collection<UInt8>, _ dialect: Dialect = .plain, valueLimit: Int = .max
  ) throws(JSONError) -> Value {
    do {
      let document = try JSONDocument(Array(bytes), dialect, nodeLimit: valueLimit)
      return try JSONDecoding(document: document, node: 0).decode(type)
    } catch {
      throw JSONError(error)
    }
  }

  /// Returns the text for files that other programs read too: members sorted by name, no spaces, whole numbers without
  /// a decimal point. Equal values give equal text.
  /// - Throws: `JSONError` if a number is not finite, unless the dialect is the fleet's.
  public static func text(_ value: some Encodable, _ dialect: Dialect = .plain) throws(JSONError) -> String {
    let style: JSONOutput.Style =
      switch dialect {
      case .plain: JSONOutput.Style(isSorted: true, numbers: .forFiles)
      case .snakeCase: JSONOutput.Style(isSorted: true, isInSnakeCase: true, numbers: .forFiles)
      case .fleet: JSONOutput.Style(isSorted: true)
      }
    return String(decoding: try encode(value, style), as: UTF8.self)
  }

  /// Returns what the fleet sends and keeps in its journal: members in the order in which their types declare them,
  /// dictionaries sorted, and numbers that are not finite (a loss that became NaN) as words. It is written straight
  /// into bytes, because every job costs a coordinator five messages and records.
  public static func encode(_ value: some Encodable) -> [UInt8] {
    do { return try encode(value, JSONOutput.Style()) } catch { preconditionFailure("a value without JSON: \(error)") }
  }

  /// Returns what the fleet's commands print and its dashboard serves: as `encode`, with all members sorted.
  public static func sorted(_ value: some Encodable) -> String {
    do { return try text(value, .fleet) } catch { preconditionFailure("a value without JSON: \(error)") }
  }

  static func encode(_ value: some Encodable, _ style: JSONOutput.Style) throws(JSONError) -> [UInt8] {
    let output = JSONOutput(style)
    do { try output.write(value, depth: 0) } catch { throw JSONError(error) }
    output.close(to: 0)
    return output.bytes
  }
}

/// Why a text is not JSON, or not of the type asked for: one line with the place.
public struct JSONError: Error, Equatable, CustomStringConvertible {
  public let description: String

  init(_ error: any Error) {
    let context: DecodingError.Context
    switch error {
    case DecodingError.dataCorrupted(let found), DecodingError.keyNotFound(_, let found),
      DecodingError.typeMismatch(_, let found), DecodingError.valueNotFound(_, let found):
      context = found
    default:
      description = "\(error)"
      return
    }
    // The author of the text chose these names, so they are cut short.
    let place = context.codingPath.suffix(8).map { $0.stringValue.prefix(40) }.joined(separator: ".")
    description = place.isEmpty ? context.debugDescription : "\(place): \(context.debugDescription)"
  }
}
