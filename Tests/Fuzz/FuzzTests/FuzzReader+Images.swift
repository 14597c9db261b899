@testable import Dataset
import Foundation
import TestSupport

extension FuzzReader {
  static let imageReaders: [FuzzReader] = [
    FuzzReader(
      name: "jpeg", fileExtension: "jpg",
      tokens: (0xc0...0xff).map { [0xff, $0] } + [
        [0xff, 0xd8, 0xff], [0xff, 0xc0, 0, 17, 8, 0xff, 0xff, 0xff, 0xff, 3], Array("Exif\0\0II*\0".utf8),
        Array("Exif\0\0MM\0*".utf8), [0xff, 0xda, 0, 12, 3, 1, 0, 2, 17, 3, 17, 0, 63, 0],
      ],
      seeds: [
        FuzzSeed(try! JPEG.encode(picture)), FuzzSeed(turned), FuzzSeed(base64(progressive)), FuzzSeed(base64(grey)),
        FuzzSeed(base64(inks)), FuzzSeed([0xff, 0xd8, 0xff, 0xd9], isSound: false), FuzzSeed(deepJPEG, isSound: false),
      ] + fixtures(endingIn: ["jpg", "mpo"]).map { FuzzSeed($0) },
      read: { bytes, file in _ = try ImageFile.decode(bytes, name: file) }, allowance: pixelBytes),
    FuzzReader(
      name: "png", fileExtension: "png",
      tokens: words("IHDR IDAT IEND PLTE tRNS iCCP zTXt iTXt gAMA sRGB acTL") + [
        [0, 0, 0, 0], [0x7f, 0xff, 0xff, 0xff], [0x78, 0x9c], [8, 6, 0, 0, 0], [16, 2, 0, 0, 1], [1, 3, 0, 0, 0],
      ],
      seeds: [try! PNG.encode(picture)].map { chunked($0) }
        + [palette, greyAlpha, deep, bilevel].map { chunked(base64($0)) }
        + [FuzzSeed(base64(palette)), chunked(vast, isSound: false)]
        + fixtures(endingIn: ["png"]).map { chunked($0) },
      read: { bytes, file in _ = try ImageFile.decode(bytes, name: file) }, allowance: pixelBytes),
  ]

  /// Twice the pixels, which a decoder may hold in one more form; what is refused for its size takes nothing.
  private static func pixelBytes(_ bytes: [UInt8]) -> Int {
    let size = (try? PNG.size(bytes, name: "")) ?? (try? JPEG.size(bytes, name: ""))
    return size.map { 2 * 4 * $0.width * $0.height } ?? 0
  }

  private static let picture: Image = {
    var image = Image(width: 21, height: 17)
    for index in image.pixels.indices { image.pixels[index] = UInt8(truncatingIfNeeded: index * index / 7) }
    return image
  }()

  /// With an EXIF segment that says how the picture is turned.
  private static let turned: [UInt8] = {
    let tiff: [UInt8] = [0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]
    let segment = Array("Exif\0\0".utf8) + tiff
    let jpeg = try! JPEG.encode(picture)
    return jpeg.prefix(2) + [0xff, 0xe1, 0, UInt8(segment.count + 2)] + segment + jpeg.dropFirst(2)
  }()

  /// A JPEG whose frame says that it has 12 bits.
  private static let deepJPEG: [UInt8] = {
    var jpeg = try! JPEG.encode(picture)
    let frame = jpeg.indices.dropLast().first { jpeg[$0] == 0xff && jpeg[$0 + 1] == 0xc0 }!
    jpeg[frame + 4] = 12
    return jpeg
  }()

