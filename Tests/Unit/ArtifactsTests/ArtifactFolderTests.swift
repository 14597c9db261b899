import Artifacts
import Bytes
import Foundation
import Testing

@Suite struct ArtifactFolderTests {
  let temporary: TemporaryFolder
  let folder: ArtifactFolder
  let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* $0 &>> 7) }

  init() throws {
    temporary = try TemporaryFolder()
    folder = try ArtifactFolder(temporary.path + "/artifacts")
  }

  @Test func adoptsAFileUnderItsHash() throws {
    try Files.writeDurably(bytes, to: temporary.path + "/model")
    let (digest, byteCount) = try folder.adopt(temporary.path + "/model")
    #expect(try digest == Digest(of: bytes.span) && byteCount == bytes.count)
    #expect(try Files.read(folder.location(of: digest)) == bytes)
    // The stage may put its next file in place of the old one.
    try Files.writeDurably([1], to: temporary.path + "/model")
    try folder.verify(digest)
    #expect(try folder.entries().map(\.digest) == [digest])
  }

  @Test func goesOnWithWhatHasArrived() throws {
    let digest = try Digest(of: bytes.span)
    do {
      let first = try folder.receive(digest, byteCount: bytes.count)
      try first.append(Array(bytes[..<100_000]).span)
    }
    let second = try folder.receive(digest, byteCount: bytes.count)
    #expect(second.offset == 100_000)
    try second.append(Array(bytes[100_000...]).span)
    try folder.install(second)
    try folder.verify(digest)
    #expect(folder.byteCount(of: digest) == bytes.count)
  }

  @Test func refusesWrongBytesAndBeginsAnew() throws {
    let digest = try Digest(of: bytes.span)
    do {
      let partial = try folder.receive(digest, byteCount: bytes.count)
      var damaged = bytes
      damaged[200_000] ^= 1
      try partial.append(damaged.span)
      #expect(throws: ArtifactsError.self) { try folder.install(partial) }
    }
    #expect(folder.byteCount(of: digest) == nil)
    #expect(try folder.receive(digest, byteCount: bytes.count).offset == 0)
  }

  @Test func refusesMoreBytesThanAnnounced() throws {
    let partial = try folder.receive(try Digest(of: bytes.span), byteCount: 10)
    #expect(throws: ArtifactsError.self) { try partial.append(bytes.span) }
  }

  @Test func twoReceiversDoNotMeet() throws {
    let digest = try Digest(of: bytes.span)
    let first = try folder.receive(digest, byteCount: bytes.count)
    try first.append(Array(bytes[..<10]).span)
    let second = try folder.receive(digest, byteCount: bytes.count)
    #expect(second.offset == 0)
    try second.append(bytes.span)
    try folder.install(second)
    try first.append(Array(bytes[10...]).span)
    try folder.install(first)
    try folder.verify(digest)
  }

  @Test func findsAndRemovesADamagedArtifact() throws {
    try Files.writeDurably(bytes, to: temporary.path + "/model")
    let (digest, _) = try folder.adopt(temporary.path + "/model")
    var damaged = bytes
    damaged[5] ^= 0x80
    try Files.writeDurably(damaged, to: folder.location(of: digest))
    #expect { try folder.verify(digest) } throws: { "\($0)".contains(digest.description) }
    #expect(folder.byteCount(of: digest) == nil)
  }

  @Test func forgetsTheLongestUnusedFirst() throws {
    var hashes: [Digest] = []
    for index in 0..<4 {
      try Files.writeDurably([UInt8](repeating: UInt8(index), count: 100), to: temporary.path + "/f\(index)")
      let digest = try folder.adopt(temporary.path + "/f\(index)").digest
      let past = Date(timeIntervalSince1970: 1_000_000 + Double(index))
      try FileManager.default.setAttributes([.modificationDate: past], ofItemAtPath: folder.location(of: digest))
      hashes.append(digest)
    }
    folder.touch(hashes[1])
    #expect(try folder.trim(toByteCount: 200, keeping: [hashes[0]]) == 200)
    #expect(Set(try folder.entries().map(\.digest)) == [hashes[0], hashes[1]])
  }
}
