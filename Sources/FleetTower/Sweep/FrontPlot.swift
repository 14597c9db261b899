import JSON
import Plotting
import Wording

/// The trials of a sweep as points in a plane, in SVG: one objective along each axis, the front as a line, its members
/// numbered and listed beside the plot.
public struct FrontPlot: Sendable {
  private let table: ResultTable
  /// The trials of the front that lie on it in this plane too.
  private let staircase: Set<TrialID>
  private let x: Objective
  private let y: Objective
  private let points: [Point]
  private let axes: Set<String>

  private struct Point: Sendable {
    let row: ResultTable.Row
    let x: Double
    let y: Double
    let color: String
  }

  /// The front is the table's, which may have more objectives than the plot has axes. Trials that lack a value are left
  /// out and counted.
  public init(_ table: ResultTable, x: Objective, y: Objective) {
    let backbones = Set(table.rows.compactMap { $0.point["backbone"]?.string }).sorted()
    self.table = table
    axes = Set(table.variedAxes)
    staircase = Set(table.judged(by: [x, y]).front.map(\.trial)).intersection(table.front.map(\.trial))
    self.x = x
    self.y = y
    points = table.rows.compactMap { row in
      guard let px = row.value(of: x), let py = row.value(of: y) else { return nil }
      let family = backbones.firstIndex(of: row.point["backbone"]?.string ?? "") ?? 0
      return Point(row: row, x: px, y: py, color: SVG.palette[family % SVG.palette.count])
    }
  }

  // Pixels.
  private static let width = 1120.0
  private static let height = 540.0
  private static let frame = PlotFrame(left: 76, right: 610, top: 48, bottom: 476)
  private static let legendLimit = 17
  /// Letters of a name that the legend has room for.
  private static let nameLimit = 37

  public var svg: String {
    let frame = FrontPlot.frame
    let xScale = frame.xScale(points.flatMap { [$0.x - deviation(x, $0.row), $0.x + deviation(x, $0.row)] })
    let yScale = frame.yScale(points.flatMap { [$0.y - deviation(y, $0.row), $0.y + deviation(y, $0.row)] })
    let front = points.filter(\.row.isOnFront).sorted { ($0.x, $0.y, $0.row.trial) < ($1.x, $1.y, $1.row.trial) }
    var svg = SVG(width: FrontPlot.width, height: FrontPlot.height)
    svg.heading(table.sweep.name, frame.left, 26)
    svg.axes(frame, x: xScale, y: yScale, xTitle: title(x, "→", "←"), yTitle: title(y, "→", "←"))
    addFrontLine(front.filter { staircase.contains($0.row.trial) }, xScale, yScale, to: &svg)
    for point in points { addErrorBars(point, xScale, yScale, to: &svg) }
    for point in points where !point.row.isOnFront {
      let tie = point.row.ties == nil ? "" : " class=\"mark\" stroke-width=\"1.2\" stroke-dasharray=\"2 2\""
      addCircle(point, xScale, yScale, radius: 4, "fill-opacity=\"0.45\"\(tie)", to: &svg)
    }
    addFrontMembers(front, xScale, yScale, to: &svg)
    addLegend(front, to: &svg)
    return svg.document
  }

  /// The arrow points to where it gets better.
  private func title(_ objective: Objective, _ more: String, _ less: String) -> String {
    let kinds = Set(points.compactMap { $0.row.kind(of: objective.metric)?.rawValue }).sorted().joined(separator: ", ")
    let name = objective.metric.title + (kinds.isEmpty ? "" : ", \(kinds)")
    return objective.direction == .maximize ? "\(name) \(more) better" : "better \(less) \(name)"
  }

  private func deviation(_ objective: Objective, _ row: ResultTable.Row) -> Double {
    row.seeds?.deviations[objective.metric.rawValue] ?? 0
  }

  // MARK: - Points

  /// A staircase: between two members of the front nothing better is known than the worse of both.
  private func addFrontLine(_ front: [Point], _ xScale: PlotScale, _ yScale: PlotScale, to svg: inout SVG) {
    guard let first = front.first, front.count > 1 else { return }
    var path = "M\(pixels(xScale.pixel(first.x))) \(pixels(yScale.pixel(first.y)))"
    for point in front.dropFirst() {
      let (h, v) = ("H\(pixels(xScale.pixel(point.x)))", "V\(pixels(yScale.pixel(point.y)))")
      path += x.direction == .minimize ? h + v : v + h
    }
    svg.path(path, "fill=\"none\" stroke=\"#888888\" stroke-width=\"1.5\" stroke-dasharray=\"5 4\"")
  }

  /// One standard deviation of the seeds to either side.
  private func addErrorBars(_ point: Point, _ xScale: PlotScale, _ yScale: PlotScale, to svg: inout SVG) {
    let (dx, dy) = (deviation(x, point.row), deviation(y, point.row))
    let (cx, cy) = (xScale.pixel(point.x), yScale.pixel(point.y))
    let stroke = "stroke=\"\(point.color)\" stroke-width=\"1.2\""
    if dx > 0 { svg.line(xScale.pixel(point.x - dx), cy, xScale.pixel(point.x + dx), cy, stroke) }
    if dy > 0 { svg.line(cx, yScale.pixel(point.y - dy), cx, yScale.pixel(point.y + dy), stroke) }
  }

