import Artifacts
import Bytes
import Foundation
import Testing

/// A folder that lives as long as the test.
final class TemporaryFolder {
  let path = NSTemporaryDirectory() + "greensweep-" + UUID().uuidString
  init() throws { try Files.createFolder(path) }
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

@Suite struct DigestTests {
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
  ])
  func agreesWithThePublishedVectors(text: String, digest: String) throws {
    #expect(try Digest(of: Array(text.utf8).span).description == digest)
  }

  @Test func isTheSameInPiecesAndFromAFile() throws {
    let folder = try TemporaryFolder()
    let bytes = (0..<2_500_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let whole = try Digest(of: bytes.span)
    let hasher = try SHA256()
    for start in stride(from: 0, to: bytes.count, by: 777_777) {
      try hasher.update(Array(bytes[start..<min(start + 777_777, bytes.count)]).span)
    }
    #expect(try hasher.digest() == whole)
    try Files.writeDurably(bytes, to: folder.path + "/file")
    #expect(try Digest(ofFile: folder.path + "/file") == whole)
  }

  @Test func readsOnlyLowercaseHexadecimal() throws {
    let digest = try Digest(of: [1, 2, 3].span)
    #expect(Digest(digest.description) == digest)
    #expect(Digest(digest.description.uppercased()) == nil)
    #expect(Digest(digest.description.dropLast()) == nil)
    #expect(Digest("../" + digest.description.dropLast(3)) == nil)
    #expect(throws: (any Error).self) { try JSONDecoder().decode([Digest].self, from: Data(#"["zz"]"#.utf8)) }
    #expect(try JSONDecoder().decode([Digest].self, from: JSONEncoder().encode([digest])) == [digest])
  }

  @Test func sortsLikeItsText() throws {
    let hashes = try (0..<50).map { try Digest(of: [UInt8($0)].span) }
    #expect(hashes.sorted().map(\.description) == hashes.map(\.description).sorted())
  }
}

@Suite struct ZstdTests {
  let text = [UInt8](String(repeating: "detectors for the greenhouse, ", count: 4000).utf8)

  @Test func givesBackWhatItTook() throws {
    let encoder = try ZstdEncoder()
    let decoder = try ZstdDecoder()
    for bytes in [[], [7], text] {
      let frame = try encoder.compress(bytes.span)
      #expect(try decoder.decompress(frame.span, maximumByteCount: bytes.count) == bytes)
    }
    #expect(try encoder.compress(text.span).count < text.count / 20)
  }

  @Test func refusesWhatWouldGrowBeyondTheLimit() throws {
    let frame = try ZstdEncoder().compress(text.span)
    #expect(throws: ArtifactsError.self) {
      try ZstdDecoder().decompress(frame.span, maximumByteCount: text.count - 1)
    }
  }

  @Test func noticesEveryFlippedByte() throws {
    let frame = try ZstdEncoder().compress(text.span)
    let decoder = try ZstdDecoder()
    for index in frame.indices {
      var damaged = frame
      damaged[index] ^= 0x55
      if let content = try? decoder.decompress(damaged.span, maximumByteCount: 1 << 20) { #expect(content == text) }
    }
    for length in 0..<frame.count {
      #expect(throws: ArtifactsError.self) {
        try decoder.decompress(Array(frame[..<length]).span, maximumByteCount: 1 << 20)
      }
    }
  }
}

@Suite struct FilesTests {
  @Test func replacesAFileWhollyAndPrivately() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/a/b"
    try Files.createFolder(folder.path + "/a")
    try Files.writeDurably([1, 2, 3], to: path)
    try Files.writeDurably([4, 5], to: path)
    #expect(try Files.read(path) == [4, 5])
    let mode = try FileDescriptor(path, .read).status().st_mode
    #expect(mode & 0o777 == 0o600)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/a") == ["b"])
  }

  @Test func namesThePathThatFails() throws {
    let missing = "/nonexistent-\(UUID().uuidString)/file"
    #expect { try Files.read(missing) } throws: { "\($0)".contains(missing) }
    #expect(throws: ArtifactsError.self) { try Files.writeDurably([1], to: missing) }
  }

  @Test func refusesAFileLongerThanAllowed() throws {
    let folder = try TemporaryFolder()
    try Files.writeDurably([1, 2, 3], to: folder.path + "/f")
    #expect(throws: ArtifactsError.self) { try Files.read(folder.path + "/f", maximumByteCount: 2) }
    #expect(try Files.read(folder.path + "/f", maximumByteCount: 3) == [1, 2, 3])
  }

  @Test func aLockExcludesEverybodyElse() throws {
    let folder = try TemporaryFolder()
    do {
      let first = try FileDescriptor(folder.path + "/lock", .update)
      #expect(try first.lockExclusively())
      #expect(try FileDescriptor(folder.path + "/lock", .update).lockExclusively() == false)
      _ = try first.byteCount
    }
    #expect(try FileDescriptor(folder.path + "/lock", .update).lockExclusively())
  }
}
