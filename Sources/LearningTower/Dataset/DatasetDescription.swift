import Foundation
import Wording
import YAML

/// What a YOLOv5 `data.yaml` says: the classes, and where the images of each split are.
///
/// Read as YOLOv5 does: `path` is the root of the data set, relative to the folder of the file (absolute paths stay);
/// `train`, `val` and `test` are each a folder, a list file or a list of these, relative to the root or else to the
/// folder of the file; `names` is a list, or a map from 0, 1, …. Other keys are left to whom they belong.
public struct DatasetDescription: Sendable, Hashable {
  public enum Split: String, Sendable, Hashable, CaseIterable {
    case train
    case val
    case test
  }

  /// The `data.yaml` this was read from.
  public var file: String
  public var classNames: [String]
  /// Absolute paths of folders, list files or single images; a split that is not there has no entry.
  public var sources: [Split: [String]]

  public var classCount: Int { classNames.count }

  public init(file: String, classNames: [String], sources: [Split: [String]]) {
    self.file = file
    self.classNames = classNames
    self.sources = sources
  }

  /// - Throws: `DatasetError` with file and line for what is missing, of the wrong kind or not there.
  public static func load(_ path: String) throws(DatasetError) -> DatasetDescription {
    do { return try DatasetDescription(YAMLDocument.load(path), file: path) } catch { throw Self.refusal(error) }
  }

  /// The same from the file's bytes.
  init(parsing bytes: [UInt8], file: String) throws(DatasetError) {
    do { try self.init(YAMLDocument.parse(bytes, file: file), file: file) } catch { throw Self.refusal(error) }
  }

  private init(_ document: YAMLNode, file: String) throws {
    let root = try document.mapping
    self.init(file: file, classNames: try Self.classNames(root), sources: try Self.sources(root, file))
  }

  private static func refusal(_ error: any Error) -> DatasetError {
    error as? DatasetError ?? DatasetError("\(error)")
  }

  /// The class names alone; the images need not be there.
  /// - Throws: `DatasetError` as `load` does.
  public static func classNames(inFile path: String) throws(DatasetError) -> [String] {
    do {
      return try classNames(YAMLDocument.load(path).mapping)
    } catch {
      throw error as? DatasetError ?? DatasetError("\(error)")
    }
  }

  private static func sources(_ root: YAMLMapping, _ file: String) throws -> [Split: [String]] {
    let folder = URL(fileURLWithPath: file).deletingLastPathComponent().path
    var bases = [folder]
    if let value = root["path"], !value.isNull { bases.insert(absolute(try value.string, in: folder), at: 0) }
    var sources: [Split: [String]] = [:]
    for split in Split.allCases {
      guard let value = root[split.rawValue], !value.isNull else { continue }
      var entries = [value]
      if case .sequence(let list) = value.content { entries = list }
      sources[split] = try entries.map { try existing($0, in: bases) }
    }
    if sources[.train] == nil, sources[.val] == nil {
      throw DatasetError("\(file): neither ‘train’ nor ‘val’ says where the images are")
    }
    return sources
  }

  /// The first of the bases under which the entry exists. Files made for YOLOv5's own folder layout say `../images`
  /// where they mean `images`; it accepts that, and so do we.
  private static func existing(_ entry: YAMLNode, in bases: [String]) throws -> String {
    let name = try entry.string
    var candidates = bases.map { absolute(name, in: $0) }
    if name.hasPrefix("../") { candidates += bases.map { absolute(String(name.dropFirst(3)), in: $0) } }
    guard let found = candidates.first(where: FileManager.default.fileExists(atPath:)) else {
      let places = candidates.map { $0.count > 1000 ? $0.shortened() : $0 }.joined(separator: " and ")
      throw entry.error("‘\(name.shortened())’ is not there; looked for \(places)")
    }
    return found
  }

  private static func classNames(_ root: YAMLMapping) throws -> [String] {
    let count = try root["nc"].map { try $0.int }
    guard let names = root["names"], !names.isNull else {
      guard let count, (1...100_000).contains(count) else { throw try root.required("names").error("no class names") }
      return (0..<count).map { "class\($0)" }
    }
    let list: [String]
    switch names.content {
    case .sequence(let elements): list = try elements.map { try $0.string }
    case .mapping(let map): list = try (0..<map.entries.count).map { try map.required("\($0)").string }
    case .scalar: throw names.error("expected a list of class names, or a map from 0, 1, … to class names")
    }
    guard !list.isEmpty else { throw names.error("there has to be at least one class name") }
    if let count, let node = root["nc"], count != list.count {
      throw node.error("nc is \(count), but there are \(list.count) class names")
    }
    return list
  }
}

/// `path` if it is absolute, else `path` in `folder`; without `.` and `..`.
func absolute(_ path: String, in folder: String) -> String {
  URL(fileURLWithPath: path, relativeTo: URL(fileURLWithPath: folder, isDirectory: true)).standardizedFileURL.path
}
