@testable import Dataset
import Foundation
import Randomness
import TestSupport
import Testing

/// A picture of `Tests/Fixtures/pictures`.
struct PictureFixture: Sendable, CustomTestStringConvertible {
  var name: String

  var path: String { Fixtures.path("pictures/\(name)") }
  var testDescription: String { name }

  func bytes() throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }

  /// A binary PPM: three lines of text, then the pixels.
  func expected() throws -> Image {
    let bytes = [UInt8](try Data(contentsOf: URL(filePath: path + ".ppm")))
    let words = bytes.split(maxSplits: 4, omittingEmptySubsequences: false) { $0 == 0x20 || $0 == 0x0A }
    let numbers = words[1...2].compactMap { Int(String(decoding: $0, as: UTF8.self)) }
    return Image(width: numbers[0], height: numbers[1], pixels: Array(words[4]))
  }

  static let all: [PictureFixture] = {
    let names = try? FileManager.default.contentsOfDirectory(atPath: Fixtures.path("pictures"))
    return (names ?? []).filter { !$0.hasSuffix(".ppm") }.sorted().map(PictureFixture.init)
  }()
}

@Suite("image files") struct ImageFileTests {
  /// A picture without symmetry: smooth, so that JPEG keeps it.
  private let picture: Image = {
    var image = Image(width: 40, height: 24)
    for y in 0..<24 {
      for x in 0..<40 {
        image.pixels.replaceSubrange(
          ((y * 40 + x) * 3)..<((y * 40 + x) * 3 + 3), with: [UInt8(x * 6), UInt8(y * 10), UInt8(x * 2 + y * 5)])
      }
    }
    return image
  }()

  /// A chunk's length is believed only where the file has as many bytes; what a file says about its colours is not.
  @Test func pngChunks() throws {
    let sound = try PNG.encode(picture)
    let text = Array("iTXt".utf8)
    let huge = sound.prefix(33) + [0x7f, 0xff, 0xff, 0xff] + text + sound.dropFirst(33)
    let error = #expect(throws: DatasetError.self) { try ImageFile.decode(Array(huge), name: "huge.png") }
    #expect(error?.description == "huge.png: not a sound PNG: the file breaks off")
    let gamma: [UInt8] = [0, 0, 0, 4, 0x67, 0x41, 0x4d, 0x41, 0, 1, 0x86, 0xa0, 0x31, 0xe8, 0x96, 0x5f]
    #expect(try ImageFile.decode(Array(sound.prefix(33) + gamma + sound.dropFirst(33)), name: "p") == picture)
  }

  /// Few bytes that announce very many pixels.
  @Test func emptyVastnessIsRefused() throws {
    var bytes = try PNG.encode(picture)
    for first in [16, 20] { bytes.replaceSubrange(first..<(first + 4), with: [0, 0, 0x27, 0x10]) }
    let error = #expect(throws: DatasetError.self) { try ImageFile.decode(bytes, name: "vast.png") }
    #expect(error?.description.contains("vast.png: 10000×10000 pixels in") == true)
  }

  @Test func pngIsExactAndJPEGClose() throws {
    #expect(try ImageFile.decode(PNG.encode(picture), name: "p") == picture)
    let decoded = try ImageFile.decode(JPEG.encode(picture), name: "j")
    #expect(decoded.width == 40 && decoded.height == 24)
    let worst = zip(decoded.pixels, picture.pixels).map { abs(Int($0) - Int($1)) }.max()
    #expect(try #require(worst) <= 12)
  }

  /// OpenCV's pixels of files of every kind.
  @Test(arguments: PictureFixture.all) func everyKindIsReadAsOpenCVDoes(fixture: PictureFixture) throws {
    let image = try ImageFile.read(fixture.path)
    let expected = try fixture.expected()
    #expect(image.width == expected.width && image.height == expected.height)
    #expect(try ImageFile.size(ofFile: fixture.path) == (expected.width, expected.height))
    let worst = zip(image.pixels, expected.pixels).map { abs(Int($0) - Int($1)) }.max()
    #expect(try #require(worst) <= 2)
  }

