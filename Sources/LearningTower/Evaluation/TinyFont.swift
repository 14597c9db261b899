/// Letters of 3 × 5 dots, enough to name a class on a picture. A glyph is five octal digits, one a row from the top; in
/// a digit 4 is the left dot, 2 the middle one, 1 the right one.
enum TinyFont {
  static let width = 3
  static let height = 5

  static func isSet(_ glyph: UInt16, row: Int, column: Int) -> Bool {
    glyph >> UInt16((height - 1 - row) * 3 + (width - 1 - column)) & 1 == 1
  }

  /// Small letters look like capitals; what is missing looks like a full cell.
  static func glyph(_ character: Character) -> UInt16 {
    glyphs[Character(character.uppercased().prefix(1).description)] ?? 0o77777
  }

  private static let glyphs: [Character: UInt16] = [
    "A": 0o25755, "B": 0o65656, "C": 0o34443, "D": 0o65556, "E": 0o74647, "F": 0o74644, "G": 0o34553, "H": 0o55755,
    "I": 0o72227, "J": 0o11152, "K": 0o55655, "L": 0o44447, "M": 0o57755, "N": 0o65555, "O": 0o25552, "P": 0o65644,
    "Q": 0o25573, "R": 0o65655, "S": 0o34216, "T": 0o72222, "U": 0o55557, "V": 0o55552, "W": 0o55775, "X": 0o55255,
    "Y": 0o55222, "Z": 0o71247, "0": 0o75557, "1": 0o26227, "2": 0o61247, "3": 0o61216, "4": 0o55711, "5": 0o74616,
    "6": 0o34757, "7": 0o71222, "8": 0o75757, "9": 0o75716, " ": 0o00000, ".": 0o00002, ",": 0o00024, "-": 0o00700,
    "_": 0o00007, "%": 0o51245, "/": 0o11244, "+": 0o02720, ":": 0o02020, "'": 0o22000, "(": 0o12221, ")": 0o42224,
    "?": 0o61202, "!": 0o22202, "#": 0o57575, "&": 0o25253, "*": 0o05250, "=": 0o07070,
  ]
}