  /// The chunks' checksums are those of their damaged content.
  private static func chunked(_ bytes: [UInt8], isSound: Bool = true) -> FuzzSeed {
    FuzzSeed(bytes, isSound: isSound) { bytes in
      var bytes = bytes
      var position = 8
      while position + 12 <= bytes.count {
        let length = bytes[position..<(position + 4)].reduce(0) { $0 << 8 | Int($1) }
        guard position + 12 + length <= bytes.count else { break }
        let sum = crc32(Array(bytes[(position + 4)..<(position + 8 + length)]))
        for byte in 0..<4 {
          bytes[position + 8 + length + byte] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * byte))
        }
        position += 12 + length
      }
      return bytes
    }
  }

  /// 10,000 × 10,000 pixels in a hundred bytes.
  private static let vast: [UInt8] = {
    var bytes = base64(bilevel)
    for first in [16, 20] { bytes.replaceSubrange(first..<(first + 4), with: [0, 0, 0x27, 0x10]) }
    return bytes
  }()

  /// Samplings, inks, restarts, depths, interlacing …
  private static func fixtures(endingIn endings: [String]) -> [[UInt8]] {
    let folder = URL(filePath: Fixtures.path("pictures"))
    let names = try! FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    return names.filter { name in endings.contains { name.hasSuffix("." + $0) } }.map { name in
      [UInt8](try! Data(contentsOf: folder.appending(path: name)))
    }
  }

  private static func base64(_ text: String) -> [UInt8] { [UInt8](Data(base64Encoded: text)!) }

  // MARK: - Pictures of 19 × 13 pixels of every kind that the encoders here do not write

  private static let progressive = """
    /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxO\
    UlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P\
    T09PT09PT0//wgARCAANABMDASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAABAUA/8QAFgEBAQEAAAAAAAAAAAAAAAAAAwQF\
    /9oADAMBAAIQAxAAAAGQt7JTma7k0v/EABkQAAMBAQEAAAAAAAAAAAAAAAABAgMSE//aAAgBAQABBQKcicjxJhEwjhH/xAAYEQAC\
    AwAAAAAAAAAAAAAAAAAAAQMEFP/aAAgBAwEBPwGC0zWz/8QAFhEAAwAAAAAAAAAAAAAAAAAAAAIS/9oACAECAQE/AVeiD//EABQQ\
    AQAAAAAAAAAAAAAAAAAAACD/2gAIAQEABj8CX//EABoQAAICAwAAAAAAAAAAAAAAAAABEGERITH/2gAIAQEAAT8hoKRacmZYj//a\
    AAwDAQACAAMAAAAQFA//xAAWEQADAAAAAAAAAAAAAAAAAAAAARH/2gAIAQMBAT8QUgoH/8QAFBEBAAAAAAAAAAAAAAAAAAAAEP/a\
    AAgBAgEBPxAD/8QAFxABAQEBAAAAAAAAAAAAAAAAACExEf/aAAgBAQABPxDMzICNC4T/2Q==
    """

  private static let grey = """
    /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxO\
    UlNSMj5aYVpQYEpRUk//wAALCAANABMBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABQQG/8QAHRAAAQMFAQAAAAAAAAAAAAAABAAD\
    IgECBSExEv/aAAgBAQAAPwDIjYrkUsNiORSFuHjSKuFCa0mRQWtJO0FrzRf/2Q==
    """

  private static let inks = """
    /9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAQCwwODAoQDg0OEhEQExgoGhgWFhgxIyUdKDozPTw5Mzg3QEhcTkBEV0U3OFBtUVdfYmdo\
    Zz5NcXlwZHhcZWdj/8AAFAgADQATBEMRAE0RAFkRAEsRAP/EABgAAQEBAQEAAAAAAAAAAAAAAAAGBAcF/8QAIhAAAQIGAgMBAAAA\
    AAAAAAAAAAMFAQIREhVCYvAEM3HR/9oADgRDAE0AWQBLAAA/AJZp1PAwXAhUUrzoBaNOowXA3It1+oKhL1y/BguBrgyVhW0HI2nU\
    6LjkewMbbJCalQWjTqMcj2BVtvipzUqCoS9cvwY5HsChTb0bIfgP/9k=
    """

  private static let palette = """
    iVBORw0KGgoAAAANSUhEUgAAABMAAAANBAMAAAC5okgUAAAAGFBMVEWwyI6whV80yCo0hRywQy+wCgc0Qw40CgKY4kfgAAAAQElE\
    QVR4nG3MsQ2AMBAEwQF9z1TpFhAdvHOQn8wCxEUbjG7ZMA6cq7lAFumKRCV8AGgVDfYJhrftISnV+T975A0N2hZLDDqblQAAAABJ\
    RU5ErkJggg==
    """

  private static let greyAlpha = """
    iVBORw0KGgoAAAANSUhEUgAAABMAAAANCAQAAADhhZ2sAAAAW0lEQVR4nH2OSxKAMAhDcQQ29P7X1YW1Q5LqZFrgJf0cdrk9Os1J\
    jZSYW5W5hWAhtRBXIKOBn/19NMDiNWOIdZp/i7XjBLEe+uhqtV3O89jG5Fi/LcFKjSVZXG+XpQXk8jXohgAAAABJRU5ErkJggg==
    """

  private static let deep = """
    iVBORw0KGgoAAAANSUhEUgAAABMAAAANEAAAAAA+d9a4AAAAXElEQVR4nHWOSQ7AIAwDjRpzgf+/t5eyOE5lkcUeAQ1AfHr2ZE7D\
    sLBQYCBAC+gYU0SDGZiX8VvPo5QonYWpbdv6G3fVTbAbKqeDqUL3wCwxZuy+rUvYHespSv0FllEE4g5nNQAAAAAASUVORK5CYII=
    """

  private static let bilevel = """
    iVBORw0KGgoAAAANSUhEUgAAABMAAAANAQAAAABj92iKAAAAPUlEQVR4nGNgYGBgZPAKY2BpZGAQ0FrAYsrPwHRmHwOT5QwGpluM\
    BxinHvBmOiDpwMTg2cC4yvApy2YRJQAGmQx6Z0lHqwAAAABJRU5ErkJggg==
    """

}
