extension StringProtocol {
  /// Text that a file or a peer has chosen, without what would steer a terminal or turn around what follows.
  public var printable: String { String(String.UnicodeScalarView(unicodeScalars.map(\.printable))) }

  /// The same for an error message: one line of bounded length.
  /// - Parameter count: at most so many scalars; a single letter may have millions.
  public func shortened(to count: Int = 60) -> String {
    var line = String.UnicodeScalarView()
    for scalar in unicodeScalars.prefix(count) { line.append(scalar.properties.isWhitespace ? " " : scalar.printable) }
    return unicodeScalars.dropFirst(count).isEmpty ? String(line) : String(line.dropLast()) + "…"
  }
}

extension Unicode.Scalar {
  fileprivate var printable: Unicode.Scalar {
    switch (properties.generalCategory, self) {
    // Some scripts and emoji need the joiners.
    case (_, "\n"), (_, "\t"), (_, "\u{200c}"), (_, "\u{200d}"): self
    case (.control, _), (.format, _): "\u{fffd}"
    default: self
    }
  }
}
