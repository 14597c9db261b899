import Bytes
import Glibc

/// Reads an artifact and checks it while reading: the last piece is given only if all bytes are the right ones.
///
/// A damaged artifact, or one that the disk cannot read any more, is set aside before the error is thrown
/// (`ArtifactsError.isDamage`).
public final class ArtifactReader {
  public let byteCount: Int
  private let folder: ArtifactFolder
  private let digest: Digest
  private let file: FileDescriptor
  private let hasher: SHA256
  private var offset = 0
  private let start: Int
  private var isChecked = false

  /// - Parameter start: where to begin; what comes before is read all the same, to be checked.
  public init(_ digest: Digest, in folder: ArtifactFolder, from start: Int = 0) throws {
    self.folder = folder
    self.digest = digest
    self.start = start
    file = try FileDescriptor(folder.location(of: digest), .read)
    byteCount = try file.byteCount
    hasher = try SHA256()
  }

  /// The next bytes: at most `count`, fewer only at the end.
  public func next(upToCount count: Int) throws -> [UInt8] {
    do {
      while offset < start { _ = try read(upToCount: min(1 << 20, start - offset)) }
      return try read(upToCount: count)
    } catch let error as ArtifactsError where error.isDamage {
      try folder.setAside(digest, found: file)
      throw error
    }
  }

  /// Reads what is left, only to check it.
  public func finish() throws { while try !next(upToCount: 1 << 20).isEmpty {} }

  private func read(upToCount count: Int) throws -> [UInt8] {
    let piece = try file.read(upToCount: count)
    try hasher.update(piece.span)
    offset += piece.count
    if offset >= byteCount || piece.isEmpty { try check() }
    return piece
  }

  private func check() throws {
    if isChecked { return }
    let found = try hasher.digest()
    guard found == digest else {
      throw ArtifactsError.hashMismatch(subject: folder.location(of: digest), expected: digest, found: found)
    }
    isChecked = true
  }
}
