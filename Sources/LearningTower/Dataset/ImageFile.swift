import Foundation
import Wording

/// Reading and writing image files: JPEG and PNG, told apart by their first bytes whatever their names.
public enum ImageFile {
  /// The largest image that is read, in pixels, which is OpenCV's limit too: 32768×32768. Larger ones are refused.
  public static let maximumPixels = 1 << 30
  /// The most pixels that are kept of an image: 400 MB as RGB. Of larger ones a half, a quarter or an eighth of each
  /// side is decoded, so that no scan or panorama takes more memory.
  public static let maximumDecodedPixels = 1 << 27
  /// The largest file that is read, in bytes.
  public static let maximumBytes = 1 << 29

  /// Whether the name of a file promises a picture; what it is, its bytes say.
  static func hasPictureEnding(_ path: String) -> Bool {
    ImageFormat.endings.contains((path as NSString).pathExtension.lowercased())
  }

  /// The decoded image, turned as its EXIF orientation says (what OpenCV's `imread` gives).
  /// - Throws: `DatasetError` with the path, if the file cannot be read or is not a sound JPEG or PNG.
  public static func read(_ path: String) throws(DatasetError) -> Image {
    try decode(contents(of: path, atMost: maximumBytes), name: path)
  }

  /// The image in the bytes of a JPEG or PNG file; `name` is for the error's message.
  public static func decode(_ bytes: [UInt8], name: String) throws(DatasetError) -> Image {
    try decodeNotingDamage(bytes, name: name).image
  }

  /// The image, and what its file lacks.
  static func decodeNotingDamage(_ bytes: [UInt8], name: String) throws(DatasetError) -> DecodedImage {
    switch try readableFormat(bytes, name: name) {
    case .jpeg:
      let decoded = try JPEG.decode(bytes, name: name)
      return DecodedImage(
        image: decoded.image.oriented(EXIF.orientation(ofJPEG: bytes)), damage: decoded.damage)
    case .png:
      let orientation = try EXIF.orientation(ofPNG: { bytes.part(at: $0, count: $1) })
      return DecodedImage(image: try PNG.decode(bytes, name: name).image.oriented(orientation))
    }
  }

  /// Width and height in pixels as shown, from the file's head alone.
  public static func size(ofFile path: String) throws(DatasetError) -> (width: Int, height: Int) {
    // Almost every header lies in the first 64 kB; large EXIF or colour profiles may push it further.
    let head = try contents(of: path, atMost: maximumBytes, prefix: 1 << 16)
    switch try readableFormat(head, name: path) {
    case .jpeg:
      do {
        return try size(ofJPEGHead: head, name: path)
      } catch {
        guard head.count == 1 << 16 else { throw error }
        return try size(ofJPEGHead: contents(of: path, atMost: maximumBytes), name: path)
      }
    case .png:
      let size = try PNG.size(head, name: path)
      let isTransposed = try withFile(path) { file throws(DatasetError) in
        try EXIF.orientation(ofPNG: { offset, count throws(DatasetError) in
          try part(of: file, path, at: offset, count: count)
        })
      }.isTransposing
      return isTransposed ? (size.height, size.width) : size
    }
  }

  private static func size(ofJPEGHead bytes: [UInt8], name: String) throws(DatasetError) -> (width: Int, height: Int) {
    let size = try JPEG.size(bytes, name: name)
    return EXIF.orientation(ofJPEG: bytes).isTransposing ? (size.height, size.width) : size
  }

  /// `jpg` or `png`, as the first bytes of the file say.
  static func usualEnding(ofFile path: String) throws(DatasetError) -> String {
    switch try readableFormat(contents(of: path, atMost: maximumBytes, prefix: 16), name: path) {
    case .jpeg: "jpg"
    case .png: "png"
    }
  }

  /// The format of a file that can be read.
  enum ReadableFormat {
    case jpeg
    case png
  }

  /// - Throws: `DatasetError` that says what the file is instead.
  static func readableFormat(_ bytes: [UInt8], name: String) throws(DatasetError) -> ReadableFormat {
    switch ImageFormat(bytes) {
    case .jpeg: return .jpeg
    case .png: return .png
    case let other?:
      throw DatasetError("\(name): a picture in the format \(other.rawValue); convert it to JPEG or PNG")
    case nil where bytes.isEmpty:
      throw DatasetError("\(name): an empty file; fetch or copy the picture again", isDamage: true)
    case nil: throw DatasetError("\(name): neither JPEG nor PNG; convert the image to one of these", isDamage: true)
    }
  }

