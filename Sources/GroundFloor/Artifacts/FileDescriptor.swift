import Glibc
import Synchronization

/// An open file, closed when this value ends. A choke point: every failing call becomes an error that names the path.
public struct FileDescriptor: ~Copyable, Sendable {
  public enum Mode: Sendable {
    case read
    /// Read and write, created (0600) when missing, contents kept.
    case update
    /// Write, created (0600); fails when the file exists.
    case createNew

    var flags: CInt {
      switch self {
      case .read: O_RDONLY | O_CLOEXEC
      case .update: O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW
      case .createNew: O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW
      }
    }
  }

  public let rawValue: CInt
  public let path: String
  private let isLocked = Atomic(false)

  public init(_ path: String, _ mode: Mode) throws {
    let rawValue = unsafe open(path, mode.flags, 0o600)  // Strings become C strings that live through the call.
    guard rawValue >= 0 else { throw ArtifactsError.lastSystemError("open", path) }
    self.rawValue = rawValue
    self.path = path
  }

  deinit {
    // A child that is just being started has a copy of the descriptor for a moment, and with it the lock.
    if isLocked.load(ordering: .relaxed) { flock(rawValue, LOCK_UN) }
    close(rawValue)
  }

  /// The next bytes: at most `count`, fewer only at the end of the file.
  public func read(upToCount count: Int) throws -> [UInt8] {
    try unsafe fill(count) { buffer, done in
      unsafe Glibc.read(rawValue, buffer.baseAddress! + done, count - done)  // `done` stays below `count`.
    }
  }

  /// The bytes at `offset`: at most `count`, fewer only at the end of the file.
  public func read(upToCount count: Int, at offset: Int) throws -> [UInt8] {
    try unsafe fill(count) { buffer, done in
      unsafe pread(rawValue, buffer.baseAddress! + done, count - done, offset + done)  // `done` stays below `count`.
    }
  }

  public func write(_ bytes: Span<UInt8>) throws {
    try unsafe bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let count = unsafe Glibc.write(rawValue, buffer.baseAddress! + done, buffer.count - done)
        if count < 0 && errno == EINTR { continue }
        guard count >= 0 else { throw ArtifactsError.lastSystemError("write", path) }
        done += count
      }
    }
  }

  public func truncate(toByteCount count: Int) throws {
    guard ftruncate(rawValue, count) == 0 else { throw ArtifactsError.lastSystemError("ftruncate", path) }
  }

  public func status() throws -> stat {
    var status = stat()
    guard unsafe fstat(rawValue, &status) == 0 else { throw ArtifactsError.lastSystemError("fstat", path) }
    return status
  }

  public var byteCount: Int { get throws { try status().st_size } }

  /// Returns when the contents are on the disk.
  public func synchronize() throws {
    guard fsync(rawValue) == 0 else { throw ArtifactsError.lastSystemError("fsync", path) }
  }

  /// Lets the disk begin with these bytes, so that `synchronize` finds little left to wait for. Only a hint.
  public func beginWriting(_ bytes: Range<Int>) {
    // Linux starts to write what is dirty, and keeps it in memory until it is written.
    _ = posix_fadvise(rawValue, bytes.lowerBound, bytes.count, POSIX_FADV_DONTNEED)
  }

  /// Takes the file's advisory lock; `false` when another process (or another descriptor) holds it.
  public func lockExclusively() throws -> Bool {
    if flock(rawValue, LOCK_EX | LOCK_NB) == 0 {
      isLocked.store(true, ordering: .relaxed)
      return true
    }
    guard errno == EWOULDBLOCK else { throw ArtifactsError.lastSystemError("flock", path) }
    return false
  }

  private func fill(
    _ count: Int, _ next: (UnsafeMutableBufferPointer<UInt8>, Int) -> Int
  ) throws -> [UInt8] {
    guard count > 0 else { return [] }
    return try unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
      while done < count {
        let got = unsafe next(buffer, done)
        if got < 0 && errno == EINTR { continue }
        guard got >= 0 else { throw ArtifactsError.lastSystemError("read", path) }
        if got == 0 { break }
        done += got
      }
    }
  }
}
