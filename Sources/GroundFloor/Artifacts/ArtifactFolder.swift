import Bytes
import Foundation
import Glibc

/// A folder of immutable files, each named by the SHA-256 of its bytes: `ab/cdef…`. A file is there wholly and with the
/// right bytes, or not at all; what has arrived in part waits under `partial/`, to be gone on with, and what was found
/// damaged lies under `damaged/`.
///
/// Its calls block; several processes and threads may use one folder.
public struct ArtifactFolder: Sendable {
  public let path: String
  /// Whether what is stored must survive a power cut. A cache may do without, and checks what it finds.
  public let isDurable: Bool

  public init(_ path: String, isDurable: Bool = true) throws {
    self.path = path
    self.isDurable = isDurable
    try Files.createFolder(path + "/partial")
  }

  public func location(of digest: Digest) -> String {
    let hex = digest.description
    return "\(path)/\(hex.prefix(2))/\(hex.dropFirst(2))"
  }

  /// Size in bytes, `nil` when it is not here.
  public func byteCount(of digest: Digest) -> Int? { Files.byteCount(location(of: digest)) }

  /// The bytes that are free on its disk for this user.
  public var freeByteCount: Int {
    get throws {
      var status = statvfs()
      guard unsafe statvfs(path, &status) == 0 else { throw ArtifactsError.lastSystemError("statvfs", path) }
      return Int(
        clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    }
  }

  /// Reads the artifact through.
  /// - Throws: `hashMismatch` after removing a damaged one.
  public func verify(_ digest: Digest) throws {
    let found = try Digest(ofFile: location(of: digest))
    if found == digest { return }
    try remove(digest)
    throw ArtifactsError.hashMismatch(subject: location(of: digest), expected: digest, found: found)
  }

  /// Moves a damaged artifact out of the way, into `damaged/`, where people may look at it.
  /// - Parameter file: the damaged file, open. If another one has taken its place in the meantime, nothing happens.
  public func setAside(_ digest: Digest, found file: borrowing FileDescriptor) throws {
    var named = stat()
    guard unsafe stat(location(of: digest), &named) == 0, try named.st_ino == file.status().st_ino else { return }
    try Files.createFolder(path + "/damaged")
    try Files.moveDurably(location(of: digest), to: "\(path)/damaged/\(digest)")
  }

  public func remove(_ digest: Digest) throws { try Files.remove(location(of: digest)) }

  /// Makes the file at `source` an artifact. It stays where it is, and must not be written to any more.
  public func adopt(_ source: String) throws -> (digest: Digest, byteCount: Int) {
    let temporary = "\(path)/partial/adopted-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    defer { try? Files.remove(temporary) }
    // A second name for the same bytes costs nothing; where the file system has none, they are copied.
    if unsafe link(source, temporary) != 0 {
      guard errno != ENOENT else { throw ArtifactsError.lastSystemError("link", source) }
      try FileManager.default.copyItem(atPath: source, toPath: temporary)
    }
    let digest = try Digest(ofFile: temporary)
    let count = try FileDescriptor(temporary, .read).byteCount
    if byteCount(of: digest) == nil { try install(temporary, as: digest) }
    return (digest, count)
  }

  /// Begins, or goes on, to receive an artifact.
  public func receive(_ digest: Digest, byteCount: Int) throws -> PartialFile {
    let name = "\(path)/partial/\(digest)"
    if try FileDescriptor(name, .update).lockExclusively() {
      return try PartialFile(name, digest: digest, byteCount: byteCount)
    }
    // Somebody else is receiving the same bytes, or a dead connection still holds them: take a place of our own.
    let own = "\(name)-\(UInt64.random(in: 0 ... .max))"
    return try PartialFile(own, digest: digest, byteCount: byteCount, isKept: false)
  }

  /// Makes a whole, verified file an artifact.
  public func install(_ file: PartialFile) throws {
    try file.verify(isDurable: isDurable)
    try install(file.path, as: file.digest, isSynchronized: isDurable)
  }

  private func install(_ file: String, as digest: Digest, isSynchronized: Bool = false) throws {
    let destination = location(of: digest)
    try Files.createFolder(Files.parent(of: destination))
    if isDurable {
      if !isSynchronized { try FileDescriptor(file, .read).synchronize() }
      try Files.moveDurably(file, to: destination)
    } else {
      guard unsafe rename(file, destination) == 0 else { throw ArtifactsError.lastSystemError("rename", destination) }
    }
  }
}

extension ArtifactFolder {
  public struct Entry: Hashable, Sendable {
    public let digest: Digest
    public let byteCount: Int
    /// Seconds since 1970 of its arrival or last `touch`.
    public let lastUse: Int
  }

