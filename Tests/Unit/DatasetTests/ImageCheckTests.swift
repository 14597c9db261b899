@testable import Dataset
import Foundation
import TestSupport
import Testing

@Suite("images checked before use") struct ImageCheckTests {
  let folder: TemporaryFolder
  let memory: String

  init() throws {
    folder = try TemporaryFolder()
    memory = folder.path + "/cache/greensweep/sound-images"
  }

  /// A data set of sound pictures, and those given.
  private func description(sound: Int, _ others: [String: [UInt8]] = [:]) throws -> DatasetDescription {
    let picture = try PictureFixture(name: "rgba.png").bytes()
    for index in 0..<sound { try folder.write(picture, "data/images/sound\(index).png") }
    for (name, bytes) in others { try folder.write(bytes, "data/images/\(name)") }
    try folder.write("train: images\nnames: [x]\n", "data/data.yaml")
    return try DatasetDescription.load(folder.path + "/data/data.yaml")
  }

  private func names(_ images: [LeftOutImage]) -> [String] {
    images.map { URL(filePath: $0.path).lastPathComponent }
  }

  private func damaged(_ name: String) throws -> [UInt8] {
    var bytes = try PictureFixture(name: name).bytes()
    bytes[bytes.count - 20] ^= 0x55
    return bytes
  }

  @Test(arguments: [1, 3]) func damagedBodiesAreLeftOutAndNamed(threads: Int) throws {
    let jpeg = try PictureFixture(name: "ycc-4x2.jpg").bytes()
    let frame = try #require(jpeg.indices.dropLast().first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xDB })
    var noTables = jpeg
    noTables[frame + 1] = 0xFE  // The quantisation tables are a comment.
    let description = try description(
      sound: 40,
      [
        "flipped.png": damaged("rgba.png"), "cut.png": Array(PictureFixture(name: "rgba.png").bytes().dropLast(40)),
        "tables.jpg": noTables, "broken-off.jpg": Array(jpeg.dropLast(40)), "no-end.jpg": Array(jpeg.dropLast(2)),
      ])
    #expect(try description.contents(of: .train).images.count == 45)

    let contents = try description.contents(of: .train, checking: ImageCheck(threads: threads, memory: nil))
    #expect(names(contents.leftOut) == ["cut.png", "flipped.png", "tables.jpg"])
    #expect(names(contents.readInPart) == ["broken-off.jpg"])
    #expect(contents.images.count == 42 && contents.images.contains { $0.path.hasSuffix("/no-end.jpg") })
    let remarks = contents.remarks(on: .train)
    // The third one says that no picture has a box.
    #expect(remarks.count == 3, "\(remarks)")
    #expect(remarks[0].hasPrefix("train: 3 of 45 images are left out: cut.png, flipped.png, tables.jpg ("))
    #expect(
      remarks[1].hasPrefix("train: 1 of 45 images are damaged and read as far as they go: broken-off.jpg ("))
    #expect(remarks[1].contains("premature end"))

