import Foundation
import Geometry
import Randomness

/// A kind of object in a sample data set; raw values are the class names.
enum SampleShape: String, Sendable, CaseIterable {
  case disc
  case crate
  case triangle
  case cross
  case ring
  case star

  /// Distance to the outline in units of the shape's half size, negative inside; (x, y) from its centre in the same
  /// units. Exact near the outline, which is all that drawing needs.
  func distance(_ x: Float, _ y: Float) -> Float {
    switch self {
    case .disc: return (x * x + y * y).squareRoot() - 0.9
    case .ring: return abs((x * x + y * y).squareRoot() - 0.7) - 0.22
    case .crate: return max(abs(x), abs(y)) - 0.8
    case .triangle: return max(abs(x) * 0.866 + y * 0.5, -y) - 0.5
    case .cross: return max(min(abs(x), abs(y)) - 0.26, max(abs(x), abs(y)) - 0.9)
    case .star:
      let angle = atan2(y, x)
      let fifth = 2 * Float.pi / 5
      let turned = angle - fifth * (angle / fifth).rounded()
      let radius = (x * x + y * y).squareRoot()
      // A straight edge from the tip (radius 1) to the notch (radius 0.45, half a fifth further).
      return (radius * cos(turned) * 0.535 + abs(radius * sin(turned)) * 0.845 - 0.535) * 0.9
    }
  }

  /// How much of the second colour a pixel of the shape has, 0 … 1.
  func pattern(_ x: Float, _ y: Float) -> Float {
    switch self {
    case .disc: return smoothStep((0.45 - ((x + 0.25) * (x + 0.25) + (y + 0.25) * (y + 0.25)).squareRoot()) * 4)
    case .crate: return smoothStep(sin(x * 12) * 2 + 0.5)
    case .triangle: return smoothStep((distance(x, y) + 0.2) * 12)
    case .cross: return smoothStep((0.2 - max(abs(x), abs(y))) * 12)
    case .ring: return smoothStep(sin(atan2(y, x) * 6) * 2 + 0.5)
    case .star: return smoothStep((0.35 - (x * x + y * y).squareRoot()) * 8)
    }
  }

  /// Typical hue, degrees. Only a hint: a quarter of the objects have any.
  var hue: Double {
    switch self {
    case .disc: 5
    case .crate: 35
    case .triangle: 130
    case .cross: 215
    case .ring: 290
    case .star: 60
    }
  }
}

/// A picture being painted, in linear colours 0 … 1, with the labels of what is in it.
struct SampleScene {
  private let width: Int
  private let height: Int
  /// `height` × `width`
  private var pixels: [SIMD3<Float>]
  /// The number of the object on top at each pixel; 0 is ground.
  private var owner: [UInt8]
  /// Pixels of each object before others covered it; entry 0 is unused.
  private var areas = [0]
  private(set) var labels: [Label] = []

  /// Ground: two colours mixed by noise of three octaves.
  init(width: Int, height: Int, _ generator: inout SplitMix64) {
    self.width = width
    self.height = height
    let first = randomColor(saturation: 0.05...0.45, value: 0.15...0.85, &generator)
    let second = randomColor(saturation: 0.05...0.45, value: 0.15...0.85, &generator)
    let cells = Float(generator.uniform(10, 40)) * Float(max(width, height)) / 224
    let noise = ValueNoise(&generator)
    pixels = []
    pixels.reserveCapacity(width * height)
    for y in 0..<height {
      for x in 0..<width {
        let (u, v) = (Float(x) / cells, Float(y) / cells)
        let mix =
          0.55 * noise.value(u, v) + 0.3 * noise.value(u * 2.3 + 7, v * 2.3) + 0.15 * noise.value(u * 6, v * 6 + 3)
        pixels.append(first + (second - first) * mix)
      }
    }
    owner = Array(repeating: 0, count: width * height)
  }

  /// Paints a shape of random size, place, turn and colour where it hides no other one too much. Without such a place
  /// it is left out.
  mutating func place(_ shape: SampleShape, classIndex: Int, _ generator: inout SplitMix64) {
    let side = Double(min(width, height))
    for _ in 0..<12 {
      // More small ones than large ones.
      let half = side * 0.09 * pow(2.8, generator.unit())
      let object = SampleObject(
        shape: shape, centerX: Float(generator.uniform(0.6 * half, Double(width) - 0.6 * half)),
        centerY: Float(generator.uniform(0.6 * half, Double(height) - 0.6 * half)), half: Float(half),
        angle: Float(generator.uniform(-.pi, .pi)), squeeze: Float(generator.uniform(0.8, 1.25)))
      let colours = objectColours(shape, &generator)
      if paint(object, colours, classIndex: classIndex) { return }
    }
  }