  /// Everything here, by name.
  public func entries() throws -> [Entry] {
    var entries: [Entry] = []
    for folder in try FileManager.default.contentsOfDirectory(atPath: path).sorted() where folder.utf8.count == 2 {
      for name in try FileManager.default.contentsOfDirectory(atPath: "\(path)/\(folder)").sorted() {
        var status = stat()
        guard let digest = Digest(folder + name), unsafe stat(location(of: digest), &status) == 0 else {
          continue
        }
        entries.append(Entry(digest: digest, byteCount: status.st_size, lastUse: status.st_mtim.tv_sec))
      }
    }
    return entries
  }

  /// Removes damaged artifacts set aside, and transfers that nobody goes on with, if nothing has happened to them since
  /// then.
  /// - Parameter moment: seconds since 1970.
  /// - Returns: how many bytes that frees.
  public func removeLeftovers(before moment: Int, isDryRun: Bool) throws -> Int {
    var freed = 0
    for folder in ["partial", "damaged"].map({ "\(path)/\($0)" }) where Files.isFolder(folder) {
      for name in try Files.names(in: folder) {
        let path = "\(folder)/\(name)"
        var status = stat()
        guard unsafe stat(path, &status) == 0, status.st_ctim.tv_sec < moment else { continue }
        let file = try FileDescriptor(path, .update)
        guard try file.lockExclusively() else { continue }  // Somebody is receiving into it.
        if !isDryRun { try Files.remove(path) }
        freed += status.st_size
      }
    }
    return freed
  }

  /// Marks an artifact as used now.
  public func touch(_ digest: Digest) { _ = unsafe utimes(location(of: digest), nil) }

  /// Removes the artifacts that were not used for longest until at most `limit` bytes are left. Those in `kept` stay.
  /// - Returns: how many bytes were freed.
  @discardableResult
  public func trim(toByteCount limit: Int, keeping kept: Set<Digest>) throws -> Int {
    let entries = try entries()
    var total = entries.reduce(0) { $0 + $1.byteCount }
    var freed = 0
    for entry in entries.sorted(by: { ($0.lastUse, $0.digest) < ($1.lastUse, $1.digest) }) {
      if total <= limit { break }
      if kept.contains(entry.digest) { continue }
      try remove(entry.digest)
      total -= entry.byteCount
      freed += entry.byteCount
    }
    return freed
  }
}

/// A file that arrives piece by piece, and whose hash is known before.
public final class PartialFile {
  public let path: String
  public let digest: Digest
  public let byteCount: Int
  /// How many bytes are here; the next piece begins there.
  public private(set) var offset: Int
  private let isKept: Bool
  private let file: FileDescriptor
  private let hasher: SHA256
  /// How much of it the disk has been told to write.
  private var handedOver = 0
  private static let handOver = 8 << 20

  /// Creates the file, or goes on with what an earlier attempt left. Holds the file's lock as long as it lives.
  /// - Parameter isKept: whether an incomplete file stays for the next attempt.
  public init(_ path: String, digest: Digest, byteCount: Int, isKept: Bool = true) throws {
    self.path = path
    self.digest = digest
    self.byteCount = byteCount
    self.isKept = isKept
    file = try FileDescriptor(path, .update)
    hasher = try SHA256()
    offset = 0
    // Between opening and locking, another receiver may have completed the file and moved it to its place.
    var named = stat()
    guard try file.lockExclusively(), unsafe stat(path, &named) == 0, try named.st_ino == file.status().st_ino else {
      throw ArtifactsError.system(call: "flock", path: path, errno: EWOULDBLOCK)
    }
    if try file.byteCount > byteCount { try file.truncate(toByteCount: 0) }
    while true {
      let piece = try file.read(upToCount: 1 << 20)
      if piece.isEmpty { break }
      try hasher.update(piece.span)
      offset += piece.count
    }
  }

  deinit { if !isKept { try? Files.remove(path) } }

  /// - Throws: also when the bytes are more than were announced.
  public func append(_ bytes: Span<UInt8>) throws {
    guard bytes.count <= byteCount - offset else {
      throw ArtifactsError.compression("more than the announced \(byteCount) bytes of \(digest)")
    }
    try hasher.update(bytes)
    try file.write(bytes)
    offset += bytes.count
    if offset - handedOver >= Self.handOver {
      file.beginWriting(handedOver..<offset)
      handedOver = offset
    }
  }

  /// Checks that everything has arrived and is what was asked for.
  /// - Throws: `hashMismatch` after emptying the file, so that the next attempt begins anew.
  public func verify(isDurable: Bool) throws {
    let found = try hasher.digest()
    guard offset == byteCount, found == digest else {
      try file.truncate(toByteCount: 0)
      throw ArtifactsError.hashMismatch(subject: path, expected: digest, found: found)
    }
    if isDurable { try file.synchronize() }
  }
}
