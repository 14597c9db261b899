import Foundation
import Geometry
import Wording
import YAML

/// A data set in one file, to be sent to another machine: a plain `ustar` archive that `tar` can list.
///
/// It holds `data.yaml`, `images/`, `labels/` (rows as they were read: duplicates dropped, outlines as boxes) and a
/// list file for each split; an image of several splits is there once. Names are numbered in the order of the images,
/// times and owners are zero: the same data set gives the same bytes wherever it lies, and the unpacked one trains
/// alike.
public enum DatasetPack {
  /// - Parameters:
  ///   - contents: the splits to pack, usually all that are described.
  ///   - path: written under a passing name first, so that it is whole once it is there.
  /// - Throws: `DatasetError` if one of the images cannot be read, or the file cannot be written.
  public static func write(
    _ contents: [DatasetDescription.Split: DatasetContents], classNames: [String], to path: String
  ) throws(DatasetError) {
    let splits = contents.sorted { $0.key.rawValue < $1.key.rawValue }
    let images = splits.flatMap(\.value.images)
    let names = try packedNames(of: images.map(\.path))
    var labelFiles: [String: String] = [:]
    for image in images where !image.labels.isEmpty {
      guard let name = names[Array(image.path.utf8)] else { continue }
      labelFiles["labels/\(name.withoutExtension).txt"] = image.labels.map(\.row).joined()
    }

    let partial = path + ".partial"
    do {
      let writer = try ArchiveWriter(partial)
      try writer.add("data.yaml", Array(yaml(Set(contents.keys), classNames).utf8))
      for (path, name) in names.sorted(by: { precedes($0.value, $1.value) }) {
        let path = String(decoding: path, as: UTF8.self)
        try writer.add("images/\(name)", try Dataset.contents(of: path, atMost: ImageFile.maximumBytes))
      }
      for (name, rows) in labelFiles.sorted(by: { precedes($0.key, $1.key) }) {
        try writer.add(name, Array(rows.utf8))
      }
      for (split, contents) in splits {
        let lines = contents.images.compactMap { names[Array($0.path.utf8)] }.map { "./images/\($0)\n" }
        try writer.add("\(split.rawValue).txt", Array(lines.joined().utf8))
      }
      try writer.finish()
      try rename(partial, to: path)
    } catch {
      try? FileManager.default.removeItem(atPath: partial)
      throw error
    }
  }

  /// Unpacks into a folder that must not exist yet, and which is there only if all went well.
  ///
  /// Nothing in the file is trusted: only the names that `write` makes are accepted, in ascending order, and sizes are
  /// checked before memory is taken.
  /// - Parameter maximumBytes: the most that is written in all.
  /// - Returns: the description of the unpacked data set.
  @discardableResult
  public static func unpack(
    _ file: String, into folder: String, maximumBytes: Int = 1 << 40
  ) throws(DatasetError) -> DatasetDescription {
    guard !FileManager.default.fileExists(atPath: folder) else {
      throw DatasetError("\(folder): already there; a data set is unpacked into a new folder")
    }
    let partial = folder + ".partial"
    try? FileManager.default.removeItem(atPath: partial)
    do {
      for subfolder in ["images", "labels"] { try createFolder("\(partial)/\(subfolder)") }
      var reader = try ArchiveReader(file, maximumBytes: maximumBytes)
      while let (name, bytes) = try reader.next() { try writeFile(bytes, to: "\(partial)/\(name)") }
      try requireSelfContained(DatasetDescription.load("\(partial)/data.yaml"), file)
      sync()  // A folder that is there has its content, also after a power cut.
      try rename(partial, to: folder)
    } catch {
      try? FileManager.default.removeItem(atPath: partial)
      throw error
    }
    return try DatasetDescription.load("\(folder)/data.yaml")
  }

  /// A description or a list that leads elsewhere would have a machine read what is none of the sender's business, and
  /// say so in an error or a model.
  private static func requireSelfContained(
    _ description: DatasetDescription, _ file: String
  ) throws(DatasetError) {
    let folder = folder(of: absolute(description.file, in: ".")) ?? "/"
    if let problem = description.absent.values.first { throw problem }
    for (split, sources) in description.sources {
      let list = "\(folder)/\(split.rawValue).txt"
      guard sources == [list] else { throw DatasetError("\(file): its ‘\(split.rawValue)’ is not its own list") }
      let text = String(decoding: try contents(of: list, atMost: ImageFile.maximumBytes), as: UTF8.self)
      for line in text.split(separator: "\n") {
        guard line.hasPrefix("./images/"), ArchiveReader.isAccepted(String(line.dropFirst(2))) else {
          throw DatasetError("\(file): its list ‘\(split.rawValue)’ names an image that is not its own")
        }
      }
    }
  }