  /// Numbers stand where they hide nothing, as far as there is room.
  private func addFrontMembers(_ front: [Point], _ xScale: PlotScale, _ yScale: PlotScale, to svg: inout SVG) {
    var taken = points.map { Extent(around: xScale.pixel($0.x), yScale.pixel($0.y), width: 12, height: 12) }
    for point in front {
      let dashes = point.row.ties == nil ? "" : " stroke-dasharray=\"2 2\""
      addCircle(point, xScale, yScale, radius: 6, "class=\"mark\" stroke-width=\"1.2\"\(dashes)", to: &svg)
    }
    for (index, point) in front.enumerated() {
      let (cx, cy) = (xScale.pixel(point.x), yScale.pixel(point.y))
      let width = index < 9 ? 9.0 : 18.0
      let candidates = FrontPlot.places.map { dx, dy in
        Extent(around: cx + dx * (9 + width / 2), cy + dy * 15, width: width, height: 13)
      }
      let free = candidates.firstIndex { candidate in !taken.contains { $0.overlaps(candidate) } } ?? 0
      let box = candidates[free]
      taken.append(box)
      let (x, y) = (box.x + width / 2, box.y + box.height / 2)
      if free >= FrontPlot.directions.count { svg.line(cx, cy, x, y, "stroke=\"#999999\"") }
      svg.text("\(index + 1)", x, y + 4.5, "text-anchor=\"middle\" font-weight=\"bold\"")
    }
  }

  /// Where a label may stand, as seen from its point; y grows downwards.
  private static let directions: [(Double, Double)] = [
    (0.8, -0.8), (-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8), (0, -1.1), (0, 1.1), (1.2, 0), (-1.2, 0),
  ]

  /// The nearest first; the farther ones are joined to their point by a thin line.
  private static let places: [(Double, Double)] = [1.0, 2, 3, 4].flatMap { reach in
    directions.map { ($0.0 * reach, $0.1 * reach) }
  }

  private func addCircle(
    _ point: Point, _ xScale: PlotScale, _ yScale: PlotScale, radius: Double, _ attributes: String, to svg: inout SVG
  ) {
    func figure(_ metric: Objective.Metric) -> String {
      "\(metric.title) \(table.text(of: metric, in: point.row) ?? "")"
    }
    let title = "\(name(of: point.row)): \(figure(x.metric)), \(figure(y.metric))"
    svg.circle(
      xScale.pixel(point.x), yScale.pixel(point.y), radius: radius, title: title,
      "fill=\"\(point.color)\" \(attributes)")
  }

  private func name(of row: ResultTable.Row) -> String { row.name(along: axes) }

  // MARK: - Legend

  private func addLegend(_ front: [Point], to svg: inout SVG) {
    let (left, top) = (FrontPlot.frame.right + 30, FrontPlot.frame.top)
    let heading = "text-anchor=\"end\" class=\"dim\" font-size=\"12\""
    let columns = (FrontPlot.width - 110, FrontPlot.width - 14)
    svg.text("On the front", left, top + 4, "font-weight=\"bold\"")
    svg.text(self.y.metric.title, columns.0, top + 4, heading)
    svg.text(x.metric.title, columns.1, top + 4, heading)
    for (index, point) in front.prefix(FrontPlot.legendLimit).enumerated() {
      let y = top + 28 + Double(index) * 23
      svg.text("\(index + 1)", left + 16, y, "text-anchor=\"end\" font-weight=\"bold\"")
      svg.circle(left + 27, y - 4.5, radius: 5, "fill=\"\(point.color)\"")
      let name = name(of: point.row)
      let isLong = name.count > FrontPlot.nameLimit
      svg.text(isLong ? String(name.prefix(FrontPlot.nameLimit - 1)) + "…" : name, left + 38, y)
      svg.text(self.y.metric.format(point.y), columns.0, y, heading)
      svg.text(x.metric.format(point.x), columns.1, y, heading)
    }
    if front.count > FrontPlot.legendLimit {
      let y = top + 28 + Double(FrontPlot.legendLimit) * 23
      svg.text("and \(front.count - FrontPlot.legendLimit) more", left + 38, y, "class=\"dim\"")
    }
    let unjudged = table.rows.count(where: table.isUnjudged)
    if front.isEmpty {
      let reason = unjudged > 0 ? "no trial has a value of every objective" : "nothing measured yet"
      svg.text(reason, left, top + 28, "class=\"dim\"")
    }
    for (line, remark) in remarks(unjudged: unjudged).enumerated() {
      svg.text(remark, left, FrontPlot.height - 14 - Double(line) * 18, "class=\"dim\" font-size=\"12\"")
    }
  }

  /// From the lowest upwards.
  private func remarks(unjudged: Int) -> [String] {
    var remarks: [String] = []
    if unjudged > 0 { remarks.append("not judged: \(counted(unjudged, "finished trial"))") }
    if table.rows.contains(where: { $0.ties != nil }) { remarks.append("dashed: on the front, or off it, by chance") }
    if table.hasSeeds { remarks.append("means of seeds, with bars of one standard deviation") }
    return remarks
  }
}

// MARK: - Geometry

/// The place of a label or point on the plot, in pixels.
private struct Extent {
  let x, y, width, height: Double

  init(around cx: Double, _ cy: Double, width: Double, height: Double) {
    (x, y, self.width, self.height) = (cx - width / 2, cy - height / 2, width, height)
  }

  func overlaps(_ other: Extent) -> Bool {
    x < other.x + other.width && other.x < x + width && y < other.y + other.height && other.y < y + height
  }
}