  @Test func thereAreFixturesOfEveryKind() {
    let endings = PictureFixture.all.map { String($0.name.split(separator: ".")[1]) }
    #expect(endings.count { $0 == "jpg" } >= 20 && endings.count { $0 == "png" } >= 25 && endings.contains("mpo"))
  }

  /// A JPEG that libjpeg cannot read is refused with the reason, which is found in its frame header.
  @Test(arguments: [
    (0xC0, 12, "precision 12"), (0xC1, 12, "precision 12"), (0xC3, 8, "SOF type 0xc3"), (0xC5, 8, "SOF type 0xc5"),
  ]) func unreadableJPEGsAreRefusedByName(marker: UInt8, bits: UInt8, reason: String) throws {
    var bytes = try JPEG.encode(picture)
    let frame = try #require(bytes.indices.dropLast().first { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xC0 })
    bytes[frame + 1] = marker
    bytes[frame + 4] = bits
    let error = #expect(throws: DatasetError.self) { try ImageFile.decode(bytes, name: "a.jpg") }
    #expect(error?.description.hasPrefix("a.jpg: not a sound JPEG: ") == true)
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
  }

  /// Its first bytes say what a file is, whatever its name.
  @Test(arguments: [
    ("RIFF\u{1}\u{1}\u{1}\u{1}WEBPVP8 ", "a picture in the format WebP; convert it to JPEG or PNG"),
    ("BM      ", "a picture in the format BMP; convert it to JPEG or PNG"),
    ("II*\0    ", "a picture in the format TIFF; convert it to JPEG or PNG"),
    ("GIF89a  ", "a picture in the format GIF; convert it to JPEG or PNG"),
    ("\0\0\0\u{18}ftypheic", "a picture in the format HEIF; convert it to JPEG or PNG"),
    ("\0\0\0\u{18}ftypavif", "a picture in the format AVIF; convert it to JPEG or PNG"),
    ("\0\0\0\u{c}jP  \r\n", "a picture in the format JPEG 2000; convert it to JPEG or PNG"),
    ("8BPS\0\u{1}", "a picture in the format Photoshop; convert it to JPEG or PNG"),
    ("", "an empty file; fetch or copy the picture again"),
    ("<html>", "neither JPEG nor PNG; convert the image to one of these"),
    ("\0\0\0\0", "neither JPEG nor PNG; convert the image to one of these"),
  ]) func otherFormatsAreNamed(bytes: String, reason: String) throws {
    let folder = try TemporaryFolder()
    try folder.write(bytes, "a.jpg")
    let path = folder.path + "/a.jpg"
    let error = #expect(throws: DatasetError.self) { try ImageFile.read(path) }
    #expect(error?.description == "\(path): \(reason)")
    let sizeError = #expect(throws: DatasetError.self) { try ImageFile.size(ofFile: path) }
    #expect(sizeError == error)
  }

  /// A JPEG behind other bytes is none, one before other bytes is.
  @Test func junkAroundAJPEG() throws {
    let jpeg = try JPEG.encode(picture)
    #expect(throws: DatasetError.self) { try ImageFile.decode([0] + jpeg, name: "j") }
    let decoded = try ImageFile.decodeNotingDamage(jpeg + Array("behind".utf8) + jpeg, name: "j")
    #expect(try decoded.image == ImageFile.decode(jpeg, name: "j") && decoded.damage == nil)
  }

  /// A JPEG that lacks only its end is whole; of one that breaks off what is there is read, with a word.
  @Test(arguments: ["ycc-4x2.jpg", "progressive.jpg", "restarts.jpg", "grey.jpg", "ycck-adobe.jpg"])
  func brokenOffJPEGs(name: String) throws {
    let fixture = PictureFixture(name: name)
    let bytes = try fixture.bytes()
    let whole = try ImageFile.decodeNotingDamage(Array(bytes.dropLast(2)), name: name)
    #expect(try whole.damage == nil && whole.image == ImageFile.decode(bytes, name: name))
    let broken = try ImageFile.decodeNotingDamage(Array(bytes.dropLast(30)), name: name)
    #expect(broken.damage?.isEmpty == false)
    #expect(broken.image.width == whole.image.width && broken.image.height == whole.image.height)
  }

