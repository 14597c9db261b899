import Foundation
import Wording
import YAML

/// The content of a YOLOv5 `data.yaml`: the classes, and where the images of each split are.
///
/// Read as YOLOv5 does: `path` is the root of the data set, by default the folder of the file. A relative one is meant
/// from that folder, from the one above it or from the working folder, whichever has it; `~/` is the user's home.
/// `train`, `val` and `test` are each a folder, a list file or a list of these, relative to the root; `names` is a
/// list, or a map from 0, 1, …. Other keys are ignored. Where no path of that name exists, backslashes are read as
/// slashes.
public struct DatasetDescription: Sendable, Hashable {
  public enum Split: String, Sendable, Hashable, CaseIterable {
    case train
    case val
    case test
  }

  /// The `data.yaml` this was read from.
  public var file: String
  public var classNames: [String]
  /// Absolute paths of folders, list files or single images; a split that is not described or not there has no entry.
  public var sources: [Split: [String]]
  /// Why a split that is described is not there. Only those need to know who ask for it.
  public var absent: [Split: DatasetError] = [:]

  public var classCount: Int { classNames.count }

  public init(file: String, classNames: [String], sources: [Split: [String]]) {
    self.file = file
    self.classNames = classNames
    self.sources = sources
  }

  /// - Throws: `DatasetError` with file and line for what is missing or of the wrong kind, and if the root or every
  ///   split is not there.
  public static func load(_ path: String) throws(DatasetError) -> DatasetDescription {
    do { return try DatasetDescription(YAMLDocument.load(path), file: path) } catch { throw Self.refusal(error) }
  }

  /// The same from the file's bytes.
  init(parsing bytes: [UInt8], file: String) throws(DatasetError) {
    do { try self.init(YAMLDocument.parse(bytes, file: file), file: file) } catch { throw Self.refusal(error) }
  }

  /// The most folders and files that a split may name.
  private static let entryLimit = 1000

  private init(_ document: YAMLNode, file: String) throws {
    let root = try document.mapping
    self.init(file: file, classNames: try Self.classNames(root), sources: [:])
    let folder = absolute(Dataset.folder(of: absolute(file, in: ".")) ?? "/", in: "/")
    let base = try Self.given(root, "path").map { try Self.rootFolder($0, from: folder) } ?? folder
    for split in Split.allCases {
      guard let value = Self.given(root, split.rawValue) else { continue }
      var entries = [value]
      if case .sequence(let list) = value.content { entries = list }
      guard !entries.isEmpty else { throw value.error("an empty list; name a folder or a list file") }
      guard entries.count <= Self.entryLimit else {
        throw value.error(
          "a list of \(entries.count) names is too long: use up to \(Self.entryLimit) folders, or a list file of images"
        )
      }
      let names = try entries.map { (node: $0, name: try $0.string) }
      do throws(DatasetError) {
        var found: [String] = []
        for (node, name) in names { found.append(try Self.existing(name, node, in: base)) }
        sources[split] = found
      } catch {
        absent[split] = error
      }
    }
    if sources.isEmpty {
      throw Split.allCases.compactMap { absent[$0] }.first
        ?? DatasetError("\(file): neither ‘train’ nor ‘val’ says where the images are")
    }
  }

  /// Returns the value of a key; nil too for an empty text, which YOLOv5 takes for nothing.
  private static func given(_ root: YAMLMapping, _ key: String) -> YAMLNode? {
    guard let node = root[key], !node.isNull else { return nil }
    if case .scalar("", _) = node.content { return nil }
    return node
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

  /// Where the data set lies. Nothing takes the place of a root that is not there.
  private static func rootFolder(_ node: YAMLNode, from folder: String) throws -> String {
    let name = try node.string
    let candidates = places(
      of: name, in: [folder, absolute("..", in: folder), FileManager.default.currentDirectoryPath])
    guard let found = candidates.first(where: isFolder) else {
      throw node.error(
        "there is no folder ‘\(name.shortened())’; looked for \(listing(candidates)); correct ‘path’, "
          + "or remove it if the images lie beside this file")
    }
    return found
  }

  /// The file or folder that a split names. Files made for YOLOv5's own folder layout say `../images` where they mean
  /// `images`; it accepts that, and so do we.
  private static func existing(_ name: String, _ node: YAMLNode, in base: String) throws(DatasetError) -> String {
    var candidates = places(of: name, in: [base])
    if name.hasPrefix("../") || name.hasPrefix("..\\") {
      candidates += places(of: String(name.dropFirst(3)), in: [base])
    }
    for candidate in candidates {
      do {
        if try status(of: candidate) != nil { return candidate }
      } catch {
        throw DatasetError("\(node.error(error.message.shortened(to: 500)))")
      }
    }
    throw DatasetError("\(node.error("‘\(name.shortened())’ is not there; looked for \(listing(candidates))"))")
  }

  private static func listing(_ places: [String]) -> String {
    places.map { $0.count > 1000 ? $0.shortened() : $0 }.joined(separator: " and ")
  }

  /// The absolute paths that a name may stand for, the likeliest first, each once.
  static func places(of name: String, in folders: [String]) -> [String] {
    var names = [name == "~" || name.hasPrefix("~/") ? NSHomeDirectory() + name.dropFirst() : name]
    if name.contains("\\") { names.append(name.replacingOccurrences(of: "\\", with: "/")) }
    var places: [String] = []
    for place in names.flatMap({ name in folders.map { absolute(name, in: $0) } }) where !places.contains(place) {
      places.append(place)
    }
    return places
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
    case .mapping(let map):
      list = try (0..<map.entries.count).map { index in
        if let name = map["\(index)"] { return try name.string }
        let count = map.entries.count
        let cause = index == 0 && map["\(count)"] != nil ? "names are counted from 1; " : ""
        throw names.error(
          "class ‘\(index)’ has no name: \(cause)number the \(count) names from 0 to \(count - 1), "
            + "as the label files do")
      }
    case .scalar: throw names.error("expected a list of class names, or a map from 0, 1, … to class names")
    }
    guard !list.isEmpty else { throw names.error("there has to be at least one class name") }
    if let count, let node = root["nc"], count != list.count {
      throw node.error("nc is \(count), but there are \(list.count) class names")
    }
    return list
  }
}
