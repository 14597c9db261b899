/// How pixels are made when an image changes its size.
enum Interpolation: Sendable {
  /// OpenCV's `INTER_LINEAR`: two by two neighbours, weights of 11 bits.
  case bilinear
  /// OpenCV's `INTER_AREA` for shrinking: the mean of the area a pixel covers.
  case area
}

extension Image {
  /// The image in another size, as OpenCV's `resize` gives it (± 1).
  func resized(width newWidth: Int, height newHeight: Int, by interpolation: Interpolation) -> Image {
    if newWidth == width, newHeight == height { return self }
    var result = [UInt8](repeating: 0, count: newWidth * newHeight * 3)
    if interpolation == .area, newWidth <= width, newHeight <= height {
      resizeByArea(pixels.span, width, height, &result, newWidth, newHeight)
    } else {
      resizeBilinear(pixels.span, width, height, &result, newWidth, newHeight)
    }
    return Image(width: newWidth, height: newHeight, pixels: result)
  }
}

/// For each pixel of a new axis, its two neighbours on the old one and the weight of the second in 1/2048: the centre
/// of pixel i lies at (i + ½) · old / new − ½.
private struct BilinearTaps {
  var first: [Int] = []
  var second: [Int] = []
  var weight: [Int32] = []

  init(old: Int, new: Int) {
    let scale = Double(old) / Double(new)
    for i in 0..<new {
      let position = Float((Double(i) + 0.5) * scale - 0.5)
      var index = Int(position.rounded(.down))
      var fraction = position - Float(index)
      if index < 0 { (index, fraction) = (0, 0) }
      if index >= old - 1 { (index, fraction) = (old - 1, 0) }
      first.append(index)
      second.append(min(index + 1, old - 1))
      weight.append(Int32((fraction * 2048).rounded(.toNearestOrEven)))
    }
  }
}

/// Rows are first interpolated sideways (kept with 11 fraction bits; each old row at most once), then mixed.
private func resizeBilinear(
  _ source: Span<UInt8>, _ width: Int, _ height: Int, _ result: inout [UInt8], _ newWidth: Int, _ newHeight: Int
) {
  let horizontal = BilinearTaps(old: width, new: newWidth)
  let vertical = BilinearTaps(old: height, new: newHeight)
  var upper = [Int32](repeating: 0, count: newWidth * 3)
  var lower = upper
  var (upperRow, lowerRow) = (-1, -1)
  for y in 0..<newHeight {
    let (first, second) = (vertical.first[y], vertical.second[y])
    if first == lowerRow {
      swap(&upper, &lower)
      swap(&upperRow, &lowerRow)
    }
    if first != upperRow {
      interpolateRow(source.extracting((first * width * 3)..<((first + 1) * width * 3)), horizontal, &upper)
      upperRow = first
    }
    if second != lowerRow {
      interpolateRow(source.extracting((second * width * 3)..<((second + 1) * width * 3)), horizontal, &lower)
      lowerRow = second
    }
    let weight = vertical.weight[y]
    let start = y * newWidth * 3
    for i in 0..<(newWidth * 3) {
      // OpenCV drops bits before it mixes, so that 32 bits are enough; it is repeated here to give the same pixels.
      let mixed = ((upper[i] >> 4) * (2048 - weight)) >> 16 + ((lower[i] >> 4) * weight) >> 16
      result[start + i] = UInt8(truncatingIfNeeded: (mixed + 2) >> 2)
    }
  }
}

private func interpolateRow(_ row: Span<UInt8>, _ taps: BilinearTaps, _ result: inout [Int32]) {
  for x in taps.first.indices {
    let (first, second, weight) = (taps.first[x] * 3, taps.second[x] * 3, taps.weight[x])
    for channel in 0..<3 {
      result[x * 3 + channel] =
        Int32(row[first + channel]) * (2048 - weight) + Int32(row[second + channel]) * weight
    }
  }
}

/// For each pixel of a new axis, the old pixels it covers and the share of each.
private struct AreaTaps {
  var range: [Range<Int>] = []
  var shares: [Float] = []
  /// Where the shares of a pixel begin.
  var offset: [Int] = []

  init(old: Int, new: Int) {
    let scale = Double(old) / Double(new)
    for i in 0..<new {
      let begin = Double(i) * scale
      let end = min(begin + scale, Double(old))
      let first = Int(begin)
      let last = min(Int(end.rounded(.up)), old)
      range.append(first..<last)
      offset.append(shares.count)
      for pixel in first..<last {
        let covered = min(end, Double(pixel + 1)) - max(begin, Double(pixel))
        shares.append(Float(max(covered, 0) / (end - begin)))
      }
    }
  }
}

/// Old rows are summed sideways and added with their share; each old row is read once per new row it belongs to.
private func resizeByArea(
  _ source: Span<UInt8>, _ width: Int, _ height: Int, _ result: inout [UInt8], _ newWidth: Int, _ newHeight: Int
) {
  let horizontal = AreaTaps(old: width, new: newWidth)
  let vertical = AreaTaps(old: height, new: newHeight)
  // OpenCV halves images in integers, where a half goes up; the sums of quarters are exact here too.
  let isHalving = width == 2 * newWidth && height == 2 * newHeight
  let rounding: FloatingPointRoundingRule = isHalving ? .toNearestOrAwayFromZero : .toNearestOrEven
  var sums = [Float](repeating: 0, count: newWidth * 3)
  for y in 0..<newHeight {
    for i in sums.indices { sums[i] = 0 }
    for (step, row) in vertical.range[y].enumerated() {
      addRow(
        source.extracting((row * width * 3)..<((row + 1) * width * 3)), horizontal,
        share: vertical.shares[vertical.offset[y] + step], to: &sums)
    }
    let start = y * newWidth * 3
    for i in sums.indices { result[start + i] = UInt8(min(sums[i].rounded(rounding), 255)) }
  }
}

private func addRow(_ row: Span<UInt8>, _ taps: AreaTaps, share: Float, to sums: inout [Float]) {
  for x in taps.range.indices {
    var (red, green, blue): (Float, Float, Float) = (0, 0, 0)
    var tap = taps.offset[x]
    for pixel in taps.range[x] {
      let weight = taps.shares[tap]
      red += Float(row[pixel * 3]) * weight
      green += Float(row[pixel * 3 + 1]) * weight
      blue += Float(row[pixel * 3 + 2]) * weight
      tap += 1
    }
    sums[x * 3] += red * share
    sums[x * 3 + 1] += green * share
    sums[x * 3 + 2] += blue * share
  }
}
