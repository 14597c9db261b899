internal import CTurboJPEG

/// JPEG by libjpeg-turbo, the library OpenCV reads with, so that the same pixels come out.
public enum JPEG {
  /// Width and height as stored, before the EXIF orientation.
  static func header(_ bytes: [UInt8], name: String) throws(DatasetError) -> (width: Int, height: Int) {
    let header = try TurboHandle.decompressor().header(bytes, name: name)
    return (header.width, header.height)
  }

  /// The image as stored (three channels; grey is spread), without its EXIF orientation. A file that breaks off is
  /// decoded as far as it goes, as OpenCV does.
  static func decode(_ bytes: [UInt8], name: String) throws(DatasetError) -> Image {
    let handle = try TurboHandle.decompressor()
    let header = try handle.header(bytes, name: name)
    try checkCompression(width: header.width, height: header.height, byteCount: bytes.count, name: name)
    if header.isCMYK {
      let inks = try handle.decompress(bytes, header, format: Int32(TJPF_CMYK.rawValue), channels: 4, name: name)
      return Image(width: header.width, height: header.height, pixels: rgb(fromInvertedCMYK: inks))
    }
    let pixels = try handle.decompress(bytes, header, format: Int32(TJPF_RGB.rawValue), channels: 3, name: name)
    return Image(width: header.width, height: header.height, pixels: pixels)
  }

  /// A JPEG file of the image, chroma halved in both directions.
  /// - Parameter quality: 1 … 100
  public static func encode(_ image: Image, quality: Int = 95, name: String = "image") throws(DatasetError) -> [UInt8] {
    try TurboHandle.compressor().compress(image, quality: min(max(quality, 1), 100), name: name)
  }

  /// Adobe stores ink inverted: 255 is no ink.
  private static func rgb(fromInvertedCMYK inks: [UInt8]) -> [UInt8] {
    var pixels = [UInt8](repeating: 0, count: inks.count / 4 * 3)
    for pixel in 0..<(inks.count / 4) {
      let key = Int(inks[pixel * 4 + 3])
      for channel in 0..<3 {
        pixels[pixel * 3 + channel] = UInt8(key - ((255 - Int(inks[pixel * 4 + channel])) * key >> 8))
      }
    }
    return pixels
  }
}

/// Owner of a libjpeg-turbo instance.
@safe private struct TurboHandle: ~Copyable {
  struct Header {
    var width: Int
    var height: Int
    var isCMYK: Bool
  }

  private let raw: tjhandle

  private init(_ raw: tjhandle?) throws(DatasetError) {
    guard let raw = unsafe raw else { throw DatasetError("libjpeg-turbo cannot be set up: out of memory") }
    unsafe self.raw = raw
  }

  static func decompressor() throws(DatasetError) -> TurboHandle { try unsafe TurboHandle(tjInitDecompress()) }
  static func compressor() throws(DatasetError) -> TurboHandle { try unsafe TurboHandle(tjInitCompress()) }

  deinit { _ = unsafe tjDestroy(raw) }

  func header(_ bytes: [UInt8], name: String) throws(DatasetError) -> Header {
    var width: Int32 = 0
    var height: Int32 = 0
    var subsampling: Int32 = 0
    var colourSpace: Int32 = 0
    // Reads within the array's bounds only and keeps no pointer.
    let status = unsafe bytes.withUnsafeBufferPointer { buffer in
      unsafe tjDecompressHeader3(
        raw, buffer.baseAddress, UInt(buffer.count), &width, &height, &subsampling, &colourSpace)
    }
    try check(status, name)
    try checkImageSize(width: Int(width), height: Int(height), name: name)
    let isCMYK = colourSpace == Int32(TJCS_CMYK.rawValue) || colourSpace == Int32(TJCS_YCCK.rawValue)
    return Header(width: Int(width), height: Int(height), isCMYK: isCMYK)
  }

  func decompress(
    _ bytes: [UInt8], _ header: Header, format: Int32, channels: Int, name: String
  ) throws(DatasetError) -> [UInt8] {
    var pixels = [UInt8](repeating: 0, count: header.width * header.height * channels)
    // `pixels` has the room for height rows of width pixels that the call fills; neither pointer is kept.
    let status = unsafe bytes.withUnsafeBufferPointer { source in
      unsafe pixels.withUnsafeMutableBufferPointer { target in
        unsafe tjDecompress2(
          raw, source.baseAddress, UInt(source.count), target.baseAddress, Int32(header.width), 0,
          Int32(header.height), format, TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS)
      }
    }
    try check(status, name)
    return pixels
  }

  func compress(_ image: Image, quality: Int, name: String) throws(DatasetError) -> [UInt8] {
    let subsampling = Int32(TJSAMP_420.rawValue)
    var size = tjBufSize(Int32(image.width), Int32(image.height), subsampling)
    var bytes = [UInt8](repeating: 0, count: Int(size))
    // `bytes` has the worst-case size the library asks for, so it never reallocates (TJFLAG_NOREALLOC).
    let status = unsafe image.pixels.withUnsafeBufferPointer { source in
      unsafe bytes.withUnsafeMutableBufferPointer { target in
        var address = target.baseAddress
        return unsafe tjCompress2(
          raw, source.baseAddress, Int32(image.width), 0, Int32(image.height), Int32(TJPF_RGB.rawValue), &address,
          &size, subsampling, Int32(quality), TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT)
      }
    }
    try check(status, name)
    bytes.removeLast(bytes.count - Int(size))
    return bytes
  }

  /// Warnings (a file that breaks off, stray bytes) leave a usable image.
  private func check(_ status: Int32, _ name: String) throws(DatasetError) {
    guard status != 0, unsafe tjGetErrorCode(raw) != Int32(TJERR_WARNING.rawValue) else { return }
    throw DatasetError("\(name): not a sound JPEG: \(unsafe String(cString: tjGetErrorStr2(raw)))")
  }
}
