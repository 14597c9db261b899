@testable import Dataset
import Foundation

extension FuzzReader {
  /// Data sets as they travel.
  static let archiveReaders: [FuzzReader] = [
    FuzzReader(
      name: "pack", fileExtension: "pack",
      tokens: words("data.yaml train.txt val.txt images/ labels/ ../ / .. a.jpg.jpg ustar 00000000777 77777777777 -1")
        + [[0], [0x2f], [0xff], [UInt8](repeating: 0, count: 512), [UInt8](repeating: 0, count: 1024)],
      seeds: [
        FuzzSeed(pack, wrap: withSoundHeaders), FuzzSeed(pack), FuzzSeed([UInt8](repeating: 0, count: 1024)),
        FuzzSeed(archive([("../escape.txt", "x")]), isSound: false),
        FuzzSeed(archive([("train.txt", "x"), ("data.yaml", "y")]), isSound: false),
        FuzzSeed(ArchiveHeader(name: "data.yaml", size: 0o7_777_777_777).bytes, isSound: false),
      ],
      read: { bytes, file in
        let path = folder.appending(path: file).path
        try Data(bytes).write(to: URL(filePath: path))
        var reader = try ArchiveReader(path, maximumBytes: 1 << 30)
        while try reader.next() != nil {}
      }),
    FuzzReader(
      name: "sound-images", fileExtension: "cache", tokens: words("greensweep sound images 1 2 \n"),
      seeds: [
        FuzzSeed(soundImages(fingerprints: 1...20)), FuzzSeed(soundImages(fingerprints: 1...1)),
        FuzzSeed("greensweep sound images 1\n", isSound: false),
      ],
      read: { bytes, file in
        let path = folder.appending(path: file).path
        try Data(bytes).write(to: URL(filePath: path))
        guard SoundImages(file: path).count > 0 else { throw DatasetError("\(file): remembers nothing") }
      }),
  ]

  private static func soundImages(fingerprints: ClosedRange<UInt64>) -> [UInt8] {
    let path = folder.appending(path: "seed").path
    try? FileManager.default.removeItem(atPath: path)
    var images = SoundImages(file: nil)
    for fingerprint in fingerprints { images.insert(fingerprint &* 0x9e37_79b9_7f4a_7c15) }
    images.write(to: path)
    return [UInt8](FileManager.default.contents(atPath: path)!)
  }

  /// In memory where it can be: a disk would be written to as often as there are cases.
  private static let folder: URL = {
    let memory = URL(filePath: "/dev/shm")
    let parent =
      FileManager.default.isWritableFile(atPath: memory.path) ? memory : FileManager.default.temporaryDirectory
    let folder = parent.appending(path: "fuzz-\(ProcessInfo.processInfo.processIdentifier)")
    try! FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    atexit { try? FileManager.default.removeItem(at: FuzzReader.folder) }
    return folder
  }()

  private static let pack = archive([
    ("data.yaml", "path: .\ntrain: train.txt\nnc: 1\nnames: [a]\n"), ("images/00000000_a.jpg", "not a picture"),
    ("images/00000001_b.png", String(repeating: "x", count: 600)), ("labels/00000000_a.txt", "0 0.5 0.5 0.1 0.1\n"),
    ("train.txt", "./images/00000000_a.jpg\n./images/00000001_b.png\n"),
  ])

  private static func archive(_ files: [(name: String, text: String)]) -> [UInt8] {
    var bytes: [UInt8] = []
    for file in files {
      let content = Array(file.text.utf8)
      bytes += ArchiveHeader(name: file.name, size: content.count).bytes + content
      bytes += [UInt8](repeating: 0, count: ArchiveHeader.padding(content.count))
    }
    return bytes + [UInt8](repeating: 0, count: 2 * ArchiveHeader.blockBytes)
  }

  /// The headers' checksums are those of their damaged names and sizes.
  private static func withSoundHeaders(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    var position = 0
    while position + ArchiveHeader.blockBytes <= bytes.count {
      let name = bytes[position..<(position + 100)].prefix { $0 != 0 }
      let sizeText = String(decoding: bytes[(position + 124)..<(position + 135)], as: UTF8.self)
      guard !name.isEmpty, let size = Int(sizeText, radix: 8), size >= 0, size < 1 << 33 else { break }
      let header = ArchiveHeader(name: String(String(decoding: name, as: UTF8.self).prefix(25)), size: size)
      bytes.replaceSubrange(position..<(position + ArchiveHeader.blockBytes), with: header.bytes)
      position += ArchiveHeader.blockBytes + size + ArchiveHeader.padding(size)
    }
    return bytes
  }
}