  private mutating func paint(
    _ object: SampleObject, _ colours: (SIMD3<Float>, SIMD3<Float>), classIndex: Int
  ) -> Bool {
    let reach = Int(object.half * 1.5) + 2
    let (centerX, centerY) = (Int(object.centerX), Int(object.centerY))
    let rows = max(centerY - reach, 0)..<min(centerY + reach, height)
    let columns = max(centerX - reach, 0)..<min(centerX + reach, width)
    var covered = Array(repeating: 0, count: areas.count)
    var box = PixelRectangle(left: width, top: height, right: 0, bottom: 0)
    var area = 0
    var whole = 0
    for y in (centerY - reach)..<(centerY + reach) {
      for x in (centerX - reach)..<(centerX + reach) where object.coverage(Float(x), Float(y)) >= 0.5 {
        whole += 1
        guard rows.contains(y), columns.contains(x) else { continue }
        area += 1
        covered[Int(owner[y * width + x])] += 1
        box = PixelRectangle(
          left: min(box.left, x), top: min(box.top, y), right: max(box.right, x + 1), bottom: max(box.bottom, y + 1))
      }
    }
    // At least two thirds inside the picture, and at least two thirds of every other object still to be seen.
    guard area * 3 >= whole * 2, !box.isEmpty else { return false }
    var left = Array(repeating: 0, count: areas.count)
    for number in owner { left[Int(number)] += 1 }
    guard (1..<areas.count).allSatisfy({ (left[$0] - covered[$0]) * 3 >= areas[$0] * 2 }) else { return false }

    let number = UInt8(areas.count)
    for y in rows {
      for x in columns {
        let coverage = object.coverage(Float(x), Float(y))
        guard coverage > 0 else { continue }
        let (u, v) = object.local(Float(x), Float(y))
        let shade = 1 - 0.18 * (u + v)
        let colour = (colours.0 + (colours.1 - colours.0) * object.shape.pattern(u, v)) * shade
        let index = y * width + x
        pixels[index] += (colour - pixels[index]) * coverage
        if coverage >= 0.5 { owner[index] = number }
      }
    }
    areas.append(area)
    labels.append(
      Label(
        classIndex: classIndex, cx: Float(box.left + box.right) / 2 / Float(width),
        cy: Float(box.top + box.bottom) / 2 / Float(height), w: Float(box.right - box.left) / Float(width),
        h: Float(box.bottom - box.top) / Float(height)))
    return true
  }

  /// Main colour and that of the pattern, far enough apart to be seen.
  private func objectColours(
    _ shape: SampleShape, _ generator: inout SplitMix64
  ) -> (SIMD3<Float>, SIMD3<Float>) {
    let isTypical = generator.unit() < 0.75
    let hue = isTypical ? shape.hue + 18 * generator.normal() : generator.uniform(0, 360)
    let value = generator.uniform(0.45, 1)
    let main = rgb(hue: hue, saturation: generator.uniform(0.45, 0.95), value: value)
    let contrast = value > 0.7 ? value * 0.4 : min(value * 1.9, 1)
    return (main, rgb(hue: hue + generator.uniform(-40, 40), saturation: generator.uniform(0.1, 0.6), value: contrast))
  }

  /// Thin lines and specks in front of everything: things that are none of the classes.
  mutating func addClutter(_ generator: inout SplitMix64) {
    for _ in 0..<generator.index(below: 5) {
      let colour = randomColor(saturation: 0...0.6, value: 0.1...0.95, &generator)
      let thickness = Float(generator.uniform(0.6, 1.8)) * Float(max(width, height)) / 224
      let angle = Float(generator.uniform(0, .pi))
      let (normalX, normalY) = (cos(angle), sin(angle))
      let (x, y) = (Float(generator.uniform(0, Double(width))), Float(generator.uniform(0, Double(height))))
      blend(colour) { thickness - abs((Float($0) - x) * normalX + (Float($1) - y) * normalY) }
    }
    for _ in 0..<generator.index(below: 8) {
      let colour = randomColor(saturation: 0...0.8, value: 0.1...0.95, &generator)
      let radius = Float(generator.uniform(1, 3.5)) * Float(max(width, height)) / 224
      let (x, y) = (Float(generator.uniform(0, Double(width))), Float(generator.uniform(0, Double(height))))
      blend(colour) { radius - ((Float($0) - x) * (Float($0) - x) + (Float($1) - y) * (Float($1) - y)).squareRoot() }
    }
  }

