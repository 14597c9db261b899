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

  public static func decode<Value: Decodable>(
    _ type: Value.Type, from bytes: some Collection<UInt8>, _ dialect: Dialect = .plain
  ) throws(JSONError) -> Value {
    do {
      let document = try JSONDocument(Array(bytes), dialect)
      return try JSONDecoding(document: document, node: 0).decode(type)
    } catch {
      throw JSONError(error)
    }
  }
}

/// Why a text is not JSON, or not of the type asked for: one line with the place.
public struct JSONError: Error, Equatable, CustomStringConvertible {
  public let description: String

  init(_ error: any Error) {
    guard let error = error as? DecodingError else {
      description = "\(error)"
      return
    }
    switch error {
    case .dataCorrupted(let context), .keyNotFound(_, let context), .typeMismatch(_, let context),
      .valueNotFound(_, let context):
      // Whoever wrote the text chose the names.
      let place = context.codingPath.suffix(8).map { $0.stringValue.prefix(40) }.joined(separator: ".")
      description = place.isEmpty ? context.debugDescription : "\(place): \(context.debugDescription)"
    @unknown default: description = "\(error)"
    }
  }
}
