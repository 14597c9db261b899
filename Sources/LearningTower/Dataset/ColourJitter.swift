import Randomness

/// Gains of hue, saturation and value as YOLOv5's `augment_hsv` applies them: through 8-bit HSV (hue in 0 ..< 180) and
/// one lookup table per channel, with OpenCV's conversions.
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
    let newHues = hue[..<180].map { HuePlace.all[Int($0)] }
    let newSaturations = saturation.map { Float($0) * (1 / 255) }
    jitter(&pixels, HSVTables.shared, newHues.span, newSaturations.span, value.span)
  }
}

/// OpenCV's division tables, with 12 fraction bits: 255 / value and 30 / (largest − smallest channel).
struct HSVTables: Sendable {
  static let shared = HSVTables()

  let saturationDivision: [Int32]
  let hueDivision: [Int32]

  private init() {
    func table(_ numerator: Double) -> [Int32] {
      (0..<256).map { $0 == 0 ? 0 : Int32((numerator / Double($0)).rounded(.toNearestOrEven)) }
    }
    saturationDivision = table(255 * 4096)
    hueDivision = table(180 * 4096 / 6)
  }
}

/// Hue (0 ..< 180), saturation and value (0 … 255) of a pixel.
@inline(__always)
func hsv(
  _ red: Int32, _ green: Int32, _ blue: Int32, _ saturationDivision: Span<Int32>, _ hueDivision: Span<Int32>
) -> (hue: Int, saturation: Int, value: Int) {
  let value = max(red, green, blue)
  let difference = value &- min(red, green, blue)
  let saturation = (difference &* saturationDivision[Int(value)] &+ 2048) >> 12
  let offset =
    value == red
    ? green &- blue : value == green ? blue &- red &+ 2 &* difference : red &- green &+ 4 &* difference
  let hue = (offset &* hueDivision[Int(difference)] &+ 2048) >> 12
  return (Int(hue < 0 ? hue &+ 180 : hue), Int(saturation), Int(value))
}

/// Where an 8-bit hue lies on the circle. One channel has the full value, one the least, and one is in between: in even
/// sixths of the circle it rises towards the full value, in odd ones it falls.
private struct HuePlace: Sendable {
  /// Distance of the channel in between from the full value, in units of (full − least).
  var distance: Double
  /// By how many bits a word of (full, least, between) bytes is to be shifted to have each channel at its end.
  var redShift: UInt32
  var greenShift: UInt32
  var blueShift: UInt32

  static let all: [HuePlace] = (0..<180).map { hue in
    let angle = Float(hue) * (6 / 180)
    let fraction = angle - angle.rounded(.down)
    let sixth = Int(angle)
    let shifts: [(UInt32, UInt32, UInt32)] = [(0, 16, 8), (16, 0, 8), (8, 0, 16), (8, 16, 0), (16, 8, 0), (0, 8, 16)]
    return HuePlace(
      distance: Double(sixth % 2 == 0 ? 1 - fraction : fraction), redShift: shifts[sixth].0,
      greenShift: shifts[sixth].1, blueShift: shifts[sixth].2)
  }
}

private func jitter(
  _ pixels: inout [UInt8], _ tables: HSVTables, _ hues: Span<HuePlace>, _ saturations: Span<Float>,
  _ values: Span<UInt8>
) {
  let (saturationDivision, hueDivision) = (tables.saturationDivision.span, tables.hueDivision.span)
  var pixels = pixels.mutableSpan
  var i = 0
  while i + 2 < pixels.count {
    let old = hsv(Int32(pixels[i]), Int32(pixels[i + 1]), Int32(pixels[i + 2]), saturationDivision, hueDivision)
    let place = hues[old.hue]
    let saturation = saturations[old.saturation]
    let full = values[old.value]
    let value = Float(full) * (1 / 255)
    let least = rounded(value * (1 - saturation))
    // OpenCV's 1 − s·f is a fused multiply-add; a product of two floats is exact in double.
    let between = rounded(value * Float(1 - Double(saturation) * place.distance))
    let word = UInt32(full) | least << 8 | between << 16
    pixels[i] = UInt8(truncatingIfNeeded: word &>> place.redShift)
    pixels[i + 1] = UInt8(truncatingIfNeeded: word &>> place.greenShift)
    pixels[i + 2] = UInt8(truncatingIfNeeded: word &>> place.blueShift)
    i += 3
  }
}

/// A fraction in [0, 1] in 1/255, halves to even.
@inline(__always)
private func rounded(_ fraction: Float) -> UInt32 {
  // Adding 2²³ leaves the rounded integer in the lowest bits: what `rounded` does, without a call on older processors.
  (fraction * 255 + 0x1p23).bitPattern & 255
}
