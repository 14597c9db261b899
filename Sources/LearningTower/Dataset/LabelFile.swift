import Foundation
import YAML

/// A class index that `data.yaml` does not name: the whole data set is wrong then, not one image.
struct UnknownClass: Error {
  var problem: DatasetError
}

/// YOLO label files: one object a row, `class cx cy w h` or `class x1 y1 x2 y2 x3 y3 …` (the outline of a segment),
/// all but the class as fractions of the image.
enum LabelFile {
  struct Contents: Hashable {
    var labels: [Label]
    var duplicateRows = 0
  }

  /// The last `/images/` of the path becomes `/labels/`, the extension `.txt`.
  static func path(ofImage path: String) -> String {
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
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let columns = line.split(whereSeparator: \.isWhitespace)
      guard !columns.isEmpty else { continue }
      let label = try label(columns, place: "\(file):\(index + 1)", classCount: classCount)
      if seen.insert(label).inserted {
        contents.labels.append(label)
      } else {
        contents.duplicateRows += 1
      }
    }
    return contents
  }

  private static func label(_ columns: [Substring], place: String, classCount: Int) throws -> Label {
    guard columns.count == 5 || (columns.count >= 7 && columns.count % 2 == 1) else {
      throw DatasetError(
        "\(place): \(columns.count) columns; a row is ‘class cx cy w h’, or a class and the outline's points")
    }
    let values = try columns.map { column in
      guard let value = Float(column), value.isFinite else {
        throw DatasetError("\(place): ‘\(String(column).shortened)’ is no number")
      }
      return value
    }
    guard values[0] >= 0, values[0] == values[0].rounded() else {
      throw DatasetError("\(place): ‘\(String(columns[0]).shortened)’ is no class index")
    }
    guard values[0] < Float(classCount) else {
      throw UnknownClass(
        problem: DatasetError(
          "\(place): class \(String(columns[0]).shortened), but data.yaml names only 0 to \(classCount - 1); "
            + "add its name there"
        ))
    }
    if let wrong = values.indices.dropFirst().first(where: { !(0...1).contains(values[$0]) }) {
      throw DatasetError(
        "\(place): \(String(columns[wrong]).shortened) lies outside [0, 1]; coordinates are fractions of the image")
    }
    let classIndex = Int(values[0])
    guard values.count > 5 else {
      return Label(classIndex: classIndex, cx: values[1], cy: values[2], w: values[3], h: values[4])
    }
    let xs = stride(from: 1, to: values.count, by: 2).map { values[$0] }
    let ys = stride(from: 2, to: values.count, by: 2).map { values[$0] }
    let (left, right) = (xs.min() ?? 0, xs.max() ?? 0)
    let (top, bottom) = (ys.min() ?? 0, ys.max() ?? 0)
    return Label(
      classIndex: classIndex, cx: (left + right) / 2, cy: (top + bottom) / 2, w: right - left, h: bottom - top)
  }
}