  /// A scan for each component: without the last one colours are missing.
  @Test func missingScans() throws {
    let bytes = try PictureFixture(name: "scans.jpg").bytes()
    let scans = bytes.indices.dropLast().filter { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xDA }
    #expect(scans.count == 3)
    #expect(try ImageFile.decodeNotingDamage(bytes, name: "s").damage == nil)
    #expect(try ImageFile.decodeNotingDamage(Array(bytes[..<scans[2]]), name: "s").damage != nil)
  }

  @Test(arguments: ["rgba.png", "rgb-16-interlaced.png", "palette-4.png", "grey-16.png"])
  func everyDamageOfPNGPixelsIsFound(name: String) throws {
    let bytes = try PictureFixture(name: name).bytes()
    let pixels = try #require(bytes.indices.dropLast(3).first { bytes[$0..<($0 + 4)].elementsEqual("IDAT".utf8) })
    for index in (pixels + 4)..<(bytes.count - 12) {
      var damaged = bytes
      damaged[index] ^= 0x10
      #expect(throws: DatasetError.self) { try ImageFile.decode(damaged, name: name) }
    }
    for length in 0..<bytes.count {
      #expect(throws: DatasetError.self) { try ImageFile.decode(Array(bytes[..<length]), name: name) }
    }
  }

  /// Progressive files of more scans than anybody writes take hours.
  @Test func scansWithoutEndAreRefused() throws {
    let bytes = try PictureFixture(name: "progressive.jpg").bytes()
    let scans = bytes.indices.dropLast().filter { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xDA }
    let last = try #require(scans.last)
    let many = bytes[..<last] + (0..<600).flatMap { _ in bytes[last..<(bytes.count - 2)] } + [0xFF, 0xD9]
    let error = #expect(throws: DatasetError.self) { try ImageFile.decode(Array(many), name: "many.jpg") }
    #expect(error?.description == "many.jpg: not a sound JPEG: more than 500 scans")
  }

  /// 30000 × 30000 pixels take no more memory than 2²⁷.
  @Test func largeImagesAreReadSmaller() throws {
    let large = DecodedImage.Size(width: 30_000, height: 30_000, atMost: ImageFile.maximumDecodedPixels)
    #expect((large.reduction, large.width, large.height) == (4, 7500, 7500))
    #expect(throws: Never.self) { try checkImageSize(width: 30_000, height: 30_000, name: "large") }
    #expect(throws: DatasetError.self) { try checkImageSize(width: 32_769, height: 32_769, name: "larger") }

    let halved = try PNG.decode(PNG.encode(picture), name: "p", maximumPixels: 240).image
    #expect((halved.width, halved.height) == (20, 12))
    for y in 0..<12 {
      for x in 0..<20 {
        for channel in 0..<3 {
          let square = [(0, 0), (1, 0), (0, 1), (1, 1)].map { dx, dy in
            Int(picture.pixels[((y * 2 + dy) * 40 + x * 2 + dx) * 3 + channel])
          }
          #expect(Int(halved.pixels[(y * 20 + x) * 3 + channel]) == (square.reduce(0, +) + 2) / 4)
        }
      }
    }
    // The last row and column are of fewer pixels.
    let odd = try PNG.decode(PNG.encode(Image(width: 41, height: 25, grey: 77)), name: "p", maximumPixels: 80).image
    #expect(odd == Image(width: 11, height: 7, grey: 77))
    let jpeg = try JPEG.decode(JPEG.encode(picture), name: "j", maximumPixels: 240).image
    #expect((jpeg.width, jpeg.height) == (20, 12))
    #expect(zip(jpeg.pixels, halved.pixels).allSatisfy { abs(Int($0) - Int($1)) <= 16 })
    let interlaced = try PictureFixture(name: "rgba-interlaced.png").bytes()
    let error = #expect(throws: DatasetError.self) { try PNG.decode(interlaced, name: "i.png", maximumPixels: 50) }
    #expect(error?.description.contains("interlaced") == true)
  }

