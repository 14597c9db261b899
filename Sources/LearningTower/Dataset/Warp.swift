import Geometry

/// Bilinear warp of RGB images with a grey border, in the arithmetic of OpenCV 4's `warpAffine` and `warpPerspective`:
/// positions in 1/32 pixel, weights of 10 bits.
struct Warp: Sendable {
  /// From pixels of the result to pixels of the source.
  private let inverse: Matrix3
  private let width: Int
  private let height: Int
  private let resultWidth: Int
  private let resultHeight: Int

  init(_ matrix: Matrix3, width: Int, height: Int, resultWidth: Int, resultHeight: Int) {
    inverse = matrix.inverse
    self.width = width
    self.height = height
    self.resultWidth = resultWidth
    self.resultHeight = resultHeight
  }

  /// The part of the source that may be read; nothing else of it needs to be there.
  var sourceRegion: PixelRectangle {
    let whole = PixelRectangle(left: 0, top: 0, right: width, bottom: height)
    guard inverse.isAffine else { return whole }
    let corners = [(0, 0), (resultWidth, 0), (0, resultHeight), (resultWidth, resultHeight)].map {
      inverse.apply(Double($0.0), Double($0.1))
    }
    // One pixel for the second neighbour, one for rounding; limits that an Int can hold.
    func pixel(_ value: Double, _ margin: Int) -> Int { Int(min(max(value, -1e9), 1e9).rounded(.down)) + margin }
    return PixelRectangle(
      left: pixel(corners.map(\.x).min() ?? 0, -2), top: pixel(corners.map(\.y).min() ?? 0, -2),
      right: pixel(corners.map(\.x).max() ?? 0, 3), bottom: pixel(corners.map(\.y).max() ?? 0, 3)
    ).intersection(whole)
  }

  /// Warps `source` (height × width × 3) into `result` (result height × result width × 3), which is overwritten.
  func apply(_ source: Span<UInt8>, into result: inout [UInt8]) {
    precondition(source.count == width * height * 3 && result.count == resultWidth * resultHeight * 3, "sizes differ")
    if inverse.isAffine, inverse.b == 0, inverse.d == 0 {
      scale(source, into: &result)
    } else {
      warp(source, into: &result)
    }
  }

  /// Without rotation or shear, the columns read are the same in every row, and so is a row's pair of source rows: they
  /// are mixed first, then the columns. The same sums as in the general case.
  private func scale(_ source: Span<UInt8>, into result: inout [UInt8]) {
    let columns = (0..<resultWidth).map { Self.fixed(inverse.c) + Self.fixed(inverse.a * Double($0)) }
    let positions = columns.map { ($0 + 16) >> 5 }
    // Two border pixels before the image and behind it are all that taps outside it need.
    let taps = positions.map { min(max($0 >> 5, -2), width) + 2 }
    let weights = positions.map { UInt32($0 & 31) }
    let rowBytes = width * 3
    var mixed = [UInt16](repeating: UInt16(Image.borderGrey) * 32, count: (width + 4) * 3)
    let (firstTap, lastTap) = (max((taps.min() ?? 0) - 2, 0), min((taps.max() ?? 0) - 1, width - 1))
    for y in 0..<resultHeight {
      let position = (Self.fixed(inverse.e * Double(y) + inverse.f) + 16) >> 5
      let row = position >> 5
      let weight = UInt16(position & 31)
      let start = y * resultWidth * 3
      guard row >= -1, row < height else {
        fill(&result, start..<(start + resultWidth * 3))
        continue
      }
      if firstTap <= lastTap {
        mixRows(
          row >= 0 ? source.extracting((row * rowBytes)..<((row + 1) * rowBytes)) : nil,
          row + 1 < height ? source.extracting(((row + 1) * rowBytes)..<((row + 2) * rowBytes)) : nil,
          weight, (firstTap * 3)..<((lastTap + 1) * 3), &mixed)
      }
      mixColumns(mixed.span, taps.span, weights.span, &result, start)
    }
  }

  private func warp(_ source: Span<UInt8>, into result: inout [UInt8]) {
    let isAffine = inverse.isAffine
    for y in 0..<resultHeight {
      let baseX = Self.fixed(inverse.b * Double(y) + inverse.c) + 16
      let baseY = Self.fixed(inverse.e * Double(y) + inverse.f) + 16
      for x in 0..<resultWidth {
        let positionX: Int
        let positionY: Int
        if isAffine {
          positionX = (baseX + Self.fixed(inverse.a * Double(x))) >> 5
          positionY = (baseY + Self.fixed(inverse.d * Double(x))) >> 5
        } else {
          let w = inverse.g * Double(x) + inverse.h * Double(y) + inverse.i
          let scale = w == 0 ? 0 : 32 / w
          positionX = Self.rounded((inverse.a * Double(x) + inverse.b * Double(y) + inverse.c) * scale)
          positionY = Self.rounded((inverse.d * Double(x) + inverse.e * Double(y) + inverse.f) * scale)
        }
        sample(source, positionX, positionY, &result, (y * resultWidth + x) * 3)
      }
    }
  }

