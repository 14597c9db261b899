/// An RGB image of 8 bits per channel: `pixels` is `height` × `width` × 3, row by row, without padding.
public struct Image: Sendable, Hashable {
  public let width: Int
  public let height: Int
  public var pixels: [UInt8]

  /// - Precondition: `pixels` holds exactly `height · width · 3` values.
  public init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(width > 0 && height > 0 && pixels.count == width * height * 3, "pixels do not fill \(width)×\(height)")
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// An image of one grey level.
  public init(width: Int, height: Int, grey: UInt8 = Image.borderGrey) {
    self.init(width: width, height: height, pixels: [UInt8](repeating: grey, count: width * height * 3))
  }

  /// The grey around letterboxed and warped images, as in YOLOv5.
  public static let borderGrey: UInt8 = 114
}
