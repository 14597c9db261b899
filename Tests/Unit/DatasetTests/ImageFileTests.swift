@testable import Dataset
import Foundation
import Randomness
import Testing

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
    #expect(error?.description == "huge.png: not a sound PNG: cut short at byte 33")
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

  /// Files of one row; the pixels are OpenCV's.
  @Test(arguments: [
    (
      "8-bit grey", "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAAAAADRSSBWAAAAC0lEQVR42mPgOgEAAN8A09iF0q4AAAAASUVORK5CYII=",
      [10, 10, 10, 200, 200, 200] as [UInt8]
    ),
    (
      "1-bit grey", "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABAQAAAADcWUInAAAACklEQVR42mNwAAAAQgBBhL+OYgAAAABJRU5ErkJggg==",
      [0, 0, 0, 255, 255, 255]
    ),
    (
      "16-bit grey", "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABEAAAAACB2fwVAAAADUlEQVR42mMQMjnBAAACeQEPcrHO9gAAAABJRU5ErkJggg==",
      [18, 18, 18, 200, 200, 200]
    ),
    (
      "16-bit RGB", "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABEAIAAADA54+dAAAAD0lEQVR42mMQYmhw+P8fAAYwAtGKpOGuAAAAAElFTkSuQmCC",
      [18, 128, 255]
    ),
    (
      "RGBA", "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAYAAAD0In+KAAAAEUlEQVR42mPgEpFr0DCyYQAABccBUx9L26UAAAAASUVORK5CYII=",
      [10, 20, 30, 40, 50, 60]
    ),
    (
      "grey and alpha",
      "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mPwZQYAAKAAUTC9hwIAAAAASUVORK5CYII=", [77, 77, 77]
    ),
    (
      "palette",
      "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAMAAADD/I+4AAAABlBMVEUBAgP6+/z9XuajAAAAC0lEQVR42mNgZAAAAA"
        + "UAAkLCRJ8AAAAASUVORK5CYII=",
      [250, 251, 252, 1, 2, 3]
    ),
    (
      "palette with alpha",
      "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAMAAADD/I+4AAAABlBMVEUBAgP6+/z9XuajAAAAAnRSTlMAgJsrThgAAA"
        + "ALSURBVHjaY2BkAAAABQACQsJEnwAAAABJRU5ErkJggg==",
      [250, 251, 252, 1, 2, 3]
    ),
  ])
  func everyKindOfPNGBecomesRGB(kind: String, base64: String, expected: [UInt8]) throws {
    let bytes = [UInt8](try #require(Data(base64Encoded: base64)))
    let pixels = try ImageFile.decode(bytes, name: kind).pixels
    // 16 bits: OpenCV drops the low byte, libpng rounds.
    #expect(zip(pixels, expected).allSatisfy { abs(Int($0) - Int($1)) <= (kind.hasPrefix("16") ? 1 : 0) })
    #expect(pixels.count == expected.count)
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
    // What is there of a cut JPEG is decoded, as OpenCV does.
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
