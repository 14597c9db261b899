import Bytes

/// A value to be written as YAML; mappings keep their order.
public indirect enum YAMLValue: Sendable, Hashable {
  public struct Entry: Sendable, Hashable {
    public var key: String
    public var value: YAMLValue

    public init(_ key: String, _ value: YAMLValue) {
      self.key = key
      self.value = value
    }
  }

  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case sequence([YAMLValue])
  case mapping([Entry])

  /// The document: mappings in block style, lists of scalars in flow style, strings quoted where a YAML 1.1 reader
  /// would take them for something else. Ends with a newline.
  public var yamlText: String {
    var text = ""
    write(to: &text, indent: 0)
    if text.last != "\n" { text += "\n" }
    return text
  }
}

extension YAMLValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral elements: YAMLValue...) { self = .sequence(elements) }
  public init(dictionaryLiteral elements: (String, YAMLValue)...) {
    self = .mapping(elements.map { Entry($0.0, $0.1) })
  }
  public init(nilLiteral: ()) { self = .null }
}

extension YAMLValue {
  private func write(to text: inout String, indent: Int) {
    let margin = String(repeating: " ", count: indent)
    switch self {
    case .mapping(let entries) where !entries.isEmpty:
      for entry in entries {
        text += margin + Self.scalarText(entry.key) + ":"
        entry.value.writeNested(to: &text, indent: indent + 2)
      }
    case .sequence(let elements) where !elements.allSatisfy(\.isScalar):
      for element in elements {
        text += margin + "-"
        element.writeNested(to: &text, indent: indent + 2)
      }
    default: text += inlineText
    }
  }

  /// After a key's colon or a list's dash: a scalar goes on the same line, anything else below.
  private func writeNested(to text: inout String, indent: Int) {
    if isInline {
      text += " " + inlineText + "\n"
    } else {
      text += "\n"
      write(to: &text, indent: indent)
    }
  }

  private var isScalar: Bool {
    switch self {
    case .sequence, .mapping: false
    default: true
    }
  }

  private var isInline: Bool {
    switch self {
    case .mapping(let entries): entries.isEmpty
    case .sequence(let elements): elements.allSatisfy(\.isScalar)
    default: true
    }
  }

  private var inlineText: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .int(let value): "\(value)"
    case .double(let value): Self.numberText(value)
    case .string(let value): Self.scalarText(value)
    case .sequence(let elements): "[" + elements.map(\.inlineText).joined(separator: ", ") + "]"
    case .mapping: "{}"
    }
  }

  /// The shortest decimal that gives the same double back. YAML 1.1 sees a number in `1.0e-05` but a string in `1e-05`.
  private static func numberText(_ value: Double) -> String {
    if value.isNaN { return ".nan" }
    if value.isInfinite { return value < 0 ? "-.inf" : ".inf" }
    let text = "\(value)"
    guard !text.contains("."), let exponent = text.firstIndex(of: "e") else { return text }
    return text[..<exponent] + ".0" + text[exponent...]
  }

  private static func scalarText(_ string: String) -> String {
    if isPlainSafe(string) { return string }
    var quoted = "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\t": quoted += "\\t"
      case _
      where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
        || [0x2028, 0x2029, 0xFEFF].contains(scalar.value):
        quoted += "\\u" + UInt16(scalar.value).hexDigits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }

  /// Letters, digits, inner blanks and harmless signs, beginning so that nobody takes it for a number or a YAML sign.
  private static func isPlainSafe(_ string: String) -> Bool {
    let bytes = string.utf8
    func isLetter(_ byte: UInt8) -> Bool {
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }
    guard let first = bytes.first, let last = bytes.last, last != UInt8(ascii: " ") else { return false }
    guard isLetter(first) || first == UInt8(ascii: "/") || first == UInt8(ascii: "_") || string.hasPrefix("../") else {
      return false
    }
    guard bytes.allSatisfy({ isLetter($0) || $0.isDigit || "_./ +-".utf8.contains($0) }) else { return false }
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
    return !words.contains(string.lowercased())
  }
}
