internal import CJPEG

/// JPEG by libjpeg, the library OpenCV reads with, so that the same pixels come out. Every legal sampling, grey, RGB,
/// CMYK, YCCK, progressive and arithmetic coding are read; 12 bits and lossless JPEG are refused.
public enum JPEG {
  /// Width and height as stored, before the EXIF orientation.
  static func size(_ bytes: [UInt8], name: String) throws(DatasetError) -> (width: Int, height: Int) {
    // Reads within the array's bounds only and keeps no pointer.
    let result = unsafe bytes.withUnsafeBufferPointer { unsafe cjpeg_read_size($0.baseAddress, $0.count) }
    try check(result, name)
    try checkImageSize(width: Int(result.width), height: Int(result.height), name: name)
    return (Int(result.width), Int(result.height))
  }

  /// The image as stored, without its EXIF orientation. A file that breaks off is decoded as far as it goes, as OpenCV
  /// does, and the result says so.
  static func decode(
    _ bytes: [UInt8], name: String, maximumPixels: Int = ImageFile.maximumDecodedPixels
  ) throws(DatasetError) -> DecodedImage {
    let size = try size(bytes, name: name)
    // With Huffman coding no scan spends less than a bit on a block of 64 pixels, and twice as many blocks may share
    // one; with arithmetic coding only a picture of one colour would.
    try checkCompression(bytes: size.width * size.height, atMost: 1024, fileBytes: bytes.count, size, name: name)
    let reduced = DecodedImage.Size(width: size.width, height: size.height, atMost: maximumPixels)
    var pixels = [UInt8](repeating: 0, count: reduced.pixelBytes)
    // `pixels` has the size that is passed; neither pointer is kept.
    let result = unsafe bytes.withUnsafeBufferPointer { source in
      unsafe pixels.withUnsafeMutableBufferPointer { target in
        unsafe cjpeg_decode(
          source.baseAddress, source.count, Int32(reduced.reduction), target.baseAddress, target.count)
      }
    }
    try check(result, name)
    return DecodedImage(
      image: Image(width: reduced.width, height: reduced.height, pixels: pixels),
      damage: result.is_damaged ? message(result) : nil)
  }

  /// A JPEG file of the image, chroma halved in both directions.
  /// - Parameter quality: 1 … 100
  public static func encode(_ image: Image, quality: Int = 95, name: String = "image") throws(DatasetError) -> [UInt8] {
    // Whole blocks of 16 × 16 pixels, uncompressed, and the headers: what libjpeg-turbo gives as the worst case.
    func padded(_ length: Int) -> Int { (length + 15) / 16 * 16 }
    var bytes = [UInt8](repeating: 0, count: padded(image.width) * padded(image.height) * 3 + 2048)
    var size = 0
    // `pixels` fill width × height × 3, `bytes` has the size that is passed; no pointer is kept.
    let result = unsafe image.pixels.withUnsafeBufferPointer { source in
      unsafe bytes.withUnsafeMutableBufferPointer { target in
        unsafe cjpeg_encode(
          source.baseAddress, UInt32(image.width), UInt32(image.height), Int32(min(max(quality, 1), 100)),
          target.baseAddress, target.count, &size)
      }
    }
    guard result.is_done else { throw DatasetError("\(name): cannot be written as JPEG: \(message(result))") }
    bytes.removeLast(bytes.count - size)
    return bytes
  }

  private static func check(_ result: cjpeg_result, _ name: String) throws(DatasetError) {
    guard !result.is_done else { return }
    throw DatasetError("\(name): not a sound JPEG: \(message(result))", isDamage: true)
  }

  private static func message(_ result: cjpeg_result) -> String {
    // A zero-terminated array inside the structure.
    unsafe withUnsafeBytes(of: result.message) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
