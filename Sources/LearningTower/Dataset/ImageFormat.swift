/// The formats of pictures that are told apart, by the first bytes of a file and never by its name. JPEG and PNG are
/// read; the others are known so that their files are reported rather than overlooked.
enum ImageFormat: String, Sendable, CaseIterable {
  case jpeg = "JPEG"
  case png = "PNG"
  case webP = "WebP"
  case bmp = "BMP"
  case tiff = "TIFF"
  case gif = "GIF"
  case heif = "HEIF"
  case avif = "AVIF"
  case jpeg2000 = "JPEG 2000"
  case jpegXL = "JPEG XL"
  case photoshop = "Photoshop"
  case portableMap = "portable map"

  init?(_ bytes: [UInt8]) {
    let known = Self.allCases.first { format in
      format.signatures.contains { signature in
        bytes.count >= signature.offset + signature.bytes.count
          && bytes.dropFirst(signature.offset).starts(with: signature.bytes)
      }
    }
    guard let known else { return nil }
    self = known
  }

  /// Endings (lower case) of names that promise a picture. A file in a folder or list of pictures whose name has
  /// another ending is no picture: copies that editors keep (`a.jpg_original`) have pictures' bytes too.
  static let endings: Set<String> = Set(allCases.flatMap(\.endings))

  /// The first is the usual one.
  var endings: [String] {
    switch self {
    case .jpeg: ["jpg", "jpeg", "jpe", "jfif", "mpo"]
    case .png: ["png", "apng"]
    case .webP: ["webp"]
    case .bmp: ["bmp", "dib"]
    case .tiff: ["tif", "tiff", "dng"]
    case .gif: ["gif"]
    case .heif: ["heic", "heif"]
    case .avif: ["avif"]
    case .jpeg2000: ["jp2", "j2k", "jpx"]
    case .jpegXL: ["jxl"]
    case .photoshop: ["psd"]
    case .portableMap: ["pfm", "pbm", "pgm", "ppm", "pnm"]
    }
  }

  private var signatures: [(offset: Int, bytes: [UInt8])] {
    func words(_ texts: String..., at offset: Int = 0) -> [(offset: Int, bytes: [UInt8])] {
      texts.map { (offset, Array($0.utf8)) }
    }
    return switch self {
    case .jpeg: [(0, [0xFF, 0xD8, 0xFF])]
    case .png: [(0, [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])]
    case .webP: words("WEBP", at: 8)
    case .bmp: words("BM")
    case .tiff: words("II*\0", "MM\0*", "II+\0", "MM\0+")
    case .gif: words("GIF87a", "GIF89a")
    case .heif: words("ftypheic", "ftypheix", "ftyphevc", "ftypheim", "ftypmif1", "ftypmsf1", at: 4)
    case .avif: words("ftypavif", "ftypavis", at: 4)
    case .jpeg2000: words("jP  ", at: 4) + [(0, [0xFF, 0x4F, 0xFF, 0x51])]
    case .jpegXL: words("JXL ", at: 4) + [(0, [0xFF, 0x0A])]
    case .photoshop: words("8BPS")
    case .portableMap: words("P1\n", "P2\n", "P3\n", "P4\n", "P5\n", "P6\n", "P7\n", "PF\n", "Pf\n")
    }
  }
}
