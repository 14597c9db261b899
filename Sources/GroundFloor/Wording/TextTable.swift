internal import CTerminal

/// Rows of cells as lines of text, with each column padded to its widest cell. Cells may be foreign text.
/// - Parameter rightAligned: indices of the columns whose cells stand at the right.
public func textTable(_ rows: [[String]], rightAligned: Set<Int> = []) -> String {
  let rows = rows.map { $0.map { (text: $0.oneLine, width: $0.oneLine.terminalWidth) } }
  var widths: [Int] = []
  for row in rows {
    for (column, cell) in row.enumerated() {
      if column == widths.count { widths.append(0) }
      // One endless cell would take blanks in every row; it sticks out instead.
      widths[column] = max(widths[column], min(cell.width, maximumColumnWidth))
    }
  }
  return rows.map { row in
    let cells = row.enumerated().map { column, cell in
      let gap = String(repeating: " ", count: max(0, widths[column] - cell.width))
      return rightAligned.contains(column) ? gap + cell.text : cell.text + gap
    }
    var line = cells.joined(separator: "  ")
    while line.last == " " { line.removeLast() }
    return line
  }.joined(separator: "\n")
}

private let maximumColumnWidth = 100

extension String {
  /// How many columns of a terminal the text takes: two for a wide letter, none for a combining mark.
  public var terminalWidth: Int {
    if utf8.allSatisfy({ (0x20..<0x7f).contains($0) }) { return utf8.count }
    return reduce(0) { $0 + $1.terminalWidth }
  }

  /// Blanks after the text up to a width.
  public func padding(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - terminalWidth)) }
}

extension Character {
  /// Emoji that are joined, or have a tone, are drawn as one.
  fileprivate var terminalWidth: Int {
    let sum = unicodeScalars.reduce(0) { $0 + Int(ct_columns($1.value)) }
    return unicodeScalars.contains { $0 == "\u{200d}" || $0.properties.isEmojiModifier } ? min(sum, 2) : sum
  }
}