  /// The mean of the four pixels round a position in 1/32 pixel.
  private func sample(
    _ source: Span<UInt8>, _ positionX: Int, _ positionY: Int, _ result: inout [UInt8], _ target: Int
  ) {
    let (x, y) = (positionX >> 5, positionY >> 5)
    let (right, lower) = (UInt32(positionX & 31), UInt32(positionY & 31))
    let (left, upper) = (32 - right, 32 - lower)
    if x >= 0, x < width - 1, y >= 0, y < height - 1 {
      let first = (y * width + x) * 3
      let second = first + width * 3
      for channel in 0..<3 {
        let top = UInt32(source[first + channel]) * left + UInt32(source[first + 3 + channel]) * right
        let bottom = UInt32(source[second + channel]) * left + UInt32(source[second + 3 + channel]) * right
        result[target + channel] = UInt8(truncatingIfNeeded: (top * upper + bottom * lower + 512) >> 10)
      }
      return
    }
    for channel in 0..<3 {
      func pixel(_ x: Int, _ y: Int) -> UInt32 {
        let isInside = x >= 0 && x < width && y >= 0 && y < height
        return UInt32(isInside ? source[(y * width + x) * 3 + channel] : Image.borderGrey)
      }
      let top = pixel(x, y) * left + pixel(x + 1, y) * right
      let bottom = pixel(x, y + 1) * left + pixel(x + 1, y + 1) * right
      result[target + channel] = UInt8(truncatingIfNeeded: (top * upper + bottom * lower + 512) >> 10)
    }
  }

  /// In 1/1024 pixel, halves to even; OpenCV saturates to 32 bits.
  private static func fixed(_ value: Double) -> Int { rounded(value * 1024) }

  private static func rounded(_ value: Double) -> Int {
    Int(min(max(value.isNaN ? 0 : value, -2_147_483_648), 2_147_483_647).rounded(.toNearestOrEven))
  }
}

/// `mixed[6 + i] = 32 · ((1 − weight / 32) · upper + weight / 32 · lower)` over `range`; a row that is not there
/// is grey.
private func mixRows(
  _ upper: Span<UInt8>?, _ lower: Span<UInt8>?, _ weight: UInt16, _ range: Range<Int>, _ mixed: inout [UInt16]
) {
  var mixed = mixed.mutableSpan
  let (start, count) = (range.lowerBound + 6, range.count)
  precondition(start >= 0 && start + count <= mixed.count, "a place for every value")
  if let upper, let lower {
    let (first, second) = (upper.extracting(range), lower.extracting(range))
    precondition(first.count == count && second.count == count, "rows of equal length")
    for i in 0..<count { mixed[start + i] = UInt16(first[i]) &* (32 &- weight) &+ UInt16(second[i]) &* weight }
  } else if let row = upper {
    mixWithBorder(row.extracting(range), 32 - weight, &mixed, start)
  } else if let row = lower {
    mixWithBorder(row.extracting(range), weight, &mixed, start)
  }
}

private func mixWithBorder(_ row: Span<UInt8>, _ weight: UInt16, _ mixed: inout MutableSpan<UInt16>, _ start: Int) {
  let grey = UInt16(Image.borderGrey) * (32 - weight)
  for i in row.indices { mixed[start + i] = UInt16(row[i]) &* weight &+ grey }
}

private func mixColumns(
  _ mixed: Span<UInt16>, _ taps: Span<Int>, _ weights: Span<UInt32>, _ result: inout [UInt8], _ start: Int
) {
  var result = result.mutableSpan
  precondition(weights.count == taps.count && start + taps.count * 3 <= result.count, "a place for every value")
  for x in taps.indices {
    let tap = taps[x] * 3
    let target = start + x * 3
    let right = weights[x]
    let left = 32 &- right
    for channel in 0..<3 {
      let sum = UInt32(mixed[tap + channel]) &* left &+ UInt32(mixed[tap + 3 + channel]) &* right
      result[target + channel] = UInt8(truncatingIfNeeded: (sum &+ 512) >> 10)
    }
  }
}

private func fill(_ pixels: inout [UInt8], _ range: Range<Int>) {
  for i in range { pixels[i] = Image.borderGrey }
}
