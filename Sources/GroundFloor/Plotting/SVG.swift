/// A drawing in SVG, in pixels, readable on light and on dark ground: what is black on paper follows the reader's
/// colour scheme by its class. The classes are `dim` for texts of less weight, `grid`, `axis` and `mark` for lines,
/// `heat` for areas that show an amount and `on-heat` for texts on them, `ground` for areas of the paper's colour.
public struct SVG: Sendable, Hashable {
  public var width: Double
  public var height: Double
  private var elements: [String] = []

  public init(width: Double, height: Double) {
    self.width = width
    self.height = height
  }

  /// Told apart also by those who see fewer colours (Okabe and Ito).
  public static let palette = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7a1f", "#808080",
  ]

  /// The file's text.
  public var document: String {
    let size =
      "viewBox=\"0 0 \(pixels(width)) \(pixels(height))\" width=\"\(pixels(width))\" height=\"\(pixels(height))\""
    let head = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" \(size) "
        + "font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"13\">",
      Self.style,
      "<rect width=\"100%\" height=\"100%\" class=\"ground\"/>",
    ]
    return (head + elements + ["</svg>"]).joined(separator: "\n") + "\n"
  }

  private static let style = """
    <style>
    text{fill:#1a1a1a} .dim{fill:#555} .ground{fill:#fff} .grid{stroke:#e4e4e4} .axis{stroke:#444} .mark{stroke:#111}
    .heat{fill:#0072b2} .on-heat{fill:#fff}
    @media (prefers-color-scheme:dark){
    text{fill:#e8e8e8} .dim{fill:#aaa} .ground{fill:#16191d} .grid{stroke:#33383e} .axis{stroke:#999} .mark{stroke:#eee}
    .heat{fill:#4aa8e8} .on-heat{fill:#0b0e11}
    }
    </style>
    """
}

extension SVG {
  // `attributes` are further ones, as they stand in the file.

  public mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ attributes: String) {
    elements.append(
      "<line x1=\"\(pixels(x1))\" y1=\"\(pixels(y1))\" x2=\"\(pixels(x2))\" y2=\"\(pixels(y2))\" \(attributes)/>")
  }

  /// - Parameter y: of the line the letters stand on.
  public mutating func text(_ text: String, _ x: Double, _ y: Double, _ attributes: String = "") {
    elements.append("<text x=\"\(pixels(x))\" y=\"\(pixels(y))\" \(attributes)>\(escaped(text))</text>")
  }

  /// - Parameter title: shown while the pointer rests on it.
  public mutating func circle(
    _ cx: Double, _ cy: Double, radius: Double, title: String? = nil, _ attributes: String
  ) {
    element("circle cx=\"\(pixels(cx))\" cy=\"\(pixels(cy))\" r=\"\(pixels(radius))\" \(attributes)", title)
  }

  public mutating func rectangle(
    _ x: Double, _ y: Double, width: Double, height: Double, title: String? = nil, _ attributes: String
  ) {
    let place = "x=\"\(pixels(x))\" y=\"\(pixels(y))\""
    let size = "width=\"\(pixels(width))\" height=\"\(pixels(height))\""
    element("rect \(place) \(size) \(attributes)", title)
  }

  /// - Parameter path: SVG's path language.
  public mutating func path(_ path: String, title: String? = nil, _ attributes: String) {
    element("path d=\"\(path)\" \(attributes)", title)
  }

  /// Straight lines from point to point.
  public mutating func polyline(_ points: [(x: Double, y: Double)], title: String? = nil, _ attributes: String) {
    let corners = points.map { "\(pixels($0.x)),\(pixels($0.y))" }.joined(separator: " ")
    element("polyline points=\"\(corners)\" fill=\"none\" \(attributes)", title)
  }

  private mutating func element(_ content: String, _ title: String?) {
    let name = content.prefix { $0 != " " }
    elements.append(
      title.map { "<\(content)><title>\(escaped($0))</title></\(name)>" } ?? "<\(content)/>")
  }
}

/// With at most two decimals.
public func pixels(_ value: Double) -> String {
  var digits = fixed(value, decimals: 2)
  while digits.hasSuffix("0") { digits.removeLast() }
  return digits.hasSuffix(".") ? String(digits.dropLast()) : digits
}

/// Text as it may stand in a file of tags; what such a file cannot hold becomes a replacement character.
public func escaped(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    case "\t", "\n", "\r": result += " "
    case "\u{0}"..<"\u{20}", "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}
