/// The trials of a sweep as points in a plane, in SVG: one objective along each axis, the front as a line, its members
/// numbered and listed beside the plot.
public struct FrontPlot: Sendable {
  private let table: ResultTable
  private let x: Objective
  private let y: Objective
  private let points: [Point]

  private struct Point: Sendable {
    let row: ResultTable.Row
    let x: Double
    let y: Double
    let color: String
  }

  /// The front is that of the two axes; trials that lack a value are left out.
  public init(_ table: ResultTable, x: Objective, y: Objective) {
    let judged = table.judged(by: [x, y])
    let backbones = Set(judged.rows.compactMap { $0.point["backbone"]?.string }).sorted()
    self.table = judged
    self.x = x
    self.y = y
    points = judged.rows.compactMap { row in
      guard let px = row.value(of: x), let py = row.value(of: y), px.isFinite, py.isFinite else { return nil }
      let family = backbones.firstIndex(of: row.point["backbone"]?.string ?? "") ?? 0
      return Point(row: row, x: px, y: py, color: FrontPlot.palette[family % FrontPlot.palette.count])
    }
  }

  /// Told apart also by those who see fewer colours (Okabe and Ito).
  private static let palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f6a00", "#555555"]

  // Pixels.
  private static let width = 1120.0
  private static let height = 540.0
  private static let left = 76.0
  private static let right = 610.0
  private static let top = 48.0
  private static let bottom = 476.0
  private static let legendLimit = 18
  /// Letters of a name that the legend has room for.
  private static let nameLimit = 37