  /// `000017_BloodImage_00343.jpg` for the 17th of the paths in order: the number keeps the order, the name tells a
  /// reader of errors which image it was.
  /// - Returns: names by the UTF-8 of the paths, which two paths that Swift takes for equal do not share.
  private static func packedNames(of paths: [String]) throws(DatasetError) -> [[UInt8]: String] {
    let sorted = Set(paths.map { Array($0.utf8) }).sorted { $0.lexicographicallyPrecedes($1) }
    let names = try sorted.enumerated().map { index, bytes throws(DatasetError) in
      let number = String(index)
      let path = String(decoding: bytes, as: UTF8.self)
      let original = lastName(of: path)
      var ending = (original as NSString).pathExtension.lowercased()
      if !["jpg", "jpeg", "png"].contains(ending) { ending = try ImageFile.usualEnding(ofFile: path) }
      let stem = original.withoutExtension.utf8.prefix(48).map { isPlain($0) ? Character(UnicodeScalar($0)) : "_" }
      return (
        bytes, String(repeating: "0", count: max(8 - number.count, 0)) + number + "_" + String(stem) + "." + ending
      )
    }
    return Dictionary(uniqueKeysWithValues: names)
  }

  private static func yaml(_ splits: Set<DatasetDescription.Split>, _ classNames: [String]) -> String {
    YAMLValue.mapping(
      [.init("path", ".")]
        + DatasetDescription.Split.allCases.filter(splits.contains).map {
          .init($0.rawValue, .string("\($0.rawValue).txt"))
        } + [
          .init("nc", .int(classNames.count)),
          .init("names", .sequence(classNames.map { .string($0) })),
        ]
    ).yamlText
  }

  /// In one step; a file of that name is replaced.
  private static func rename(_ path: String, to other: String) throws(DatasetError) {
    guard unsafe Foundation.rename(path, other) != 0 else { return }
    let code = errno
    throw DatasetError("\(other): cannot be written: \(systemReason(code))", errorNumber: code)
  }
}

extension Label {
  /// A row of a label file; the shortest decimals that give the same numbers back.
  var row: String { "\(classIndex) \(box.cx) \(box.cy) \(box.w) \(box.h)\n" }
}

extension String {
  fileprivate var withoutExtension: String { (self as NSString).deletingPathExtension }
}

/// Letters, digits, `_`, `-`: what names inside an archive are made of, beside one `.` before the extension.
private func isPlain(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
    true
  default: false
  }
}

/// Appends files to an archive in ascending order of their names.
private struct ArchiveWriter {
  private let path: String
  private let file: FileHandle

  init(_ path: String) throws(DatasetError) {
    self.path = path
    try writeFile([], to: path)
    guard let file = FileHandle(forWritingAtPath: path) else { throw DatasetError("\(path): cannot be written") }
    self.file = file
  }

  func add(_ name: String, _ bytes: [UInt8]) throws(DatasetError) {
    let padding = [UInt8](repeating: 0, count: ArchiveHeader.padding(bytes.count))
    try write(ArchiveHeader(name: name, size: bytes.count).bytes)
    try write(bytes)
    try write(padding)
  }

  /// Two empty blocks end an archive.
  func finish() throws(DatasetError) {
    try write([UInt8](repeating: 0, count: 2 * ArchiveHeader.blockBytes))
    do {
      try file.synchronize()
      try file.close()
    } catch {
      throw DatasetError("\(path): cannot be written: \(reason(of: error))", errorNumber: errorNumber(of: error))
    }
  }

  private func write(_ bytes: [UInt8]) throws(DatasetError) {
    do {
      try file.write(contentsOf: bytes)
    } catch {
      throw DatasetError("\(path): cannot be written: \(reason(of: error))", errorNumber: errorNumber(of: error))
    }
  }
}

/// Reads the files of an archive one after the other.
struct ArchiveReader {
  private let path: String
  private let file: FileHandle
  private var bytesLeft: Int
  private var lastName = ""

  init(_ path: String, maximumBytes: Int) throws(DatasetError) {
    guard let file = FileHandle(forReadingAtPath: path) else { throw DatasetError("\(path): cannot be read") }
    self.path = path
    self.file = file
    bytesLeft = maximumBytes
  }