  /// Mixes a colour in where `depth` (pixels inside the outline) is positive, softly over one pixel.
  private mutating func blend(_ colour: SIMD3<Float>, _ depth: (Int, Int) -> Float) {
    for y in 0..<height {
      for x in 0..<width {
        let coverage = min(max(depth(x, y) + 0.5, 0), 1)
        let index = y * width + x
        if coverage > 0 { pixels[index] += (colour - pixels[index]) * coverage }
      }
    }
  }

  /// The photograph: light falls off across the picture, with a tint, and the sensor adds noise.
  func developed(_ generator: inout SplitMix64) -> Image {
    let angle = generator.uniform(0, 2 * .pi)
    let fall = Float(generator.uniform(0, 0.35))
    let (slopeX, slopeY) = (Float(cos(angle)) * fall, Float(sin(angle)) * fall)
    let exposure = Float(generator.uniform(0.75, 1.15))
    let tint = SIMD3(
      Float(generator.uniform(0.9, 1.1)), Float(generator.uniform(0.95, 1.05)), Float(generator.uniform(0.9, 1.1)))
    let noise = Float(generator.uniform(0.005, 0.03))
    var bytes: [UInt8] = []
    bytes.reserveCapacity(width * height * 3)
    for y in 0..<height {
      for x in 0..<width {
        let light =
          exposure * (1 + slopeX * (2 * Float(x) / Float(width) - 1) + slopeY * (2 * Float(y) / Float(height) - 1))
        let grain = Float(generator.normal()) * noise
        let colour = (pixels[y * width + x] * light * tint + grain) * 255
        for channel in 0..<3 { bytes.append(UInt8(min(max(colour[channel], 0), 255))) }
      }
    }
    return Image(width: width, height: height, pixels: bytes)
  }
}

/// A shape at its place; pixels and radians.
private struct SampleObject {
  let shape: SampleShape
  let centerX: Float
  let centerY: Float
  let half: Float
  private let cosine: Float
  private let sine: Float
  private let squeeze: Float

  init(shape: SampleShape, centerX: Float, centerY: Float, half: Float, angle: Float, squeeze: Float) {
    self.shape = shape
    self.centerX = centerX
    self.centerY = centerY
    self.half = half
    self.squeeze = squeeze
    (cosine, sine) = (cos(angle), sin(angle))
  }

  /// A pixel's place in units of the half size, from the centre, turned upright.
  func local(_ x: Float, _ y: Float) -> (Float, Float) {
    let (dx, dy) = ((x - centerX) / half, (y - centerY) / half)
    return ((dx * cosine + dy * sine) * squeeze, (dy * cosine - dx * sine) / squeeze)
  }

  /// How much of a pixel the shape covers, 0 … 1.
  func coverage(_ x: Float, _ y: Float) -> Float {
    let (u, v) = local(x, y)
    return min(max(0.5 - shape.distance(u, v) * half, 0), 1)
  }
}

/// Smooth noise in 0 … 1: random values on a grid of whole numbers, mixed in between.
private struct ValueNoise {
  private var values: [Float] = []

  init(_ generator: inout SplitMix64) {
    for _ in 0..<4096 { values.append(Float(generator.unit())) }
  }

  func value(_ x: Float, _ y: Float) -> Float {
    let (left, top) = (x.rounded(.down), y.rounded(.down))
    let (u, v) = (smoothStep(x - left), smoothStep(y - top))
    let (column, row) = (Int(left), Int(top))
    func corner(_ x: Int, _ y: Int) -> Float { values[((x & 63) + (y & 63) * 64)] }
    let upper = corner(column, row) * (1 - u) + corner(column + 1, row) * u
    let lower = corner(column, row + 1) * (1 - u) + corner(column + 1, row + 1) * u
    return upper * (1 - v) + lower * v
  }
}

/// 0 below 0, 1 above 1, without a kink in between.
private func smoothStep(_ x: Float) -> Float {
  let t = min(max(x, 0), 1)
  return t * t * (3 - 2 * t)
}

private func randomColor(
  saturation: ClosedRange<Double>, value: ClosedRange<Double>, _ generator: inout SplitMix64
) -> SIMD3<Float> {
  rgb(
    hue: generator.uniform(0, 360), saturation: generator.uniform(saturation.lowerBound, saturation.upperBound),
    value: generator.uniform(value.lowerBound, value.upperBound))
}

/// - Parameter hue: degrees, any.
private func rgb(hue: Double, saturation: Double, value: Double) -> SIMD3<Float> {
  func channel(_ offset: Double) -> Float {
    var k = (offset + hue / 60).truncatingRemainder(dividingBy: 6)
    if k < 0 { k += 6 }
    return Float(value - value * saturation * max(0, min(k, 4 - k, 1)))
  }
  return SIMD3(channel(5), channel(3), channel(1))
}
