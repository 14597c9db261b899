import Foundation
import Wording

/// An image of a data set that is not used.
public struct LeftOutImage: Sendable, Hashable {
  public var path: String
  /// Why. The message begins with the file at fault: the image, or its label file with the line.
  public var reason: DatasetError
}

/// The images of one split with their labels, and those that were left out.
public struct DatasetContents: Sendable, Hashable {
  /// Sorted by path, so that the order is the same on every machine.
  public var images: [LabelledImage]
  /// Rows that repeated an earlier row of their file, and were dropped.
  public var duplicateRows: Int
  /// Images that are damaged or whose label file is. YOLOv5 leaves them out too.
  public var leftOut: [LeftOutImage]
  /// Images that are among `images` although their files break off or have damaged parts.
  public var readInPart: [LeftOutImage] = []

  /// Names that led to an image that another name had led to before. Each image is there once.
  public var repeatedNames: Int

  public init(
    images: [LabelledImage], duplicateRows: Int = 0, leftOut: [LeftOutImage] = [], repeatedNames: Int = 0
  ) {
    self.images = images
    self.duplicateRows = duplicateRows
    self.leftOut = leftOut
    self.repeatedNames = repeatedNames
  }

  /// The remarks that belong beside any result of this split, one line each: how many images were left out, the names
  /// of the first three and why the first one was; names that count once; boxes from which nothing is learned.
  public func remarks(on split: DatasetDescription.Split) -> [String] {
    var remarks: [String] = []
    for (list, what) in [(leftOut, "left out"), (readInPart, "damaged and read as far as they go")] {
      guard let first = list.first else { continue }
      let names = list.prefix(3).map { lastName(of: $0.path).shortened() }
      let more = list.count > names.count ? " …" : ""
      remarks.append(
        "\(list.count) of \(images.count + leftOut.count) images are \(what): \(names.joined(separator: ", "))\(more) "
          + "(\(first.reason.message.shortened(to: 300)))")
    }
    if repeatedNames > 0 {
      remarks.append(
        "\(counted(repeatedNames, "name")) too many, of images that are named before; each image counts once")
    }
    if let problem = boxProblem {
      remarks.append(problem)
    } else if let image = images.first(where: { !$0.labels.allSatisfy(\.hasArea) }) {
      let count = images.reduce(0) { $0 + $1.labels.count { !$0.hasArea } }
      remarks.append(
        "\(count) of \(boxCount) boxes have no width or no height, so that nothing can be learned from them "
          + "(the first in \(LabelFile.path(ofImage: image.path)))")
    }
    return remarks.map { "\(split.rawValue): \($0)".shortened(to: 500) }
  }

