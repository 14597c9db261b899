/// JSON from anybody: files, frames, journals.
///
/// A decoder of its own, because Foundation's can crash on a text that is cut off within nested lists, and because it
/// builds a tree of boxed values first, which took most of a coordinator's time.
public enum JSON {
  /// How the names of members are written.
  public enum KeyStyle: Sendable {
    /// As the types declare them.
    case declared
    /// `like_this` where the types declare `likeThis`.
    case snakeCase
  }

  /// - Throws: `DecodingError`
  public static func decode<Value: Decodable>(
    _ type: Value.Type, from bytes: some Collection<UInt8>, keys: KeyStyle = .declared
  ) throws -> Value {
    let document = try JSONDocument(Array(bytes), keys)
    return try JSONDecoding(document: document, node: 0).decode(type)
  }
}