    // An image that is left out is not packed.
    try DatasetPack.write([.train: contents], classNames: ["x"], to: folder.path + "/a.tar")
    let unpacked = try DatasetPack.unpack(folder.path + "/a.tar", into: folder.path + "/unpacked")
    let stored = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/unpacked/images")
    #expect(stored.count == 42 && !stored.contains { $0.contains("flipped") })
    #expect(try unpacked.contents(of: .train, checking: ImageCheck(threads: 1, memory: nil)).leftOut.isEmpty)
  }

  /// One in ten may be damaged; what is no JPEG or PNG is left out, and counts as a picture of another kind.
  @Test func moreThanATenthIsRefused() throws {
    let bmp = Array("BM a picture of another kind".utf8)
    let description = try description(
      sound: 16, ["a.png": damaged("rgba.png"), "b.png": [], "c.bmp": bmp, "d.bmp": bmp])
    var check = ImageCheck(threads: 2, memory: nil)
    #expect(try description.contents(of: .train, checking: check).leftOut.count == 4)
    try folder.write("<html>", "data/images/e.jpg")
    let error = #expect(throws: DatasetError.self) { try description.contents(of: .train, checking: check) }
    #expect(error?.description.hasPrefix("3 of 21 images of split ‘train’ are damaged, more than a tenth") == true)
    #expect(error?.description.contains("--allow-damaged") == true && error?.description.contains("a.png") == true)
    check.allowsDamaged = true
    #expect(try description.contents(of: .train, checking: check).images.count == 16)
  }

  /// A file is looked at again only when its size, time or number has changed. Damaged ones are looked at each time.
  @Test func soundImagesAreRemembered() throws {
    let description = try description(sound: 20, ["damaged.png": damaged("rgba.png")])
    let check = ImageCheck(threads: 2, memory: memory)
    func leftOut() throws -> [String] { names(try description.contents(of: .train, checking: check).leftOut) }
    #expect(try leftOut() == ["damaged.png"])

    // Damaged in place behind the check's back, at the same time to the nanosecond.
    let path = folder.path + "/data/images/sound3.png"
    var status = stat()
    #expect(unsafe stat(path, &status) == 0)
    let file = try #require(FileHandle(forUpdatingAtPath: path))
    try file.seek(toOffset: UInt64(status.st_size) - 20)
    try file.write(contentsOf: Data([1, 2, 3]))
    try file.close()
    let times = [status.st_atim, status.st_mtim]
    #expect(unsafe utimensat(AT_FDCWD, path, times, 0) == 0)
    #expect(try leftOut() == ["damaged.png"])
    let later = [status.st_atim, timespec(tv_sec: status.st_mtim.tv_sec, tv_nsec: status.st_mtim.tv_nsec ^ 1)]
    #expect(unsafe utimensat(AT_FDCWD, path, later, 0) == 0)
    #expect(try leftOut() == ["damaged.png", "sound3.png"])
  }

  @Test func aMemoryThatIsNoneIsIgnored() throws {
    let description = try description(sound: 20, ["damaged.png": damaged("rgba.png")])
    let check = ImageCheck(threads: 2, memory: memory)
    func expectChecked(_ what: String) throws {
      let contents = try description.contents(of: .train, checking: check)
      #expect(contents.images.count == 20 && names(contents.leftOut) == ["damaged.png"], "\(what)")
    }
    try expectChecked("none")
    let sound = try folder.bytes("cache/greensweep/sound-images")
    #expect(SoundImages(file: memory).count == 20)
    for (what, bytes) in [
      ("empty", []), ("text", Array("hello".utf8)), ("cut", Array(sound.dropLast(3))), ("longer", sound + [0]),
      ("flipped", sound.enumerated().map { $0 == 60 ? $1 ^ 1 : $1 }), ("head", Array(sound.prefix(26))),
    ] as [(String, [UInt8])] {
      try folder.write(bytes, "cache/greensweep/sound-images")
      #expect(SoundImages(file: memory).count == 0, "\(what)")
      try expectChecked(what)
      #expect(try folder.bytes("cache/greensweep/sound-images") == sound, "\(what)")
    }
    try FileManager.default.removeItem(atPath: memory)
    #expect(unsafe mkfifo(memory, 0o600) == 0)
    #expect(SoundImages(file: memory).count == 0, "a pipe, which would keep its reader waiting")
    try FileManager.default.removeItem(atPath: memory)
    try folder.write("", "cache/greensweep/sound-images/a")
    try expectChecked("a folder")
    try FileManager.default.removeItem(atPath: folder.path + "/cache")
    try folder.write("", "cache")
    try expectChecked("a file where its folder should be")
  }

  /// Two data sets share the file.
  @Test func othersAreKept() throws {
    var first = SoundImages(file: memory)
    first.insert(7)
    first.write(to: memory)
    var second = SoundImages(file: nil)
    second.insert(9)
    second.write(to: memory)
    let both = SoundImages(file: memory)
    #expect(both.count == 2 && both.contains(7) && both.contains(9))
  }

  @Test func itIsKeptInTheUsersCacheFolder() {
    func expect(_ environment: [String: String], _ expected: String?) {
      #expect(ImageCheck.userMemory(environment) == expected)
    }
    expect(["XDG_CACHE_HOME": "/x", "HOME": "/h"], "/x/greensweep/sound-images")
    expect(["XDG_CACHE_HOME": "", "HOME": "/h"], "/h/.cache/greensweep/sound-images")
    expect(["XDG_CACHE_HOME": "x"], nil)
    expect([:], nil)
  }
}
