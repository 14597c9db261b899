import Bytes

extension StringProtocol {
  /// Text that a file or a peer has chosen, without what would steer a terminal or turn around what follows. Line
  /// breaks and tabs stay.
  public var printable: String {
    var text = String.UnicodeScalarView()
    var rest = unicodeScalars[...]
    while let scalar = rest.popFirst() {
      let endsLine = scalar == "\r" && rest.first == "\n"
      text.append(scalar.isPrintable || endsLine ? scalar : "\u{fffd}")
    }
    return String(text)
  }

  /// The same in one line, for a table's cell or a place within a line: line breaks and tabs become blanks.
  public var oneLine: String { shortened(to: .max) }

  /// The same for an error message: one line of bounded length.
  /// - Parameter count: at most so many scalars; a single letter may have millions.
  public func shortened(to count: Int = 60) -> String {
    var line = String.UnicodeScalarView()
    for scalar in unicodeScalars.prefix(count) {
      line.append(scalar.properties.isWhitespace ? " " : scalar.isPrintable ? scalar : "\u{fffd}")
    }
    return unicodeScalars.dropFirst(count).isEmpty ? String(line) : String(line.dropLast()) + "…"
  }

  /// A JSON text that means the same and steers no terminal: what `printable` would replace is escaped. It can only
  /// occur within JSON's strings.
  public var printableJSON: String {
    var text = String.UnicodeScalarView()
    for scalar in unicodeScalars {
      guard !scalar.isPrintable else {
        text.append(scalar)
        continue
      }
      for unit in String(scalar).utf16 { text.append(contentsOf: "\\u\(unit.hexDigits)".unicodeScalars) }
    }
    return String(text)
  }
}

extension Unicode.Scalar {
  fileprivate var isPrintable: Bool {
    if (0x20..<0x7f).contains(value) { return true }
    switch (properties.generalCategory, self) {
    // Some scripts and emoji need the joiners.
    case (_, "\n"), (_, "\t"), (_, "\u{200c}"), (_, "\u{200d}"): return true
    case (.control, _), (.format, _), (.lineSeparator, _), (.paragraphSeparator, _): return false
    default: return true
    }
  }
}
