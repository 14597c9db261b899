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

  /// - Throws: `DecodingError`
  public static func decode<Value: Decodable>(
    _ type: Value.Type, from bytes: some Collection<UInt8>, _ dialect: Dialect = .plain
  ) throws -> Value {
    let document = try JSONDocument(Array(bytes), dialect)
    return try JSONDecoding(document: document, node: 0).decode(type)
  }
}
