import Bytes
import Foundation
import Wording

// Files of a data set by the bytes of their names. Two names that are equal only after Unicode normalisation are two
// files, so names are compared, sorted and kept in sets as UTF-8. A name that is no UTF-8 text is written with `\xE9`
// for each byte beyond ASCII, in messages and in paths; whatever opens a file understands that.

/// The identity of a file, whatever names, lists and links lead to it. Size and time are part of it because some file
/// systems give several files one number.
struct FileIdentity: Hashable {
  private let device: UInt
  private let number: UInt
  private let size: Int
  private let seconds: Int
  private let nanoseconds: Int

  init(_ status: stat) {
    device = status.st_dev
    number = status.st_ino
    size = status.st_size
    seconds = status.st_mtim.tv_sec
    nanoseconds = status.st_mtim.tv_nsec
  }
}

extension stat {
  var isFolder: Bool { st_mode & S_IFMT == S_IFDIR }
  /// Neither a folder nor a device or pipe, which may have no end.
  var isRegularFile: Bool { st_mode & S_IFMT == S_IFREG }
}

/// The status of a file or folder; nil only if there is nothing of that name.
/// - Throws: `DatasetError` if that cannot be known: for a link that leads nowhere, at the end of the path or within
///   it, or a folder that may not be searched.
func status(of path: String) throws(DatasetError) -> stat? {
  var status = stat()
  if unsafe stat(systemPath(path), &status) == 0 { return status }
  guard errno == ENOENT else { throw DatasetError("\(path): cannot be read: \(systemReason(errno))") }
  var place = path
  while unsafe lstat(systemPath(place), &status) != 0, let above = folder(of: place) { place = above }
  guard status.st_mode & S_IFMT == S_IFLNK, unsafe stat(systemPath(place), &status) != 0 else { return nil }
  throw DatasetError(
    "\(path): cannot be read: \(place == path ? "it" : place) is a link that leads nowhere; fetch what it stands for")
}

func isFolder(_ path: String) -> Bool { (try? status(of: path))?.isFolder ?? false }

/// Whether it is certain that there is nothing of that name.
func isMissing(_ path: String) -> Bool {
  do { return try status(of: path) == nil } catch { return false }
}

/// Opens a file for reading.
func openFile(_ path: String) throws(DatasetError) -> FileHandle {
  let descriptor = unsafe open(systemPath(path), O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw DatasetError("\(path): cannot be read: \(systemReason(errno))") }
  return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
}

/// The names in a folder that are not hidden, in no order.
func names(inFolder path: String) throws(DatasetError) -> [String] {
  guard let folder = unsafe opendir(systemPath(path)) else {
    throw DatasetError("\(path): cannot be listed: \(systemReason(errno))")
  }
  defer { unsafe closedir(folder) }
  var names: [String] = []
  while true {
    errno = 0
    guard let entry = unsafe readdir(folder) else { break }
    // An entry lives until the next call; its name ends with a zero.
    let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe Array($0.prefix { $0 != 0 }) }
    if name.first != UInt8(ascii: ".") { names.append(fileName(name)) }
  }
  guard errno == 0 else { throw DatasetError("\(path): cannot be listed: \(systemReason(errno))") }
  return names
}

/// The words of the call behind the program's name. Swift's own `CommandLine.arguments` loses the bytes of file names
/// that are not UTF-8.
public var callWords: [String] {
  (1..<max(1, Int(CommandLine.argc))).compactMap { index in
    // The words live as long as the process, and end with a zero.
    unsafe CommandLine.unsafeArgv[index].map { unsafe fileName(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
  }
}

/// The text of a name or path that a folder, a list or a call holds.
func fileName(_ bytes: some Collection<UInt8>) -> String {
  if let text = String(validating: bytes, as: UTF8.self) { return text }
  return bytes.map { $0 < 0x80 ? String(UnicodeScalar($0)) : "\\x" + $0.hexDigits.uppercased() }.joined()
}

/// `path` if it is absolute, else `path` in `folder`; without `.` and `..`. A `..` behind a link leads to the folder
/// above the link's target, as everywhere in the system.
func absolute(_ path: String, in folder: String) -> String {
  let whole = path.hasPrefix("/") ? path : "\(folder)/\(path)"
  var parts: [String] = []
  for part in pathParts(whole.hasPrefix("/") ? whole : "\(FileManager.default.currentDirectoryPath)/\(whole)") {
    guard part == ".." else {
      if part != "." { parts.append(part) }
      continue
    }
    let place = "/" + parts.joined(separator: "/")
    // The result is copied before the memory is given back.
    if let real = unsafe realpath(systemPath(place), nil) {
      parts = pathParts(
        fileName(unsafe Array(UnsafeBufferPointer(start: real, count: strlen(real))).map { UInt8(bitPattern: $0) }))
      unsafe free(real)
    }
    _ = parts.popLast()
  }
  return "/" + parts.joined(separator: "/")
}

/// The last part of a path.
func lastName(of path: String) -> String { pathParts(path).last ?? path }

/// The folder in which the path lies; nil for the root and for a bare name.
func folder(of path: String) -> String? {
  guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.startIndex else { return nil }
  return String(path.utf8[..<slash])
}

/// Whether `a` comes before `b` by their bytes, which is Python's order of strings.
func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

/// By bytes: to Swift, a slash followed by an accent is another letter.
private func pathParts(_ path: String) -> [String] {
  path.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }
}

/// The bytes by which the system knows a path, ended by a zero. What is there under the very text of the path is meant,
/// else what the bytes written as `\xE9` make of it.
private func systemPath(_ path: String) -> [CChar] {
  let text = Array(path.utf8CString)
  var status = stat()
  guard path.contains("\\x"), unsafe lstat(text, &status) != 0 else { return text }
  var bytes: [CChar] = []
  var rest = path.utf8[...]
  while let byte = rest.popFirst() {
    let digits = rest.dropFirst().prefix(2)
    if byte == UInt8(ascii: "\\"), rest.first == UInt8(ascii: "x"), digits.count == 2,
      let value = UInt8(hexDigits: digits), value >= 0x80
    {
      bytes.append(CChar(bitPattern: value))
      rest = rest.dropFirst(3)
    } else {
      bytes.append(CChar(bitPattern: byte))
    }
  }
  return bytes + [0]
}
