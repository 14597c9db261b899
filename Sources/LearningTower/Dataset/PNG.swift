internal import CPNG

/// PNG by libpng: every colour type and depth becomes RGB of 8 bits as OpenCV makes it of them.
public enum PNG {
  static func size(_ bytes: [UInt8], name: String) throws(DatasetError) -> (width: Int, height: Int) {
    let header = try Header(bytes, name: name)
    return (header.width, header.height)
  }

  /// The first chunk, which has to be `IHDR`: length 13, name, width, height, all big-endian, then bytes for depth,
  /// colour type, compression, filter and interlacing.
  private struct Header {
    var width: Int
    var height: Int
    /// The bytes of all rows before their compression.
    var rawBytes: Int
    var isInterlaced: Bool

    init(_ bytes: [UInt8], name: String) throws(DatasetError) {
      guard bytes.count >= 29, bytes[12..<16].elementsEqual("IHDR".utf8) else {
        throw DatasetError("\(name): not a sound PNG: its header is missing", isDamage: true)
      }
      func integer(at offset: Int) -> Int { bytes[offset..<(offset + 4)].reduce(0) { $0 << 8 | Int($1) } }
      (width, height) = (integer(at: 16), integer(at: 20))
      try checkImageSize(width: width, height: height, name: name)
      let channels = [2: 3, 4: 2, 6: 4][bytes[25]] ?? 1
      rawBytes = (width * channels * Int(bytes[24]) + 7) / 8 * height
      isInterlaced = bytes[28] != 0
    }
  }

  /// The image as stored, without its EXIF orientation.
  static func decode(
    _ bytes: [UInt8], name: String, maximumPixels: Int = ImageFile.maximumDecodedPixels
  ) throws(DatasetError) -> DecodedImage {
    let header = try Header(bytes, name: name)
    let (width, height) = (header.width, header.height)
    // Deflate packs at most 1032 bytes into one.
    try checkCompression(bytes: header.rawBytes, atMost: 1032, fileBytes: bytes.count, (width, height), name: name)
    let reduced = DecodedImage.Size(width: width, height: height, atMost: maximumPixels)
    guard reduced.reduction == 1 || !header.isInterlaced else {
      throw DatasetError(
        "\(name): an interlaced PNG of \(width)×\(height) pixels; save it without interlacing, or smaller")
    }
    var pixels = [UInt8](repeating: 0, count: reduced.pixelBytes)
    // `pixels` has the size that is passed; neither pointer is kept.
    let result = unsafe bytes.withUnsafeBufferPointer { source in
      unsafe pixels.withUnsafeMutableBufferPointer { target in
        unsafe cpng_decode(
          source.baseAddress, source.count, UInt32(reduced.reduction), target.baseAddress, target.count)
      }
    }
    try check(result, name)
    return DecodedImage(image: Image(width: reduced.width, height: reduced.height, pixels: pixels))
  }

  /// A PNG file of the image.
  public static func encode(_ image: Image, name: String = "image") throws(DatasetError) -> [UInt8] {
    var control = unsafe png_image()
    unsafe control.version = UInt32(PNG_IMAGE_VERSION)
    unsafe control.width = UInt32(image.width)
    unsafe control.height = UInt32(image.height)
    unsafe control.format = UInt32(PNG_FORMAT_FLAG_COLOR)
    defer { unsafe png_image_free(&control) }
    // Incompressible rows grow by the filter byte, zlib's block headers and the chunk headers: far below an eighth.
    let capacity = image.pixels.count + image.height + image.pixels.count / 8 + 4096
    var bytes = [UInt8](repeating: 0, count: capacity)
    var size: png_alloc_size_t = png_alloc_size_t(capacity)
    let status = unsafe image.pixels.withUnsafeBytes { source in
      unsafe bytes.withUnsafeMutableBytes { target in
        unsafe png_image_write_to_memory(&control, target.baseAddress, &size, 0, source.baseAddress, 0, nil)
      }
    }
    guard status != 0 else {
      // `message` is a zero-terminated array inside the structure.
      let message = unsafe withUnsafeBytes(of: control.message) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      throw DatasetError("\(name): cannot be written as PNG: \(message)")
    }
    bytes.removeLast(bytes.count - Int(size))
    return bytes
  }

  private static func check(_ result: cpng_result, _ name: String) throws(DatasetError) {
    guard !result.is_done else { return }
    // A zero-terminated array inside the structure.
    let message = unsafe withUnsafeBytes(of: result.message) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    throw DatasetError("\(name): not a sound PNG: \(message)", isDamage: true)
  }
}
