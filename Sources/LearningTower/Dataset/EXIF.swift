/// How an image is to be turned to be seen upright; raw values are those of EXIF tag 0x0112.
enum Orientation: Int, Sendable {
  case upright = 1
  case mirrored
  case rotated180
  case flipped
  case transposed
  case rotated90
  case transversed
  case rotated270

  var isTransposing: Bool { rawValue >= Orientation.transposed.rawValue }
}

enum EXIF {
  /// The orientation in the EXIF segment of a JPEG; `.upright` if there is none or it is damaged.
  static func orientation(ofJPEG bytes: [UInt8]) -> Orientation {
    var position = 2
    while position + 4 <= bytes.count, bytes[position] == 0xFF {
      let marker = bytes[position + 1]
      if marker == 0xFF {  // fill byte
        position += 1
        continue
      }
      let length = Int(bytes[position + 2]) << 8 | Int(bytes[position + 3])
      let end = position + 2 + length
      guard marker != 0xDA, length >= 2, end <= bytes.count else { break }
      let segment = bytes[(position + 4)..<end]
      if marker == 0xE1, segment.starts(with: [0x45, 0x78, 0x69, 0x66, 0, 0]),  // Exif
        let orientation = orientation(tiff: Array(segment.dropFirst(6)))
      {
        return orientation
      }
      position = end
    }
    return .upright
  }

  /// The orientation in the `eXIf` chunk of a PNG, which may stand before or behind the pixels; `.upright` if there is
  /// none or it is damaged.
  /// - Parameter part: gives the bytes of the file at an offset, fewer than asked for at its end.
  static func orientation(
    ofPNG part: (_ offset: Int, _ count: Int) throws(DatasetError) -> [UInt8]
  ) throws(DatasetError) -> Orientation {
    var position = 8
    for _ in 0..<(1 << 17) {  // libpng's writer makes no more of the largest file that is read.
      let head = try part(position, 8)  // Length and type; the content and four bytes of checksum follow.
      guard head.count == 8, !head.dropFirst(4).elementsEqual("IEND".utf8) else { return .upright }
      let length = head.prefix(4).reduce(0) { $0 << 8 | Int($1) }
      if head.dropFirst(4).elementsEqual("eXIf".utf8) {
        return orientation(tiff: try part(position + 8, min(length, 1 << 16))) ?? .upright
      }
      position += 12 + length
    }
    return .upright
  }

  /// A TIFF file: byte order, 42, offset of the first directory, whose entries have 12 bytes.
  private static func orientation(tiff: [UInt8]) -> Orientation? {
    let isLittle: Bool
    switch tiff.prefix(2) {
    case [0x49, 0x49]: isLittle = true
    case [0x4D, 0x4D]: isLittle = false
    default: return nil
    }
    func integer(at offset: Int, bytes count: Int) -> Int? {
      guard offset >= 0, offset <= tiff.count - count else { return nil }
      let field = tiff[offset..<(offset + count)]
      return (isLittle ? Array(field.reversed()) : Array(field)).reduce(0) { $0 << 8 | Int($1) }
    }
    guard let directory = integer(at: 4, bytes: 4), let entries = integer(at: directory, bytes: 2) else { return nil }
    for entry in 0..<entries {
      let offset = directory + 2 + entry * 12
      guard let tag = integer(at: offset, bytes: 2) else { return nil }
      if tag == 0x0112 { return integer(at: offset + 8, bytes: 2).flatMap(Orientation.init(rawValue:)) }
    }
    return nil
  }
}

extension Image {
  /// The image turned upright.
  func oriented(_ orientation: Orientation) -> Image {
    if orientation == .upright { return self }
    let (newWidth, newHeight) = orientation.isTransposing ? (height, width) : (width, height)
    var turned = [UInt8](repeating: 0, count: pixels.count)
    for y in 0..<newHeight {
      for x in 0..<newWidth {
        let (sourceX, sourceY) =
          switch orientation {
          case .upright: (x, y)
          case .mirrored: (width - 1 - x, y)
          case .rotated180: (width - 1 - x, height - 1 - y)
          case .flipped: (x, height - 1 - y)
          case .transposed: (y, x)
          case .rotated90: (y, height - 1 - x)
          case .transversed: (width - 1 - y, height - 1 - x)
          case .rotated270: (width - 1 - y, x)
          }
        for channel in 0..<3 {
          turned[(y * newWidth + x) * 3 + channel] = pixels[(sourceY * width + sourceX) * 3 + channel]
        }
      }
    }
    return Image(width: newWidth, height: newHeight, pixels: turned)
  }
}
