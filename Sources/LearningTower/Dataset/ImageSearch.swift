import Foundation
import Wording

/// Finds the images a user means.
public enum ImageSearch {
  /// The images that the sources name, each once, in their order.
  public static func images(_ sources: [String]) throws(DatasetError) -> [String] {
    var found: [String] = []
    var taken: Set<[UInt8]> = []
    for source in sources {
      found += try images(source).filter { taken.insert(Array(absolute($0, in: ".").utf8)).inserted }
    }
    return found
  }

  /// A file as it is, whatever its name; of a folder its files with the ending of a picture, by name, without those of
  /// its subfolders; of a pattern (`*`, `?`, `[a-z]`, and `**` for folders of any depth but no links) such files that
  /// fit, by path.
  ///
  /// Names that exist are taken literally, folder by folder: in `[2024] x/*.jpg`, a folder of the name `[2024] x` is
  /// meant if there is one. A backslash takes the meaning from the letter that follows it.
  /// - Throws: `DatasetError` if there is nothing of that name, or no image in it.
  public static func images(_ source: String) throws(DatasetError) -> [String] {
    var found: [String]
    if isFolder(source) {
      found = try names(inFolder: source).map { join(source, $0) }.filter {
        ImageFile.hasPictureEnding($0) && !isFolder($0)
      }
    } else if (try? status(of: source)) != nil {
      return [source]
    } else if isPattern(source[...]) {
      let parts = source.split(separator: "/", omittingEmptySubsequences: true)
      found = try matches(parts[...], in: source.hasPrefix("/") ? "/" : "", depth: 0).filter {
        ImageFile.hasPictureEnding($0) && !isFolder($0)
      }
    } else {
      throw DatasetError("\(source): no such file or folder")
    }
    // By bytes: Swift takes two spellings of one letter for equal, and the disk does not.
    found = Set(found.map { Array($0.utf8) }).map { String(decoding: $0, as: UTF8.self) }.sorted(by: precedes)
    guard !found.isEmpty else {
      throw DatasetError("\(source): no picture there (a file whose name ends in .jpg, .png or the like)")
    }
    return found
  }

  private static func matches(
    _ parts: ArraySlice<Substring>, in folder: String, depth: Int
  ) throws(DatasetError) -> [String] {
    guard let part = parts.first else { return [folder] }
    guard depth < 64 else { throw DatasetError("\(folder): more than 64 folders deep; name a deeper folder") }
    let rest = part == "**" && parts.count == 1 ? ["*"] : parts.dropFirst()
    let literal = join(folder, String(part))
    if (try? status(of: literal)) != nil { return try matches(rest, in: literal, depth: depth + 1) }
    guard isPattern(part) else { return [] }
    var found: [String] = part == "**" ? try matches(rest, in: folder, depth: depth + 1) : []
    for name in (try? names(inFolder: folder.isEmpty ? "." : folder)) ?? [] {
      let path = join(folder, name)
      if part == "**" {
        if isFolder(path), !isLink(path) { found += try matches(parts, in: path, depth: depth + 1) }
      } else if unsafe fnmatch(String(part), name, 0) == 0 {  // Both strings live through the call.
        found += try matches(rest, in: path, depth: depth + 1)
      }
    }
    return found
  }

  private static func isPattern(_ text: Substring) -> Bool { text.contains { "*?[\\".contains($0) } }

  private static func isLink(_ path: String) -> Bool {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) != nil
  }

  private static func join(_ folder: String, _ name: String) -> String {
    folder.isEmpty ? name : folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }

}
