internal import CPNG

/// PNG by libpng's simplified interface: every colour type and depth becomes RGB of 8 bits; alpha is dropped, as
/// OpenCV does.
public enum PNG {
  static func size(_ bytes: [UInt8], name: String) throws(DatasetError) -> (width: Int, height: Int) {
    // The first chunk has to be IHDR: length 13, name, width, height, all big-endian.
    guard bytes.count >= 24, bytes[12..<16].elementsEqual("IHDR".utf8) else {
      throw DatasetError("\(name): not a sound PNG: its header is missing")
    }
    func integer(at offset: Int) -> Int { bytes[offset..<(offset + 4)].reduce(0) { $0 << 8 | Int($1) } }
    let (width, height) = (integer(at: 16), integer(at: 20))
    try checkImageSize(width: width, height: height, name: name)
    return (width, height)
  }

  static func decode(_ bytes: [UInt8], name: String) throws(DatasetError) -> Image {
    let announced = try size(bytes, name: name)
    try checkCompression(
      width: announced.width, height: announced.height, byteCount: bytes.count, name: name)
    let bytes = try pixelChunks(of: bytes, name: name)
    var control = unsafe png_image()
    unsafe control.version = UInt32(PNG_IMAGE_VERSION)
    defer { unsafe png_image_free(&control) }
    // `bytes` outlives both calls, as libpng reads from it until the image is finished; `pixels` has the size that
    // the format asks for.
    return try unsafe bytes.withUnsafeBufferPointer { source throws(DatasetError) in
      guard unsafe png_image_begin_read_from_memory(&control, source.baseAddress, source.count) != 0 else {
        throw unsafe failure(control, name)
      }
      let (width, height) = unsafe (Int(control.width), Int(control.height))
      try checkImageSize(width: width, height: height, name: name)
      let hasAlpha = unsafe control.format & UInt32(PNG_FORMAT_FLAG_ALPHA) != 0
      unsafe control.format = UInt32(PNG_FORMAT_FLAG_COLOR) | (hasAlpha ? UInt32(PNG_FORMAT_FLAG_ALPHA) : 0)
      unsafe control.flags |= UInt32(PNG_IMAGE_FLAG_16BIT_sRGB)
      var pixels = [UInt8](repeating: 0, count: width * height * (hasAlpha ? 4 : 3))
      let status = unsafe pixels.withUnsafeMutableBytes { target in
        unsafe png_image_finish_read(&control, nil, target.baseAddress, 0, nil)
      }
      guard status != 0 else { throw unsafe failure(control, name) }
      return Image(width: width, height: height, pixels: hasAlpha ? withoutAlpha(pixels) : pixels)
    }
  }

  /// The file without the chunks that say nothing about pixels: text, times, gamma and colour profiles, which OpenCV
  /// ignores too. libpng believes a chunk's length and takes gigabytes for a few bytes; here it has to be in the file.
  private static func pixelChunks(of bytes: [UInt8], name: String) throws(DatasetError) -> [UInt8] {
    var kept = Array(bytes.prefix(8))
    var position = 8
    while position < bytes.count {
      let length = bytes[position...].prefix(4).reduce(0) { $0 << 8 | Int($1) }
      let end = position + 12 + length  // Length, type and checksum have four bytes each.
      guard end <= bytes.count else { throw DatasetError("\(name): not a sound PNG: cut short at byte \(position)") }
      let type = bytes[(position + 4)..<(position + 8)]
      let isCritical = type.first.map { $0 & 0x20 == 0 } ?? false
      if isCritical || type.elementsEqual("tRNS".utf8) { kept += bytes[position..<end] }
      if type.elementsEqual("IEND".utf8) { break }
      position = end
    }
    return kept
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
    guard status != 0 else { throw unsafe failure(control, name) }
    bytes.removeLast(bytes.count - Int(size))
    return bytes
  }

  private static func withoutAlpha(_ pixels: [UInt8]) -> [UInt8] {
    var opaque = [UInt8](repeating: 0, count: pixels.count / 4 * 3)
    for pixel in 0..<(pixels.count / 4) {
      for channel in 0..<3 { opaque[pixel * 3 + channel] = pixels[pixel * 4 + channel] }
    }
    return opaque
  }

  private static func failure(_ control: png_image, _ name: String) -> DatasetError {
    // `message` is a zero-terminated array of 64 characters inside the structure.
    let message = unsafe withUnsafeBytes(of: control.message) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return DatasetError("\(name): not a sound PNG: \(message)")
  }
}
