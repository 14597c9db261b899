import Foundation
import Wording

/// An image of a data set that is not used.
public struct LeftOutImage: Sendable, Hashable {
  public var path: String
  /// Why. The message begins with the file at fault: the image, or its label file with the line.
  public var reason: DatasetError

  public init(path: String, reason: DatasetError) {
    self.path = path
    self.reason = reason
  }
}

/// The images of one split with their labels, and those that were left out.
public struct DatasetContents: Sendable, Hashable {
  /// Sorted by path, so that the order is the same on every machine.
  public var images: [LabelledImage]
  /// Rows that repeated an earlier row of their file, and were dropped.
  public var duplicateRows: Int
  /// Images that are damaged or whose label file is. YOLOv5 leaves them out too.
  public var leftOut: [LeftOutImage]

  public init(images: [LabelledImage], duplicateRows: Int = 0, leftOut: [LeftOutImage] = []) {
    self.images = images
    self.duplicateRows = duplicateRows
    self.leftOut = leftOut
  }

  /// What a reader of any result of this split must know, one line each: how many images were left out, the names of
  /// the first three, and why the first one was.
  public func remarks(on split: DatasetDescription.Split) -> [String] {
    guard let first = leftOut.first else { return [] }
    let names = leftOut.prefix(3).map { ($0.path as NSString).lastPathComponent.shortened() }
    let more = leftOut.count > names.count ? " …" : ""
    return [
      "\(split.rawValue): \(leftOut.count) of \(images.count + leftOut.count) images are left out: "
        + "\(names.joined(separator: ", "))\(more) (\(first.reason.message.shortened(to: 300)))"
    ]
  }

  /// Images without an object.
  public var backgroundCount: Int { images.count { $0.labels.isEmpty } }

  public var boxCount: Int { images.reduce(0) { $0 + $1.labels.count } }

  /// Boxes of each class.
  public func boxCounts(classCount: Int) -> [Int] {
    var counts = [Int](repeating: 0, count: classCount)
    for image in images {
      for label in image.labels where label.classIndex < classCount { counts[label.classIndex] += 1 }
    }
    return counts
  }
}

extension DatasetDescription {
  /// The contents of every split that is described.
  /// - Throws: `DatasetError` as `contents(of:)` does.
  public func contents() throws(DatasetError) -> [Split: DatasetContents] {
    var contents: [Split: DatasetContents] = [:]
    for split in Split.allCases where sources[split] != nil { contents[split] = try self.contents(of: split) }
    return contents
  }

  /// Finds the images of a split, reads the head of each (for its size) and its label file. Nothing is written: there
  /// is no `.cache` file.
  /// - Throws: `DatasetError` if the split is not described, has no usable image or has a class index that
  ///   `data.yaml` does not name.
  public func contents(of split: Split) throws(DatasetError) -> DatasetContents {
    guard let sources = sources[split] else { throw DatasetError("\(file): there is no ‘\(split.rawValue)’ split") }
    var result = DatasetContents(images: [])
    let paths = try sources.map { source throws(DatasetError) in try imagePaths(in: source) }
    for path in paths.joined().sorted(by: Self.byBytes) {
      do {
        let size = try ImageFile.size(ofFile: path)
        guard size.width > 9, size.height > 9 else {
          throw DatasetError("\(path): \(size.width)×\(size.height) pixels; images have to be larger than 9×9")
        }
        let labels = try LabelFile.read(LabelFile.path(ofImage: path), classCount: classCount)
        result.duplicateRows += labels.duplicateRows
        result.images.append(
          LabelledImage(path: path, width: size.width, height: size.height, labels: labels.labels))
      } catch let error as UnknownClass {
        throw error.problem
      } catch {
        let reason = error as? DatasetError ?? DatasetError("\(path): \(error.words)")
        result.leftOut.append(LeftOutImage(path: path, reason: reason))
      }
    }
    guard !result.images.isEmpty else {
      let first = result.leftOut.first.map {
        "; \(result.leftOut.count) are left out, the first because of \($0.reason)"
      }
      throw DatasetError(
        "\(sources.joined(separator: ", ")): no usable image in split ‘\(split.rawValue)’\(first ?? "")")
    }
    return result
  }

  /// Every file of the data set: the description, lists, images, and label files whether they are there or not. What
  /// cannot be found is left out.
  public func files() -> [String] {
    let sources = sources.values.joined()
    let images = sources.flatMap { (try? imagePaths(in: $0)) ?? [] }
    return [file] + sources + images + images.map(LabelFile.path)
  }

  /// Image files of a folder (with its subfolders), or those a list file names, or the one image itself.
  private func imagePaths(in source: String) throws(DatasetError) -> [String] {
    if isFolder(source) { return try Self.imageFiles(inFolder: source, depth: 0) }
    return ImageFile.hasPictureEnding(source) ? [source] : try listed(in: source)
  }

  /// Python's order of strings: by code points.
  private static func byBytes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

  private static func imageFiles(inFolder folder: String, depth: Int) throws(DatasetError) -> [String] {
    guard depth < 32 else { throw DatasetError("\(folder): more than 32 folders deep; is a link going in circles?") }
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: folder)
    } catch {
      throw DatasetError("\(folder): cannot be listed: \(reason(of: error))")
    }
    var files: [String] = []
    for name in names where !name.hasPrefix(".") {
      let path = folder + "/" + name
      if isFolder(path) {
        files += try imageFiles(inFolder: path, depth: depth + 1)
      } else if ImageFile.hasPictureEnding(path) {
        files.append(path)
      }
    }
    return files
  }

  /// One path a line. `./` means the folder of the list file, as in YOLOv5; other relative paths mean that folder or
  /// the folder of `data.yaml`, whichever has them.
  private func listed(in listFile: String) throws(DatasetError) -> [String] {
    let bytes = try Dataset.contents(of: listFile, atMost: 1 << 28)
    let bases = [listFile, file].map { absolute(($0 as NSString).deletingLastPathComponent, in: "") }
    return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).compactMap { line in
      let name = line.trimmingCharacters(in: .whitespaces)
      guard ImageFile.hasPictureEnding(name) else { return nil }
      let candidates = bases.map { absolute(name, in: $0) }
      return candidates.first(where: FileManager.default.fileExists(atPath:)) ?? candidates[0]
    }
  }
}

func isFolder(_ path: String) -> Bool {
  var isFolder: ObjCBool = false
  // The flag outlives the call, which only sets it.
  return unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
}