  /// Writes a JPEG (quality 95, as OpenCV) or, when the path ends in `.png`, a PNG.
  public static func write(_ image: Image, to path: String) throws(DatasetError) {
    let bytes =
      path.lowercased().hasSuffix(".png") ? try PNG.encode(image, name: path) : try JPEG.encode(image, name: path)
    try writeFile(bytes, to: path)
  }
}

/// The result of decoding a file.
struct DecodedImage {
  var image: Image
  /// Why part of the image may not be what was in the file; nil for a sound file.
  var damage: String?

  /// How much is decoded of an image: all of it, or a half, a quarter or an eighth of each side, rounded up.
  struct Size {
    var width: Int
    var height: Int
    var reduction: Int

    init(width: Int, height: Int, atMost maximumPixels: Int) {
      func reduced(_ length: Int, _ reduction: Int) -> Int { (length + reduction - 1) / reduction }
      reduction = [1, 2, 4].first { reduced(width, $0) * reduced(height, $0) <= maximumPixels } ?? 8
      self.width = reduced(width, reduction)
      self.height = reduced(height, reduction)
    }

    var pixelBytes: Int { width * height * 3 }
  }
}

/// Refuses sizes for which no memory should be taken.
func checkImageSize(width: Int, height: Int, name: String) throws(DatasetError) {
  let (pixels, overflow) = width.multipliedReportingOverflow(by: height)
  guard width > 0, height > 0, !overflow, pixels <= ImageFile.maximumPixels else {
    throw DatasetError(
      "\(name): \(width)×\(height) pixels; at most \(ImageFile.maximumPixels) pixels can be read (32768×32768); "
        + "save it smaller")
  }
}

/// Refuses files too short for what they announce, before memory is taken for it.
/// - Parameters:
///   - bytes: what the file unpacks to.
///   - limit: the most that the format packs into a byte.
func checkCompression(
  bytes: Int, atMost limit: Int, fileBytes: Int, _ size: (width: Int, height: Int), name: String
) throws(DatasetError) {
  guard bytes <= 1 << 22 || bytes / limit <= fileBytes else {
    throw DatasetError(
      "\(name): \(size.width)×\(size.height) pixels in \(fileBytes) bytes: the file is damaged or hostile",
      isDamage: true)
  }
}

/// Lends a file opened for reading.
func withFile<Result>(
  _ path: String, _ body: (FileHandle) throws(DatasetError) -> Result
) throws(DatasetError) -> Result {
  let file = try openFile(path)
  defer { try? file.close() }
  return try body(file)
}

/// Fewer bytes than `count` at the end of the file.
private func part(of file: FileHandle, _ path: String, at offset: Int, count: Int) throws(DatasetError) -> [UInt8] {
  do {
    try file.seek(toOffset: UInt64(offset))
    return [UInt8](try file.read(upToCount: count) ?? Data())
  } catch {
    throw DatasetError("\(path): cannot be read: \(reason(of: error))")
  }
}

extension [UInt8] {
  /// Fewer elements than `count` at the end.
  fileprivate func part(at offset: Int, count: Int) -> [UInt8] { Array(dropFirst(offset).prefix(count)) }
}

/// The bytes of a file, or its first `prefix` bytes.
func contents(of path: String, atMost limit: Int, prefix: Int? = nil) throws(DatasetError) -> [UInt8] {
  do {
    let file = try openFile(path)
    defer { try? file.close() }
    let data = try file.read(upToCount: prefix ?? limit + 1) ?? Data()
    guard data.count <= limit else {
      throw DatasetError("\(path): larger than \(limit) bytes, which is more than is read of such a file")
    }
    return [UInt8](data)
  } catch let error as DatasetError {
    throw error
  } catch {
    throw DatasetError("\(path): cannot be read: \(reason(of: error))")
  }
}

/// Replaces the file in one step, so that a file of another name that is linked to it keeps its content.
func writeFile(_ bytes: [UInt8], to path: String) throws(DatasetError) {
  do {
    try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
  } catch {
    throw DatasetError("\(path): cannot be written: \(reason(of: error))", errorNumber: errorNumber(of: error))
  }
}

func createFolder(_ path: String) throws(DatasetError) {
  do {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  } catch {
    throw DatasetError("\(path): the folder cannot be made: \(reason(of: error))", errorNumber: errorNumber(of: error))
  }
}