  public var svg: String {
    let xScale = Scale(points.map(\.x), from: FrontPlot.left, to: FrontPlot.right)
    let yScale = Scale(points.map(\.y), from: FrontPlot.bottom, to: FrontPlot.top)
    let front = points.filter(\.row.isOnFront).sorted { ($0.x, $0.y, $0.row.trial) < ($1.x, $1.y, $1.row.trial) }
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(px(FrontPlot.width)) \(px(FrontPlot.height))\" "
        + "width=\"\(px(FrontPlot.width))\" height=\"\(px(FrontPlot.height))\" "
        + "font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"13\">",
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
      text(table.sweep.name, FrontPlot.left, 26, "font-size=\"16\" font-weight=\"bold\""),
    ]
    lines += axes(xScale, yScale)
    lines += frontLine(front, xScale, yScale)
    for point in points where !point.row.isOnFront {
      lines.append(circle(point, xScale, yScale, "r=\"4\" fill-opacity=\"0.45\""))
    }
    lines += frontMembers(front, xScale, yScale)
    lines += legend(front)
    return lines.joined(separator: "\n") + "\n</svg>\n"
  }

  // MARK: - Axes

  private func axes(_ xScale: Scale, _ yScale: Scale) -> [String] {
    var lines: [String] = []
    for tick in xScale.ticks {
      let at = xScale.pixel(tick)
      lines.append(line(at, FrontPlot.top, at, FrontPlot.bottom, "stroke=\"#e4e4e4\""))
      lines.append(text(xScale.label(tick), at, FrontPlot.bottom + 20, "text-anchor=\"middle\" fill=\"#333\""))
    }
    for tick in yScale.ticks {
      let at = yScale.pixel(tick)
      lines.append(line(FrontPlot.left, at, FrontPlot.right, at, "stroke=\"#e4e4e4\""))
      lines.append(text(yScale.label(tick), FrontPlot.left - 9, at + 4.5, "text-anchor=\"end\" fill=\"#333\""))
    }
    lines.append(line(FrontPlot.left, FrontPlot.bottom, FrontPlot.right, FrontPlot.bottom, "stroke=\"#333\""))
    lines.append(line(FrontPlot.left, FrontPlot.top, FrontPlot.left, FrontPlot.bottom, "stroke=\"#333\""))
    let middle = (FrontPlot.left + FrontPlot.right) / 2
    lines.append(text(title(x, "→", "←"), middle, FrontPlot.bottom + 44, "text-anchor=\"middle\" font-size=\"14\""))
    let height = (FrontPlot.top + FrontPlot.bottom) / 2
    lines.append(
      text(
        title(y, "→", "←"), 22, height,
        "text-anchor=\"middle\" font-size=\"14\" transform=\"rotate(-90 22 \(px(height)))\""))
    return lines
  }

  /// The arrow points to where it gets better.
  private func title(_ objective: Objective, _ more: String, _ less: String) -> String {
    objective.direction == .maximize
      ? "\(objective.metric.title) \(more) better" : "better \(less) \(objective.metric.title)"
  }

  // MARK: - Points

  /// A staircase: between two members of the front nothing better is known than the worse of both.
  private func frontLine(_ front: [Point], _ xScale: Scale, _ yScale: Scale) -> [String] {
    guard let first = front.first, front.count > 1 else { return [] }
    var path = "M\(px(xScale.pixel(first.x))) \(px(yScale.pixel(first.y)))"
    for point in front.dropFirst() {
      let (h, v) = ("H\(px(xScale.pixel(point.x)))", "V\(px(yScale.pixel(point.y)))")
      path += x.direction == .minimize ? h + v : v + h
    }
    return ["<path d=\"\(path)\" fill=\"none\" stroke=\"#888888\" stroke-width=\"1.5\" stroke-dasharray=\"5 4\"/>"]
  }

  /// Numbers stand where they hide nothing, as far as there is room.
  private func frontMembers(_ front: [Point], _ xScale: Scale, _ yScale: Scale) -> [String] {
    var taken = points.map { Box(around: xScale.pixel($0.x), yScale.pixel($0.y), width: 12, height: 12) }
    var lines = front.map { circle($0, xScale, yScale, "r=\"6\" stroke=\"#111111\" stroke-width=\"1.2\"") }
    for (index, point) in front.enumerated() {
      let (cx, cy) = (xScale.pixel(point.x), yScale.pixel(point.y))
      let width = index < 9 ? 9.0 : 18.0
      let candidates = FrontPlot.places.map { dx, dy in
        Box(around: cx + dx * (9 + width / 2), cy + dy * 15, width: width, height: 13)
      }
      let free = candidates.firstIndex { candidate in !taken.contains { $0.overlaps(candidate) } } ?? 0
      let box = candidates[free]
      taken.append(box)
      let (x, y) = (box.x + width / 2, box.y + box.height / 2)
      if free >= FrontPlot.directions.count { lines.append(line(cx, cy, x, y, "stroke=\"#999999\"")) }
      lines.append(text("\(index + 1)", x, y + 4.5, "text-anchor=\"middle\" font-weight=\"bold\""))
    }
    return lines
  }

  /// Where a label may stand, as seen from its point; y grows downwards.
  private static let directions: [(Double, Double)] = [
    (0.8, -0.8), (-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8), (0, -1.1), (0, 1.1), (1.2, 0), (-1.2, 0),
  ]

  /// The nearest first; the farther ones are joined to their point by a thin line.
  private static let places: [(Double, Double)] = [1.0, 2, 3, 4].flatMap { reach in
    directions.map { ($0.0 * reach, $0.1 * reach) }
  }

  private func circle(_ point: Point, _ xScale: Scale, _ yScale: Scale, _ style: String) -> String {
    "<circle cx=\"\(px(xScale.pixel(point.x)))\" cy=\"\(px(yScale.pixel(point.y)))\" fill=\"\(point.color)\" \(style)>"
      + "<title>\(escaped(name(of: point.row))): \(x.metric.title) \(x.metric.format(point.x)), "
      + "\(y.metric.title) \(y.metric.format(point.y))</title></circle>"
  }

  // MARK: - Legend

  private func legend(_ front: [Point]) -> [String] {
    let left = FrontPlot.right + 30
    let heading = "text-anchor=\"end\" fill=\"#555\" font-size=\"12\""
    let columns = (FrontPlot.width - 110, FrontPlot.width - 14)
    var lines = [
      text("On the front", left, FrontPlot.top + 4, "font-weight=\"bold\""),
      text(self.y.metric.title, columns.0, FrontPlot.top + 4, heading),
      text(x.metric.title, columns.1, FrontPlot.top + 4, heading),
    ]
    for (index, point) in front.prefix(FrontPlot.legendLimit).enumerated() {
      let y = FrontPlot.top + 28 + Double(index) * 23
      lines.append(text("\(index + 1)", left + 16, y, "text-anchor=\"end\" font-weight=\"bold\""))
      lines.append(
        "<circle cx=\"\(px(left + 27))\" cy=\"\(px(y - 4.5))\" r=\"5\" fill=\"\(point.color)\"/>")
      let name = name(of: point.row)
      let isLong = name.count > FrontPlot.nameLimit
      lines.append(text(isLong ? String(name.prefix(FrontPlot.nameLimit - 1)) + "…" : name, left + 38, y, ""))
      lines.append(text(self.y.metric.format(point.y), columns.0, y, heading))
      lines.append(text(x.metric.format(point.x), columns.1, y, heading))
    }
    if front.count > FrontPlot.legendLimit {
      let y = FrontPlot.top + 28 + Double(FrontPlot.legendLimit) * 23
      lines.append(text("and \(front.count - FrontPlot.legendLimit) more", left + 38, y, "fill=\"#555\""))
    }
    if front.isEmpty { lines.append(text("nothing measured yet", left, FrontPlot.top + 28, "fill=\"#555\"")) }
    return lines
  }

  /// The backbone, and the axes along which the trials differ.
  private func name(of row: ResultTable.Row) -> String {
    func differs(_ axis: String) -> Bool { Set(table.rows.map { $0.point[axis] ?? .null }).count > 1 }
    var parts = [row.point["backbone"]?.string ?? row.trial.name]
    if differs("optimizer"), let optimizer = row.point["optimizer"]?.string { parts.append(optimizer) }
    if differs("sparsity_rate"), let rate = row.point["sparsity_rate"]?.double { parts.append("s\(plain(rate))") }
    if differs("prune_ratio"), let ratio = row.point["prune_ratio"]?.double { parts.append("p\(plain(ratio))") }
    if differs("seed"), let seed = row.point["seed"]?.int { parts.append("#\(seed)") }
    return parts.joined(separator: " ")
  }
}

