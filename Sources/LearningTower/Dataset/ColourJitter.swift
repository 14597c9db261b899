/// Gains of hue, saturation and value as YOLOv5's `augment_hsv` applies them: through 8-bit HSV (hue in 0 ..< 180) and one
/// lookup table per channel, with OpenCV's conversions.
struct ColourJitter: Sendable, Hashable {
  let hue: [UInt8]
  let saturation: [UInt8]
  let value: [UInt8]

  init(hueGain: Double, saturationGain: Double, valueGain: Double) {
    hue = (0..<256).map { UInt8((Double($0) * hueGain).truncatingRemainder(dividingBy: 180)) }
    saturation = (0..<256).map { UInt8(min(max(Double($0) * saturationGain, 0), 255)) }
    value = (0..<256).map { UInt8(min(max(Double($0) * valueGain, 0), 255)) }
  }

  /// Gains drawn from 1 ± the augmentation's; nil if all of them are 0 and nothing would change.
  init?(_ augmentation: Augmentation, _ generator: inout SplitMix64) {
    guard augmentation.hue != 0 || augmentation.saturation != 0 || augmentation.value != 0 else { return nil }
    self.init(
      hueGain: 1 + generator.uniform(-1, 1) * augmentation.hue,
      saturationGain: 1 + generator.uniform(-1, 1) * augmentation.saturation,
      valueGain: 1 + generator.uniform(-1, 1) * augmentation.value)
  }

  /// Changes RGB pixels in place.
  func apply(to pixels: inout [UInt8]) {
    jitter(&pixels, hue.span, saturation.span, value.span, HSVTables.shared)
  }
}

/// OpenCV's division tables (12 fraction bits) and the place of each hue in its sixth of the circle.
struct HSVTables: Sendable {
  static let shared = HSVTables()

  /// 255 / v and 30 / difference, times 4096.
  let saturationDivision: [Int32]
  let hueDivision: [Int32]
  /// Sixth of the circle (0 … 5) and fraction of it, for each 8-bit hue.
  let sector: [UInt8]
  let fraction: [Double]

  private init() {
    func table(_ numerator: Double) -> [Int32] {
      (0..<256).map { $0 == 0 ? 0 : Int32((numerator / Double($0)).rounded(.toNearestOrEven)) }
    }
    saturationDivision = table(255 * 4096)
    hueDivision = table(180 * 4096 / 6)
    let angles = (0..<256).map { Float($0) * (6 / 180) }
    sector = angles.map { UInt8(Int($0) % 6) }
    fraction = angles.map { Double($0 - $0.rounded(.down)) }
  }
}

/// Hue (0 ..< 180), saturation and value (0 … 255) of a pixel.
@inline(__always)
func hsv(
  _ red: Int32, _ green: Int32, _ blue: Int32, _ saturationDivision: Span<Int32>, _ hueDivision: Span<Int32>
) -> (hue: Int, saturation: Int, value: Int) {
  let value = max(red, green, blue)
  let difference = value - min(red, green, blue)
  let saturation = (difference &* saturationDivision[Int(value)] &+ 2048) >> 12
  let offset =
    value == red
    ? green &- blue : value == green ? blue &- red &+ 2 &* difference : red &- green &+ 4 &* difference
  var hue = (offset &* hueDivision[Int(difference)] &+ 2048) >> 12
  if hue < 0 { hue += 180 }
  return (Int(hue), Int(saturation), Int(value))
}

private func jitter(
  _ pixels: inout [UInt8], _ hues: Span<UInt8>, _ saturations: Span<UInt8>, _ values: Span<UInt8>, _ tables: HSVTables
) {
  let (saturationDivision, hueDivision) = (tables.saturationDivision.span, tables.hueDivision.span)
  let (sectors, fractions) = (tables.sector.span, tables.fraction.span)
  var pixels = pixels.mutableSpan
  var i = 0
  while i + 2 < pixels.count {
    let old = hsv(Int32(pixels[i]), Int32(pixels[i + 1]), Int32(pixels[i + 2]), saturationDivision, hueDivision)
    let hue = Int(hues[old.hue])
    let saturation = Float(saturations[old.saturation]) * (1 / 255)
    let exactSaturation = Double(saturation)
    let value = Float(values[old.value]) * (1 / 255)
    let fraction = fractions[hue]
    let full = byte(value)
    let least = byte(value * (1 - saturation))
    // OpenCV's 1 − s·f is a fused multiply-add; a product of two floats is exact in double.
    let falling = byte(value * Float(1 - exactSaturation * fraction))
    let rising = byte(value * Float(1 - exactSaturation * (1 - fraction)))
    let (red, green, blue) =
      switch sectors[hue] {
      case 0: (full, rising, least)
      case 1: (falling, full, least)
      case 2: (least, full, rising)
      case 3: (least, falling, full)
      case 4: (rising, least, full)
      default: (full, least, falling)
      }
    pixels[i] = red
    pixels[i + 1] = green
    pixels[i + 2] = blue
    i += 3
  }
}

/// A fraction in [0, 1] as a byte, halves to even.
@inline(__always)
private func byte(_ fraction: Float) -> UInt8 {
  // Adding 2²³ leaves the rounded integer in the lowest bits: what `rounded` does, without a call on older processors.
  UInt8(truncatingIfNeeded: (fraction * 255 + 0x1p23).bitPattern)
}