  @Test(arguments: [
    (1, SIMD2(0, 0)), (2, SIMD2(1, 0)), (3, SIMD2(1, 1)), (4, SIMD2(0, 1)), (5, SIMD2(0, 0)), (6, SIMD2(1, 0)),
    (7, SIMD2(1, 1)), (8, SIMD2(0, 1)),
  ])
  func exifOrientationIsApplied(orientation: Int, corner: SIMD2<Int>) throws {
    let folder = try TemporaryFolder()
    for isLittle in [true, false] {
      let file = folder.path + "/a.jpg"
      try folder.write(withOrientation(JPEG.encode(picture), orientation, isLittle: isLittle), "a.jpg")
      let shown = try ImageFile.read(file)
      let isTurned = orientation >= 5
      #expect(shown.width == (isTurned ? 24 : 40) && shown.height == (isTurned ? 40 : 24))
      #expect(try ImageFile.size(ofFile: file) == (shown.width, shown.height))
      // The stored top left pixel is the darkest; `corner` says at which end of each axis it is shown.
      let x = corner.x * (shown.width - 1)
      let y = corner.y * (shown.height - 1)
      let start = (y * shown.width + x) * 3
      #expect(shown.pixels[start..<(start + 3)].allSatisfy { $0 < 20 }, "\(orientation)")
    }
  }

  /// An EXIF segment after the start marker.
  private func withOrientation(_ jpeg: [UInt8], _ orientation: Int, isLittle: Bool) -> [UInt8] {
    func field(_ value: Int, _ count: Int) -> [UInt8] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
      return isLittle ? bytes : bytes.reversed()
    }
    let other = field(0x010F, 2) + field(2, 2) + field(1, 4) + field(0, 4)
    let entry = field(0x0112, 2) + field(3, 2) + field(1, 4) + field(orientation, 2) + [0, 0]
    let tiff: [UInt8] =
      (isLittle ? [0x49, 0x49] : [0x4D, 0x4D]) + field(42, 2) + field(8, 4) + field(2, 2) + other + entry + field(0, 4)
    let segment: [UInt8] = [0x45, 0x78, 0x69, 0x66, 0, 0] + tiff
    let length = segment.count + 2
    return jpeg[..<2] + [0xFF, 0xE1, UInt8(length >> 8), UInt8(length & 255)] + segment + jpeg[2...]
  }

  @Test func brokenFilesAreErrorsNotTraps() throws {
    let jpeg = try JPEG.encode(picture)
    let png = try PNG.encode(picture)
    var generator = SplitMix64(seed: 1)
    for file in [jpeg, png, withOrientation(jpeg, 6, isLittle: false)] {
      for length in stride(from: 0, to: file.count, by: 7) {
        _ = try? ImageFile.decode(Array(file[..<length]), name: "cut")
      }
      for _ in 0..<200 {
        var damaged = file
        for _ in 0..<3 { damaged[generator.index(below: damaged.count)] = UInt8(generator.index(below: 256)) }
        if let image = try? ImageFile.decode(damaged, name: "damaged") {
          #expect(image.pixels.count == image.width * image.height * 3)
        }
      }
    }
    #expect(throws: DatasetError.self) { try ImageFile.decode(Array(png.dropLast(20)), name: "cut") }
    // The part that is left of a cut JPEG is decoded, as by OpenCV.
    #expect(try ImageFile.decode(Array(jpeg.dropLast(20)), name: "cut").width == 40)
  }

  @Test func hugeSizesAreRefusedBeforeMemoryIsTaken() throws {
    var png = try PNG.encode(picture)
    png.replaceSubrange(16..<24, with: [0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF])
    #expect(throws: DatasetError.self) { try ImageFile.decode(png, name: "huge") }
    var jpeg = try JPEG.encode(picture)
    let frame = try #require(jpeg.indices.dropLast().first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 })
    jpeg.replaceSubrange((frame + 5)..<(frame + 9), with: [0xFF, 0xFF, 0xFF, 0xFF])
    #expect(throws: DatasetError.self) { try ImageFile.decode(jpeg, name: "huge") }
  }
}
