import Foundation

/// Reading and writing image files: JPEG and PNG, told apart by their first bytes.
public enum ImageFile {
  /// The largest image that is decoded, in pixels: 400 MB as RGB. Larger ones are refused before memory is taken.
  public static let maximumPixels = 1 << 27
  /// The largest file that is read, in bytes.
  public static let maximumBytes = 1 << 28

  /// File name extensions (lower case) of the formats that are read.
  public static let extensions: Set<String> = ["jpg", "jpeg", "png"]

  /// The decoded image, turned as its EXIF orientation says (what OpenCV's `imread` gives).
  /// - Throws: `DatasetError` with the path, if the file cannot be read or is not a sound JPEG or PNG.
  public static func read(_ path: String) throws(DatasetError) -> Image {
    let bytes = try contents(of: path, atMost: maximumBytes)
    return try decode(bytes, name: path)
  }

  /// The image in the bytes of a JPEG or PNG file; `name` is for the error's message.
  public static func decode(_ bytes: [UInt8], name: String) throws(DatasetError) -> Image {
    switch ImageFormat(bytes) {
    case .jpeg:
      let image = try JPEG.decode(bytes, name: name)
      return image.oriented(EXIF.orientation(ofJPEG: bytes))
    case .png: return try PNG.decode(bytes, name: name)
    case nil: throw DatasetError("\(name): neither JPEG nor PNG; convert the image to one of these")
    }
  }

  /// Width and height in pixels as shown, from the file's head alone.
  public static func size(ofFile path: String) throws(DatasetError) -> (width: Int, height: Int) {
    // Almost every header lies in the first 64 kB; large EXIF or colour profiles may push it further.
    let head = try contents(of: path, atMost: maximumBytes, prefix: 1 << 16)
    do {
      return try size(ofHead: head, name: path)
    } catch {
      guard head.count == 1 << 16 else { throw error }
      return try size(ofHead: contents(of: path, atMost: maximumBytes), name: path)
    }
  }

  private static func size(ofHead bytes: [UInt8], name: String) throws(DatasetError) -> (width: Int, height: Int) {
    switch ImageFormat(bytes) {
    case .jpeg:
      let header = try JPEG.header(bytes, name: name)
      return EXIF.orientation(ofJPEG: bytes).isTransposing
        ? (header.height, header.width) : (header.width, header.height)
    case .png: return try PNG.size(bytes, name: name)
    case nil: throw DatasetError("\(name): neither JPEG nor PNG; convert the image to one of these")
    }
  }

  /// Writes a JPEG (quality 95, as OpenCV) or, when the path ends in `.png`, a PNG.
  public static func write(_ image: Image, to path: String) throws(DatasetError) {
    let bytes =
      path.lowercased().hasSuffix(".png") ? try PNG.encode(image, name: path) : try JPEG.encode(image, name: path)
    try writeFile(bytes, to: path)
  }
}

/// The formats that are read.
private enum ImageFormat {
  case jpeg
  case png

  init?(_ bytes: [UInt8]) {
    if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
      self = .jpeg
    } else if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
      self = .png
    } else {
      return nil
    }
  }
}

/// Refuses sizes for which no memory should be taken.
func checkImageSize(width: Int, height: Int, name: String) throws(DatasetError) {
  let (pixels, overflow) = width.multipliedReportingOverflow(by: height)
  guard width > 0, height > 0, !overflow, pixels <= ImageFile.maximumPixels else {
    throw DatasetError("\(name): \(width)×\(height) pixels; at most \(ImageFile.maximumPixels) pixels can be read")
  }
}

/// Refuses files too short for the pixels they announce, before memory is taken for these. Neither format packs more
/// than 1000 pixels into a byte, but for images of two colours; nobody photographs these at more than 4 megapixels.
func checkCompression(width: Int, height: Int, byteCount: Int, name: String) throws(DatasetError) {
  let pixels = width * height
  guard pixels <= 1 << 22 || pixels / 1024 <= byteCount else {
    throw DatasetError("\(name): \(width)×\(height) pixels in \(byteCount) bytes: the file is damaged or hostile")
  }
}

/// The bytes of a file, or its first `prefix` bytes.
func contents(of path: String, atMost limit: Int, prefix: Int? = nil) throws(DatasetError) -> [UInt8] {
  do {
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
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

func writeFile(_ bytes: [UInt8], to path: String) throws(DatasetError) {
  do {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  } catch {
    throw DatasetError("\(path): cannot be written: \(reason(of: error))")
  }
}

func createFolder(_ path: String) throws(DatasetError) {
  do {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  } catch {
    throw DatasetError("\(path): the folder cannot be made: \(reason(of: error))")
  }
}

/// What the system says, without Foundation's wrapping.
func reason(of error: any Error) -> String {
  let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
  if let underlying, underlying.domain == NSPOSIXErrorDomain {
    return POSIXErrorCode(rawValue: Int32(underlying.code)).map { "\(POSIXError($0).localizedDescription)" }
      ?? underlying.localizedDescription
  }
  return error.localizedDescription
}
