import Foundation
import Wording
import YAML

/// A class index that `data.yaml` does not name: the whole data set is wrong then, not one image.
struct UnknownClass: Error {
  var problem: DatasetError
}

/// YOLO label files: one object a row, `class cx cy w h` or `class x1 y1 x2 y2 x3 y3 …` (the outline of a segment),
/// all but the class as fractions of the image.
public enum LabelFile {
  struct Contents: Hashable {
    var labels: [Label]
    var duplicateRows = 0
  }

  /// The last `/images/` of the path becomes `/labels/`, the extension `.txt`.
  public static func path(ofImage path: String) -> String {
    var bytes = Array(path.utf8)
    let folder = Array("/images/".utf8)
    if let start = bytes.indices.last(where: { bytes[$0...].starts(with: folder) }) {
      bytes.replaceSubrange(start..<(start + folder.count), with: "/labels/".utf8)
    }
    if let dot = bytes.lastIndex(of: UInt8(ascii: ".")), !bytes[dot...].contains(UInt8(ascii: "/")) {
      bytes.removeSubrange(dot...)
    }
    return String(decoding: bytes, as: UTF8.self) + ".txt"
  }

  /// - Throws: `DatasetError` with file and line, `UnknownClass`. Only where nothing of that name exists is it an image
  ///   without objects: a file that cannot be read might hold some.
  static func read(_ path: String, classCount: Int) throws -> Contents {
    guard let status = try status(of: path) else { return Contents(labels: []) }
    guard status.isRegularFile else { throw DatasetError("\(path): a folder, device or pipe instead of a label file") }
    return try parse(Dataset.contents(of: path, atMost: 1 << 24), file: path, classCount: classCount)
  }

  static func parse(_ bytes: [UInt8], file: String, classCount: Int) throws -> Contents {
    let text = String(decoding: try utf8Content(bytes, file: file), as: UTF8.self)
    return try parse(text, file: file, classCount: classCount)
  }

  static func parse(_ text: String, file: String, classCount: Int) throws -> Contents {
    var contents = Contents(labels: [])
    var seen: Set<Label> = []
    var rest = text.unicodeScalars[...]
    var number = 0
    while !rest.isEmpty {
      number += 1
      let line = rest.prefix { !isNewline($0) }
      rest = rest[line.endIndex...]
      if rest.popFirst() == "\r", rest.first == "\n" { rest.removeFirst() }
      guard let label = try label(line, place: "\(file):\(number)", classCount: classCount) else { continue }
      if seen.insert(label).inserted {
        contents.labels.append(label)
      } else {
        contents.duplicateRows += 1
      }
    }
    return contents
  }

  /// A row may be as long as the file, so its columns are looked at one by one.
  /// - Returns: nil for an empty row.
  private static func label(_ row: Row, place: String, classCount: Int) throws -> Label? {
    var count = 0
    eachColumn(of: row) { _ in count += 1 }
    guard count > 0 else { return nil }
    guard count == 5 || (count >= 7 && count % 2 == 1) else {
      throw DatasetError(
        "\(place): \(counted(count, "column")); a row is ‘class cx cy w h’, or a class and the outline's points")
    }
    var values: [Float] = []
    // The outline's least and greatest coordinates, across and down.
    var (least, greatest): ([Float], [Float]) = ([1, 1], [0, 0])
    var number = 0
    try eachColumn(of: row) { column in
      defer { number += 1 }
      let value = try value(column, isClass: number == 0, place: place, classCount: classCount)
      if number < 5 { values.append(value) }
      guard number > 0 else { return }
      let axis = (number - 1) % 2
      least[axis] = min(least[axis], value)
      greatest[axis] = max(greatest[axis], value)
    }
    let classIndex = Int(values[0])
    guard count > 5 else {
      return Label(classIndex: classIndex, cx: values[1], cy: values[2], w: values[3], h: values[4])
    }
    return Label(
      classIndex: classIndex, cx: (least[0] + greatest[0]) / 2, cy: (least[1] + greatest[1]) / 2,
      w: greatest[0] - least[0], h: greatest[1] - least[1])
  }

  private static func value(_ column: Row, isClass: Bool, place: String, classCount: Int) throws -> Float {
    let column = Substring(column)
    guard let value = Float(column), value.isFinite else {
      throw DatasetError("\(place): ‘\(column.shortened())’ is no number")
    }
    guard isClass else {
      guard (0...1).contains(value) else {
        throw DatasetError(
          "\(place): \(column.shortened()) lies outside [0, 1]; coordinates are fractions of the image")
      }
      return value
    }
    guard value >= 0, value == value.rounded() else {
      throw DatasetError("\(place): ‘\(column.shortened())’ is no class index")
    }
    guard value < Float(classCount) else {
      throw UnknownClass(
        problem: DatasetError(
          "\(place): class \(column.shortened()), but data.yaml names only 0 to \(classCount - 1); "
            + "add its name there"))
    }
    return value
  }

  private static func eachColumn(of row: Row, _ body: (Row) throws -> Void) rethrows {
    var rest = row.drop(while: isBlank)
    while !rest.isEmpty {
      let column = rest.prefix { !isBlank($0) }
      try body(column)
      rest = rest[column.endIndex...].drop(while: isBlank)
    }
  }

  /// Scalars rather than characters, because finding where a character ends takes twenty times as long.
  private typealias Row = Substring.UnicodeScalarView

  /// Returns whether a scalar separates columns. Byte order marks do too: files that begin with one are sometimes
  /// joined.
  private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII
      ? scalar == " " || ("\t"..."\r").contains(scalar) : scalar.properties.isWhitespace || scalar == "\u{feff}"
  }

  private static func isNewline(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "\n"..."\r", "\u{85}", "\u{2028}", "\u{2029}": true
    default: false
    }
  }
}

/// The bytes of a text without the mark that some editors put before UTF-8.
/// - Throws: `DatasetError` if it is written in UTF-16, or is no text.
func utf8Content(_ bytes: [UInt8], file: String) throws(DatasetError) -> ArraySlice<UInt8> {
  if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) || bytes.contains(0) {
    throw DatasetError("\(file): written in UTF-16, or no text at all; save it as UTF-8")
  }
  return bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
}