// MARK: - Geometry

/// Values onto pixels, with round ticks and some air at both ends.
private struct Scale {
  let ticks: [Double]
  private let low, high: Double
  private let start, end: Double
  private let decimals: Int

  init(_ values: [Double], from start: Double, to end: Double) {
    var low = values.min() ?? 0
    var high = values.max() ?? 1
    // One value, or none: something to divide by.
    if high - low <= abs(high) * 1e-9 {
      (low, high) = (low - max(abs(low) * 0.1, 0.5), high + max(abs(high) * 0.1, 0.5))
    }
    let air = (high - low) * 0.06
    let bounds = (low - air, high + air)
    let step = Scale.roundStep((bounds.1 - bounds.0) / 8)
    let first = (bounds.0 / step.size).rounded(.up)
    let last = (bounds.1 / step.size).rounded(.down)
    ticks = stride(from: first, through: last, by: 1).map { $0 * step.size }
    (self.low, self.high) = bounds
    (self.start, self.end) = (start, end)
    decimals = step.decimals
  }

  /// The smallest of 1, 2 and 5 times a power of ten that is not below `size`.
  private static func roundStep(_ size: Double) -> (size: Double, decimals: Int) {
    var power = 1.0
    var decimals = 0
    while power > size {
      power /= 10
      decimals += 1
    }
    while power * 10 <= size { power *= 10 }
    for factor in [1.0, 2, 5] where factor * power >= size { return (factor * power, decimals) }
    return (10 * power, max(0, decimals - 1))
  }

  func pixel(_ value: Double) -> Double { start + (value - low) / (high - low) * (end - start) }

  /// Large numbers in thousands or millions.
  func label(_ tick: Double) -> String {
    switch max(abs(low), abs(high)) {
    case 2e6...: plain((tick / 1e6 * 1000).rounded() / 1000) + "M"
    case 1e4...: plain((tick / 1e3 * 1000).rounded() / 1000) + "k"
    default: fixed(tick, decimals: decimals)
    }
  }
}

private struct Box {
  let x, y, width, height: Double

  init(around cx: Double, _ cy: Double, width: Double, height: Double) {
    (x, y, self.width, self.height) = (cx - width / 2, cy - height / 2, width, height)
  }

  func overlaps(_ other: Box) -> Bool {
    x < other.x + other.width && other.x < x + width && y < other.y + other.height && other.y < y + height
  }
}

// MARK: - SVG

private func px(_ value: Double) -> String {
  var digits = fixed(value, decimals: 2)
  while digits.hasSuffix("0") { digits.removeLast() }
  return digits.hasSuffix(".") ? String(digits.dropLast()) : digits
}

private func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) -> String {
  "<line x1=\"\(px(x1))\" y1=\"\(px(y1))\" x2=\"\(px(x2))\" y2=\"\(px(y2))\" \(style)/>"
}

private func text(_ string: String, _ x: Double, _ y: Double, _ style: String) -> String {
  "<text x=\"\(px(x))\" y=\"\(px(y))\" \(style)>\(escaped(string))</text>"
}

private func escaped(_ text: String) -> String {
  var result = ""
  for character in text {
    switch character {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    default: result.append(character)
    }
  }
  return result
}
