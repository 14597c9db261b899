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
    var labelPath = path
    if let range = labelPath.range(of: "/images/", options: .backwards) {
      labelPath.replaceSubrange(range, with: "/labels/")
    }
    return (labelPath as NSString).deletingPathExtension + ".txt"
  }

  /// - Throws: `DatasetError` with file and line, `UnknownClass`. A missing file is an image without objects.
  static func read(_ path: String, classCount: Int) throws -> Contents {
    guard FileManager.default.fileExists(atPath: path) else { return Contents(labels: []) }
    let bytes = try Dataset.contents(of: path, atMost: 1 << 24)
    return try parse(String(decoding: bytes, as: UTF8.self), file: path, classCount: classCount)
  }

  static func parse(_ text: String, file: String, classCount: Int) throws -> Contents {
    var contents = Contents(labels: [])
    var seen: Set<Label> = []
    var rest = text[...]
    var number = 0
    while !rest.isEmpty {
      number += 1
      let line = rest.prefix { !$0.isNewline }
      rest = rest[line.endIndex...].dropFirst()
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
  private static func label(_ row: Substring, place: String, classCount: Int) throws -> Label? {
    var count = 0
    eachColumn(of: row) { _ in count += 1 }
    guard count > 0 else { return nil }
    guard count == 5 || (count >= 7 && count % 2 == 1) else {
      throw DatasetError("\(place): \(count) columns; a row is ‘class cx cy w h’, or a class and the outline's points")
    }
    var values: [Float] = []
    // Of the outline, across and down.
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

  private static func value(_ column: Substring, isClass: Bool, place: String, classCount: Int) throws -> Float {
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

  private static func eachColumn(of row: Substring, _ body: (Substring) throws -> Void) rethrows {
    var rest = row.drop(while: \.isWhitespace)
    while !rest.isEmpty {
      let column = rest.prefix { !$0.isWhitespace }
      try body(column)
      rest = rest[column.endIndex...].drop(while: \.isWhitespace)
    }
  }
}
