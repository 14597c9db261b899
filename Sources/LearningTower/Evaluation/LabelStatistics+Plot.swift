import Plotting

extension LabelStatistics {
  /// Objects per class as bars; below them maps of the boxes' centres and sizes.
  public func svg(classNames: [String]) -> String {
    let total = classCounts.reduce(0, +)
    var svg = SVG(width: 900, height: 900)
    svg.heading("Labels", 76, 26)
    svg.text(
      "objects: \(total); images: \(imageCount), without any: \(backgroundCount)", 880, 26,
      "text-anchor=\"end\" class=\"dim\" font-size=\"12\"")
    addBars(PlotFrame(left: 76, right: 880, top: 44, bottom: 300), classNames, to: &svg)
    let (top, bottom) = (470.0, 830.0)
    addMap(
      PlotFrame(left: 76, right: 436, top: top, bottom: bottom), centres, isUpright: true, "Centres",
      x: "x", y: "y", to: &svg)
    addMap(
      PlotFrame(left: 520, right: 880, top: top, bottom: bottom), sizes, isUpright: false, "Sizes",
      x: "width", y: "height", to: &svg)
    return svg.document
  }

  private func addBars(_ frame: PlotFrame, _ classNames: [String], to svg: inout SVG) {
    let most = Double(max(classCounts.max() ?? 0, 1))
    let y = frame.yScale(0...most * 1.06)
    for tick in y.ticks where tick == tick.rounded() {
      svg.line(frame.left, y.pixel(tick), frame.right, y.pixel(tick), "class=\"grid\"")
      svg.text(y.label(tick), frame.left - 9, y.pixel(tick) + 4.5, "text-anchor=\"end\" class=\"dim\"")
    }
    let step = (frame.right - frame.left) / Double(max(classCounts.count, 1))
    let width = min(step * 0.8, 90)
    let size = min(max(step * 0.85, 5), 13)
    for (index, count) in classCounts.enumerated() {
      let name = className(index, in: classNames)
      let middle = frame.left + (Double(index) + 0.5) * step
      let top = y.pixel(Double(count))
      svg.rectangle(
        middle - width / 2, top, width: width, height: frame.bottom - top, title: "\(name): \(count)",
        "class=\"heat\"")
      if step > 34 {
        svg.text("\(count)", middle, top - 5, "text-anchor=\"middle\" class=\"dim\" font-size=\"11\"")
      }
      let (x, below) = (middle + size * 0.35, frame.bottom + 8)
      svg.text(
        shortened(name, to: 18), x, below,
        "text-anchor=\"end\" font-size=\"\(pixels(size))\" transform=\"rotate(-90 \(pixels(x)) \(pixels(below)))\"")
    }
    svg.line(frame.left, frame.bottom, frame.right, frame.bottom, "class=\"axis\"")
    svg.line(frame.left, frame.top, frame.left, frame.bottom, "class=\"axis\"")
  }

  /// - Parameter isUpright: the first row is at the top, as in an image.
  private func addMap(
    _ frame: PlotFrame, _ counts: [Int], isUpright: Bool, _ title: String, x xTitle: String, y yTitle: String,
    to svg: inout SVG
  ) {
    svg.text(title, frame.left, frame.top - 12, "font-weight=\"bold\"")
    let x = frame.xScale(0...1)
    let y = isUpright ? PlotScale(0...1, from: frame.top, to: frame.bottom) : frame.yScale(0...1)
    svg.axes(frame, x: x, y: y, xTitle: xTitle, yTitle: yTitle)
    let most = Double(max(counts.max() ?? 0, 1))
    let side = (frame.right - frame.left) / Double(Self.mapSide)
    for (index, count) in counts.enumerated() where count > 0 {
      let (row, column) = (index / Self.mapSide, index % Self.mapSide)
      let line = isUpright ? row : Self.mapSide - 1 - row
      // The root lets single boxes be seen beside crowds.
      let opacity = 0.08 + 0.92 * (Double(count) / most).squareRoot()
      svg.rectangle(
        frame.left + Double(column) * side, frame.top + Double(line) * side, width: side, height: side,
        title: "\(count)", "class=\"heat\" fill-opacity=\"\(fixed(opacity, decimals: 3))\"")
    }
  }
}
