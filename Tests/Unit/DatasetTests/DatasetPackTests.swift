@testable import Dataset
import Foundation
import Testing

@Suite("data set pack") struct DatasetPackTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func sample(_ name: String) throws -> DatasetDescription {
    var sample = SampleDataset()
    sample.trainCount = 3
    sample.valCount = 2
    sample.imageSize = 48
    return try DatasetDescription.load(sample.write(to: "\(folder.path)/\(name)"))
  }

  private func pack(_ description: DatasetDescription, _ name: String) throws {
    try DatasetPack.write(
      description.trainingContents(), classNames: description.classNames, to: "\(folder.path)/\(name)")
  }

  @Test func unpackedItTrainsAlikeAndPacksAlike() throws {
    let original = try sample("one/place")
    try folder.write("", "one/place/labels/train/000001.txt")  // a background
    try pack(original, "a.tar")
    let unpacked = try DatasetPack.unpack(folder.path + "/a.tar", into: folder.path + "/unpacked")
    #expect(unpacked.classNames == original.classNames)
    for split in [DatasetDescription.Split.train, .val] {
      let (before, after) = try (original.contents(of: split), unpacked.contents(of: split))
      #expect(before.images.map(\.labels) == after.images.map(\.labels))
      #expect(try before.images.map { try ImageFile.read($0.path) } == after.images.map { try ImageFile.read($0.path) })
    }
    #expect(unpacked.sources[.test] == nil)

    // The same content elsewhere, with a stray file: the same bytes.
    let copy = try sample("two")
    try folder.write("", "two/labels/train/000001.txt")
    try folder.write("notes", "two/images/train/notes.md")
    try pack(copy, "b.tar")
    #expect(try folder.bytes("a.tar") == folder.bytes("b.tar"))
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/a.tar.partial"))
  }

  @Test func imagesOfSeveralSplitsAreStoredOnce() throws {
    var description = try sample("set")
    description.sources[.val] = description.sources[.train]
    try pack(description, "a.tar")
    let unpacked = try DatasetPack.unpack(folder.path + "/a.tar", into: folder.path + "/unpacked")
    let stored = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/unpacked/images").sorted()
    #expect(stored == ["00000000_000000.jpg", "00000001_000001.jpg", "00000002_000002.jpg"])
    #expect(try unpacked.contents(of: .val) == unpacked.contents(of: .train))
  }

  /// A file that is a picture for one end is a picture for the other, under any name.
  @Test func everyKindOfPictureTravels() throws {
    for (index, fixture) in PictureFixture.all.enumerated() {
      let bytes = try fixture.bytes()
      let stem = fixture.name.split(separator: ".")[0]
      let endings = [String(fixture.name.split(separator: ".")[1]), "webp", "BMP", "tif", "JPEG", "heic", "png"]
      for ending in [endings[0], endings[1 + index % 6]] {
        try folder.write(bytes, "all/images/\(stem)-\(index).\(ending)")
        try folder.write("0 0.5 0.25 0.\(index + 1) 0.5\n", "all/labels/\(stem)-\(index).txt")
      }
    }
    try folder.write("train: images\nnames: [x]\n", "all/data.yaml")
    let original = try DatasetDescription.load(folder.path + "/all/data.yaml")
    let before = try original.contents(of: .train)
    try DatasetPack.write([.train: before], classNames: original.classNames, to: folder.path + "/a.tar")
    let unpacked = try DatasetPack.unpack(folder.path + "/a.tar", into: folder.path + "/unpacked")
    let after = try unpacked.contents(of: .train)
    #expect(before.images.count >= 90)
    #expect(before.leftOut.isEmpty && after.leftOut.isEmpty)
    #expect(before.images.map(\.labels) == after.images.map(\.labels))
    #expect(try before.images.map { try ImageFile.read($0.path) } == after.images.map { try ImageFile.read($0.path) })
  }

  private func archive(_ files: [(String, [UInt8])], end: Int = 1024) -> [UInt8] {
    files.flatMap { name, bytes in
      ArchiveHeader(name: name, size: bytes.count).bytes + bytes
        + [UInt8](repeating: 0, count: ArchiveHeader.padding(bytes.count))
    } + [UInt8](repeating: 0, count: end)
  }

  private func expectRefused(_ bytes: [UInt8], maximumBytes: Int = 1 << 20, _ why: String) throws {
    try folder.write(bytes, "hostile.tar")
    let target = folder.path + "/target"
    #expect(throws: DatasetError.self, "\(why)") {
      try DatasetPack.unpack(folder.path + "/hostile.tar", into: target, maximumBytes: maximumBytes)
    }
    for left in ["target", "target.partial", "evil", "evil.txt"] {
      #expect(!FileManager.default.fileExists(atPath: "\(folder.path)/\(left)"), "\(why)")
    }
  }

  @Test func hostilePacksAreRefusedAndLeaveNothing() throws {
    let pixel = try PNG.encode(Image(width: 10, height: 10))
    let yaml = ("data.yaml", Array("train: train.txt\nnames: [x]".utf8))
    let image = ("images/0_a.png", pixel)
    let list = ("train.txt", Array("./images/0_a.png\n".utf8))
    let sound = archive([yaml, image, list])
    try folder.write(sound, "sound.tar")
    _ = try DatasetPack.unpack(folder.path + "/sound.tar", into: folder.path + "/sound")
    #expect(throws: DatasetError.self, "an existing folder") {
      try DatasetPack.unpack(folder.path + "/sound.tar", into: folder.path + "/sound")
    }

    for name in [
      "../evil.txt", "/evil.txt", "images/../../evil", "images/..", "images/.hidden", "images/a/b.png", "images//a.png",
      "images/a.png.sh", "labels/a.png", "images/a.txt", "other/a.png", "images/ä.png", "evil", "",
    ] {
      try expectRefused(archive([(name, [1]), yaml, image, list].sorted { $0.0 < $1.0 }), "name ‘\(name)’")
    }
    try expectRefused(archive([yaml, list, image]), "order")
    try expectRefused(archive([yaml, yaml, image, list]), "twice")
    try expectRefused(sound, maximumBytes: 100, "too large")
    try expectRefused(archive([("data.yaml", Array("train: nowhere\nnames: [x]".utf8)), image, list]), "description")
    for text in ["path: /etc\ntrain: passwd", "train: /etc/passwd", "train: images", "val: .."] {
      let description = ("data.yaml", Array("\(text)\nnames: [x]".utf8))
      try expectRefused(archive([description, image, list]), "description ‘\(text)’")
    }
    for line in ["/etc/passwd", "./images/../../x.png", "../images/0_a.png", "images/0_a.png", "./images/0_a.png/.."] {
      try expectRefused(archive([yaml, image, ("train.txt", Array("\(line)\n".utf8))]), "list ‘\(line)’")
    }
    try expectRefused(sound + [0], "something behind the end")
    for length in stride(from: 0, to: sound.count, by: 101) { try expectRefused(Array(sound[..<length]), "cut") }
    for index in [0, 100, 124, 150, 156, 200, 257, 345, 511] {
      var damaged = sound
      damaged[index] ^= 1
      try expectRefused(damaged, "byte \(index)")
    }
    var huge = archive([yaml])
    huge.replaceSubrange(0..<512, with: ArchiveHeader(name: "data.yaml", size: 0o77777777777).bytes)
    try expectRefused(huge, "size")
  }
}