  /// Nil at the end of the archive.
  mutating func next() throws(DatasetError) -> (name: String, bytes: [UInt8])? {
    let block = try read(ArchiveHeader.blockBytes)
    if block.allSatisfy({ $0 == 0 }) {
      guard try read(ArchiveHeader.blockBytes).allSatisfy({ $0 == 0 }), try readUpTo(1).isEmpty else {
        throw damaged("something follows its end")
      }
      return nil
    }
    guard let header = ArchiveHeader(block) else { throw damaged("a header is not as it was written") }
    guard Self.isAccepted(header.name) else { throw damaged("a data set has no file ‘\(header.name)’") }
    guard lastName.utf8.lexicographicallyPrecedes(header.name.utf8) else {
      throw damaged("‘\(header.name)’ stands after ‘\(lastName)’")
    }
    guard header.size <= ImageFile.maximumBytes, header.size <= bytesLeft else {
      throw DatasetError("\(path): ‘\(header.name)’ with \(header.size) bytes is more than may be unpacked")
    }
    bytesLeft -= header.size
    lastName = header.name
    let bytes = try read(header.size)
    _ = try read(ArchiveHeader.padding(header.size))
    return (header.name, bytes)
  }

  /// `data.yaml`, the list files, and files directly in `images` and `labels`. No separators, no `..`, no hidden files
  /// can be in such a name.
  static func isAccepted(_ name: String) -> Bool {
    if name == "data.yaml" || DatasetDescription.Split.allCases.contains(where: { name == "\($0.rawValue).txt" }) {
      return true
    }
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0] == "images" || parts[0] == "labels" else { return false }
    let words = parts[1].split(separator: ".", omittingEmptySubsequences: false)
    guard words.count == 2, words.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(isPlain) }) else { return false }
    return parts[0] == "labels" ? words[1] == "txt" : ImageFormat.endings.contains(String(words[1]))
  }

  private func damaged(_ what: String) -> DatasetError {
    DatasetError("\(path): not a sound data set pack: \(what); pack the data set again")
  }

  private func read(_ count: Int) throws(DatasetError) -> [UInt8] {
    let bytes = try readUpTo(count)
    guard bytes.count == count else { throw damaged("it breaks off") }
    return bytes
  }

  private func readUpTo(_ count: Int) throws(DatasetError) -> [UInt8] {
    guard count > 0 else { return [] }
    do {
      return [UInt8](try file.read(upToCount: count) ?? Data())
    } catch {
      throw DatasetError("\(path): cannot be read: \(reason(of: error))")
    }
  }
}

/// The head of a file in a `ustar` archive (POSIX.1-1988): fields of fixed places, numbers in octal.
struct ArchiveHeader: Hashable {
  static let blockBytes = 512

  var name: String
  var size: Int

  /// - Precondition: the name has at most 100 bytes.
  init(name: String, size: Int) {
    precondition(name.utf8.count <= 100, "‘\(name)’ is too long for an archive")
    self.name = name
    self.size = size
  }

  /// Nil unless the block is exactly what `bytes` makes of the name and the size in it.
  init?(_ block: [UInt8]) {
    guard block.count == Self.blockBytes else { return nil }
    let sizeText = String(decoding: block[124..<135], as: UTF8.self)
    guard let size = Int(sizeText, radix: 8), size >= 0 else { return nil }
    self.init(name: String(decoding: block[..<100].prefix { $0 != 0 }, as: UTF8.self), size: size)
    guard bytes == block else { return nil }
  }

  var bytes: [UInt8] {
    var block = [UInt8](repeating: 0, count: Self.blockBytes)
    func put(_ text: String, at offset: Int) {
      for (index, byte) in text.utf8.enumerated() { block[offset + index] = byte }
    }
    func octal(_ value: Int, digits: Int) -> String {
      let text = String(value, radix: 8)
      return String(repeating: "0", count: max(digits - text.count, 0)) + text
    }
    put(name, at: 0)
    put("0000644", at: 100)
    put("0000000", at: 108)  // owner
    put("0000000", at: 116)  // group
    put(octal(size, digits: 11), at: 124)
    put(octal(0, digits: 11), at: 136)  // time
    put("        ", at: 148)  // The checksum is taken with blanks in its place.
    put("0", at: 156)  // a plain file
    put("ustar", at: 257)
    put("00", at: 263)
    let checksum = block.reduce(0) { $0 + Int($1) }
    put(octal(checksum, digits: 6) + "\0 ", at: 148)
    return block
  }

  /// Bytes that fill the last block of a file.
  static func padding(_ size: Int) -> Int { (blockBytes - size % blockBytes) % blockBytes }
}
