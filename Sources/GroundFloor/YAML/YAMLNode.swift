import Wording

/// One value of a YAML document and where it stands.
///
/// The typed readers throw a `YAMLError` that names the place and what stands there instead.
public struct YAMLNode: Sendable, Hashable {
  public enum Content: Sendable, Hashable {
    /// `isPlain` is false for quoted and block scalars, which are always strings.
    case scalar(text: String, isPlain: Bool)
    case sequence([YAMLNode])
    case mapping(YAMLMapping)
  }

  public var content: Content
  public var location: YAMLLocation

  public init(_ content: Content, at location: YAMLLocation) {
    self.content = content
    self.location = location
  }

  public func error(_ message: String) -> YAMLError {
    YAMLError(file: location.file, line: location.line, message: message)
  }
}

extension YAMLNode {
  /// True for what YAML reads as null: nothing, `~` or `null`.
  public var isNull: Bool {
    guard case .scalar(let text, isPlain: true) = content else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(text)
  }

  /// The text of any scalar but null, so `names: [1, yes]` are two strings.
  public var string: String {
    get throws(YAMLError) {
      guard case .scalar(let text, _) = content, !isNull else { throw unexpected("a string") }
      return text
    }
  }

  /// A plain decimal integer. Octal-looking numbers such as `010`, which readers of YAML disagree on, are refused.
  public var int: Int {
    get throws(YAMLError) {
      guard case .scalar(let text, isPlain: true) = content, text.isDecimalInteger, let value = Int(text) else {
        throw unexpected("an integer")
      }
      return value
    }
  }

  /// A plain finite decimal number. `1e-3` counts, although YAML 1.1 demands `1.0e-3`; `1_000` does not.
  public var double: Double {
    get throws(YAMLError) {
      guard case .scalar(let text, isPlain: true) = content, text.isDecimalNumber, let value = Double(text),
        value.isFinite
      else { throw unexpected("a number") }
      return value
    }
  }

  /// A plain YAML 1.1 boolean: `true`, `yes`, `on` and their opposites, also capitalised.
  public var bool: Bool {
    get throws(YAMLError) {
      if case .scalar(let text, isPlain: true) = content {
        switch text {
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": return true
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": return false
        default: break
        }
      }
      throw unexpected("true or false")
    }
  }

  public var sequence: [YAMLNode] {
    get throws(YAMLError) {
      guard case .sequence(let elements) = content else { throw unexpected("a list") }
      return elements
    }
  }

  public var mapping: YAMLMapping {
    get throws(YAMLError) {
      guard case .mapping(let mapping) = content else { throw unexpected("a mapping of keys to values") }
      return mapping
    }
  }

  private func unexpected(_ expected: String) -> YAMLError {
    let found =
      switch content {
      case _ where isNull: "nothing"
      case .scalar(let text, isPlain: true): "‘\(text.shortened())’"
      case .scalar(let text, isPlain: false): "the quoted string ‘\(text.shortened())’"
      case .sequence: "a list"
      case .mapping: "a mapping"
      }
    return error("expected \(expected), found \(found)")
  }
}

/// Keys and values in the order of the file; no key stands twice.
public struct YAMLMapping: Sendable, Hashable {
  public struct Entry: Sendable, Hashable {
    public var key: String
    public var keyLocation: YAMLLocation
    public var value: YAMLNode

    public init(key: String, keyLocation: YAMLLocation, value: YAMLNode) {
      self.key = key
      self.keyLocation = keyLocation
      self.value = value
    }
  }

  public let entries: [Entry]
  public let location: YAMLLocation
  private let indices: [String: Int]

  /// - Throws: `YAMLError` at the second of two equal keys.
  public init(_ entries: [Entry], at location: YAMLLocation) throws(YAMLError) {
    var indices: [String: Int] = [:]
    for (index, entry) in entries.enumerated() {
      guard let first = indices.updateValue(index, forKey: entry.key) else { continue }
      throw YAMLError(
        file: entry.keyLocation.file, line: entry.keyLocation.line,
        message: "‘\(entry.key.shortened())’ is already given in line \(entries[first].keyLocation.line)")
    }
    self.entries = entries
    self.location = location
    self.indices = indices
  }

  public var keys: [String] { entries.map(\.key) }

  public subscript(key: String) -> YAMLNode? { indices[key].map { entries[$0].value } }

  /// - Throws: `YAMLError` at the mapping's beginning when the key is missing.
  public func required(_ key: String) throws(YAMLError) -> YAMLNode {
    guard let value = self[key] else {
      throw YAMLError(file: location.file, line: location.line, message: "‘\(key)’ is missing")
    }
    return value
  }

  /// - Throws: `YAMLError` at the first key that is not among `known`, naming the nearest one that is.
  public func requireKnownKeys(_ known: [String]) throws(YAMLError) {
    let knownKeys = Set(known)
    for entry in entries where !knownKeys.contains(entry.key) {
      let hint =
        if let word = nearest(entry.key, among: known) {
          "did you mean ‘\(word)’?"
        } else {
          "known are \(known.joined(separator: ", "))"
        }
      throw YAMLError(
        file: entry.keyLocation.file, line: entry.keyLocation.line,
        message: "unknown key ‘\(entry.key.shortened())’; \(hint)")
    }
  }
}

extension String {
  /// `-`? digits without a leading zero.
  var isDecimalInteger: Bool {
    let digits = utf8.first == UInt8(ascii: "-") || utf8.first == UInt8(ascii: "+") ? utf8.dropFirst() : utf8[...]
    guard let first = digits.first, digits.allSatisfy(\.isDigit) else { return false }
    return digits.count == 1 || first != UInt8(ascii: "0")
  }

  /// Sign, digits with at most one point, and an optional exponent.
  var isDecimalNumber: Bool {
    var rest = utf8[...]
    func isSign(_ byte: UInt8?) -> Bool { byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") }
    func dropDigits() -> Int {
      let digits = rest.prefix(while: \.isDigit).count
      rest = rest.dropFirst(digits)
      return digits
    }
    if isSign(rest.first) { rest = rest.dropFirst() }
    var digits = dropDigits()
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst()
      digits += dropDigits()
    }
    guard digits > 0 else { return false }
    if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
      rest = rest.dropFirst()
      if isSign(rest.first) { rest = rest.dropFirst() }
      guard dropDigits() > 0 else { return false }
    }
    return rest.isEmpty
  }
}

extension UInt8 {
  var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
}
