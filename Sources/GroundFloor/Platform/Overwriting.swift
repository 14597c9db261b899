import Foundation

/// An output that would destroy something.
public struct OverwritingError: Error, Equatable, CustomStringConvertible {
  public let description: String

  public init(_ description: String) { self.description = description }
}

/// The rule of what a command may write over: nothing that it reads, by whatever name or link, no other output of its
/// own, and nothing but plain files.
/// - Parameters:
///   - outputs: files that will be written, whether they exist yet or not.
///   - inputs: files that are read. They are looked at only if an output exists.
/// - Throws: `OverwritingError` that names the output and what it would destroy.
public func refuseOverwriting(_ outputs: [String], ofInputs inputs: @autoclosure () throws -> [String]) throws {
  var places: [FilePlace: String] = [:]
  for output in outputs {
    let place = FilePlace(output)
    if let other = places.updateValue(output, forKey: place) {
      throw OverwritingError(
        "\(other) and \(output) would be written to the same file; choose another name for one")
    }
    try place.requirePlain(output)
  }
  guard places.keys.contains(where: \.exists) else { return }
  let files = InputFiles(try inputs())
  for output in outputs { try files.refuseOverwriting(output) }
}

/// The files that a command reads, to be asked before each write.
public struct InputFiles: Sendable {
  private let paths: [FilePlace: String]

  /// - Parameter paths: files; those that are not there yet count as well.
  public init(_ paths: [String]) {
    self.paths = Dictionary(paths.map { (FilePlace($0), $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// - Throws: `OverwritingError` if `output` is one of the files, or something other than a plain file.
  public func refuseOverwriting(_ output: String) throws {
    let place = FilePlace(output)
    try place.requirePlain(output)
    guard let input = paths[place] else { return }
    let what = output == input ? "is read" : "is the same file as \(input), which is read"
    throw OverwritingError("\(output): \(what), and would be written over; choose another output")
  }
}

/// Refuses to write into a folder that belongs to the inputs.
/// - Throws: `OverwritingError` if `folder` is, by whatever name or link, one of `folders`.
public func refuseOutputFolder(_ folder: String, amongInputs folders: some Sequence<String>) throws {
  let place = FilePlace(folder)
  guard place.exists else { return }
  for other in folders where FilePlace(other) == place {
    let what = other == folder ? "belongs to" : "is the folder \(other), which belongs to"
    throw OverwritingError(
      "\(folder): \(what) what is read, and files in it would be written over; choose another output")
  }
}

/// Where a path leads: two paths are one file if their places are equal. Names are bytes: two spellings of one letter,
/// which Swift's strings hold for equal, make two files.
private enum FilePlace: Hashable, Sendable {
  case existing(device: UInt, inode: UInt, isPlain: Bool)
  /// A name that is free in a folder.
  case free(device: UInt, inode: UInt, name: [UInt8])
  /// The folder is not there either.
  case nowhere(path: [UInt8])

  init(_ path: String) {
    if let status = Self.status(path) {
      let isPlain = status.st_mode & S_IFMT == S_IFREG
      self = .existing(device: UInt(status.st_dev), inode: UInt(status.st_ino), isPlain: isPlain)
      return
    }
    let url = URL(filePath: path)
    if let folder = Self.status(url.deletingLastPathComponent().path) {
      self = .free(device: UInt(folder.st_dev), inode: UInt(folder.st_ino), name: Array(url.lastPathComponent.utf8))
    } else {
      self = .nowhere(path: Array(url.standardizedFileURL.path.utf8))
    }
  }

  func requirePlain(_ path: String) throws {
    guard case .existing(_, _, isPlain: false) = self else { return }
    throw OverwritingError("\(path): is a folder or a device; name a file to write")
  }

  var exists: Bool { if case .existing = self { true } else { false } }

  /// Returns the status of the file that a path leads to, links followed.
  private static func status(_ path: String) -> stat? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? status : nil
  }
}