  /// Why nothing can be learned from the split or measured on it, and where its labels were looked for; nil if there is
  /// a box.
  public var boxProblem: String? {
    guard let first = images.first(where: { !$0.labels.isEmpty }) ?? images.first,
      !images.contains(where: { $0.labels.contains(where: \.hasArea) })
    else { return nil }
    let labelPath = LabelFile.path(ofImage: first.path)
    guard first.labels.isEmpty else {
      return "none of the \(boxCount) boxes has a width and a height (the first file is \(labelPath))"
    }
    let others = leftOut.first.map {
      "; \(leftOut.count) of \(images.count + leftOut.count) images are left out, the first because of \($0.reason)"
    }
    return "there is no box: the labels of \(first.path) were looked for in \(labelPath)\(others ?? "")"
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
  /// The contents of `train` and `val`, with boxes to learn from and to measure on.
  /// - Throws: `DatasetError` as `contents` does, and if `train` or `val` is missing or has no box.
  public func trainingContents(checking check: ImageCheck? = nil) throws(DatasetError) -> [Split: DatasetContents] {
    var contents: [Split: DatasetContents] = [:]
    for split in [Split.train, .val] {
      let found = try self.contents(of: split, checking: check)
      if let problem = found.boxProblem { throw DatasetError("\(file): split ‘\(split.rawValue)’: \(problem)") }
      contents[split] = found
    }
    return contents
  }

  /// Finds the images of a split, reads the head of each (for its size) and its label file. Nothing is written: there
  /// is no `.cache` file.
  /// - Parameter check: finds images whose bodies are damaged; nil: that is known already, or does not matter.
  /// - Throws: `DatasetError` if the split is not described or not there, has no usable image or has a class index that
  ///   `data.yaml` does not name.
  public func contents(
    of split: Split, checking check: ImageCheck? = nil
  ) throws(DatasetError) -> DatasetContents {
    if let problem = absent[split] { throw problem }
    guard let sources = sources[split] else { throw DatasetError("\(file): there is no ‘\(split.rawValue)’ split") }
    var found = FoundImages()
    for source in sources { try find(in: source, &found) }
    var result = DatasetContents(images: [], leftOut: found.leftOut)
    var indices: [FileIdentity: Int] = [:]
    let paths = Set(found.paths.map { Array($0.utf8) }).map { String(decoding: $0, as: UTF8.self) }
    result.repeatedNames = found.paths.count - paths.count
    for path in paths.sorted(by: precedes) {
      do {
        guard let status = try status(of: path) else { throw DatasetError("\(path): there is no such file") }
        guard status.isRegularFile else { throw DatasetError("\(path): a folder, device or pipe instead of an image") }
        let labels = try LabelFile.read(LabelFile.path(ofImage: path), classCount: classCount)
        if let index = indices[FileIdentity(status)] {
          try result.images[index].takeName(path, labels.labels)
          result.repeatedNames += 1
          continue
        }
        let size = try ImageFile.size(ofFile: path)
        guard size.width > 9, size.height > 9 else {
          throw DatasetError("\(path): \(size.width)×\(size.height) pixels; images have to be larger than 9×9")
        }
        result.duplicateRows += labels.duplicateRows
        indices[FileIdentity(status)] = result.images.count
        result.images.append(
          LabelledImage(path: path, width: size.width, height: size.height, labels: labels.labels))
      } catch let error as UnknownClass {
        throw error.problem
      } catch {
        let reason = error as? DatasetError ?? DatasetError("\(path): \(error.words)")
        result.leftOut.append(LeftOutImage(path: path, reason: reason))
      }
    }
    result.images.sort { precedes($0.path, $1.path) }
    result.leftOut.sort { precedes($0.path, $1.path) }
    try check?.apply(to: &result, of: split)
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
    var found = FoundImages()
    for source in sources.values.joined() { try? find(in: source, &found) }
    return [file] + sources.values.joined() + found.paths + found.paths.map(LabelFile.path)
  }

  private struct FoundImages {
    /// In no order; the same one may be there several times.
    var paths: [String] = []
    var leftOut: [LeftOutImage] = []
  }

  /// Finds the image files of a folder (with its subfolders), or those a list file names, or the one image itself.
  private func find(in source: String, _ found: inout FoundImages) throws(DatasetError) {
    if isFolder(source) {
      try Self.find(inFolder: source, below: [], &found)
    } else if ImageFile.hasPictureEnding(source) {
      found.paths.append(source)
    } else {
      try find(listedIn: source, &found)
    }
  }

  /// - Parameter ancestors: the folders above, into which a link may lead back.
  private static func find(
    inFolder folder: String, below ancestors: [FileIdentity], _ found: inout FoundImages
  ) throws(DatasetError) {
    guard ancestors.count < 32 else { throw DatasetError("\(folder): more than 32 folders deep") }
    guard let identity = try status(of: folder).map(FileIdentity.init), !ancestors.contains(identity) else { return }
    for name in try names(inFolder: folder) {
      let path = "\(folder)/\(name)"
      var isFolder = false
      do { isFolder = try status(of: path)?.isFolder ?? false } catch {
        found.leftOut.append(LeftOutImage(path: path, reason: error))
        continue
      }
      if isFolder {
        try find(inFolder: path, below: ancestors + [identity], &found)
      } else if ImageFile.hasPictureEnding(path) {
        found.paths.append(path)
      }
    }
  }

  /// One path a line. `./` means the folder of the list file, as in YOLOv5; other relative paths mean that folder or
  /// the folder of `data.yaml`, whichever has them. Lines that begin with `#` are comments.
  private func find(listedIn listFile: String, _ found: inout FoundImages) throws(DatasetError) {
    let bytes = try utf8Content(try Dataset.contents(of: listFile, atMost: 1 << 28), file: listFile)
    let listFolder = folder(of: listFile) ?? "."
    let blanks = Set(" \t\r".utf8)
    for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
      let end = line.lastIndex { !blanks.contains($0) }.map { $0 + 1 } ?? line.startIndex
      let name = fileName(line[..<end].drop(while: blanks.contains))
      guard ImageFile.hasPictureEnding(name) else {
        guard !name.isEmpty, !name.hasPrefix("#") else { continue }
        let reason = DatasetError("\(listFile):\(index + 1): ‘\(name.shortened())’ does not end like an image's name")
        found.leftOut.append(LeftOutImage(path: name, reason: reason))
        continue
      }
      let bases = name.hasPrefix("./") ? [listFolder] : [listFolder, folder(of: file) ?? "."]
      let candidates = Self.places(of: name, in: bases)
      found.paths.append(candidates.first { !isMissing($0) } ?? candidates[0])
    }
  }
}

extension LabelledImage {
  /// Learns of another name of the same file. A name without labels is a name and no more.
  /// - Throws: `DatasetError` if both names have labels, and not the same.
  fileprivate mutating func takeName(_ other: String, _ otherLabels: [Label]) throws(DatasetError) {
    guard !otherLabels.isEmpty, otherLabels != labels else { return }
    guard labels.isEmpty else { throw DatasetError("\(other): the same file as \(path), with other labels; keep one") }
    (path, labels) = (other, otherLabels)
  }
}
