import Glibc

/// Files and folders as the fleet needs them: private to the user, and either wholly there or not at all.
/// Every `unsafe` here passes Swift strings as C strings, which live through the call.
public enum Files {
  /// Replaces the file at `path` (mode 0600) by `bytes` so that after a crash at any moment it holds either the old or
  /// the new contents, and returns when the new ones are on the disk.
  public static func writeDurably(_ bytes: [UInt8], to path: String) throws {
    let temporary = "\(path).tmp-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    do {
      let file = try FileDescriptor(temporary, .createNew)
      try file.write(bytes.span)
      try file.synchronize()
      try moveDurably(temporary, to: path)
    } catch {
      _ = unsafe unlink(temporary)
      throw error
    }
  }

  /// Renames within one file system and returns when the new name is on the disk. The contents must be there already.
  public static func moveDurably(_ source: String, to destination: String) throws {
    guard unsafe rename(source, destination) == 0 else { throw ArtifactsError.lastSystemError("rename", destination) }
    try synchronizeFolder(parent(of: destination))
  }

  /// The file's bytes.
  /// - Throws: also when the file is longer than `maximumByteCount`.
  public static func read(_ path: String, maximumByteCount: Int = 1 << 30) throws -> [UInt8] {
    let file = try FileDescriptor(path, .read)
    let bytes = try file.read(upToCount: min(try file.byteCount, maximumByteCount) + 1)
    guard bytes.count <= maximumByteCount else {
      throw ArtifactsError.system(call: "read (longer than \(maximumByteCount) bytes)", path: path, errno: EFBIG)
    }
    return bytes
  }

  /// Creates the folder and its missing parents, readable by this user only (0700).
  public static func createFolder(_ path: String) throws {
    if isFolder(path) { return }
    let parent = parent(of: path)
    if parent != path { try createFolder(parent) }
    guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else { throw ArtifactsError.lastSystemError("mkdir", path) }
    try synchronizeFolder(parent)
  }

  public static func synchronizeFolder(_ path: String) throws {
    try FileDescriptor(path, .read).synchronize()
  }

  public static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  public static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// The names in the folder, in no order.
  public static func names(in path: String) throws -> [String] {
    guard let folder = unsafe opendir(path) else { throw ArtifactsError.lastSystemError("opendir", path) }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    // An entry lives until the next call; its name ends with a zero.
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  /// Size of the file in bytes, `nil` when there is none.
  public static func byteCount(_ path: String) -> Int? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? status.st_size : nil
  }

  /// Removes one file; a missing one is fine.
  public static func remove(_ path: String) throws {
    guard unsafe unlink(path) == 0 || errno == ENOENT else { throw ArtifactsError.lastSystemError("unlink", path) }
  }

  /// The processes that hold a lock on the file, as far as this one may know them.
  public static func lockHolders(of path: String) -> [Int] {
    var status = stat()
    guard unsafe stat(path, &status) == 0, let file = try? FileDescriptor("/proc/locks", .read),
      let bytes = try? file.read(upToCount: 1 << 20)
    else { return [] }
    // `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      guard words.count > 5, words[5].split(separator: ":").last == "\(status.st_ino)" else { return nil }
      return Int(words[4])
    }
  }

  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
