import Plotting
import Pruning
import Training

/// A run's epochs as a picture: losses, and how good the validated model was.
enum ResultsPlot {
  private struct Panel {
    var title: String
    /// The curves, each with its name and its place among `yolov5Values` and `scaleValues` behind them.
    var curves: [(name: String, column: Int)]
    /// nil: that of the values.
    var range: ClosedRange<Double>?
  }

  private static let panels = [
    Panel(title: "box loss", curves: [("train", 0), ("val", 7)]),
    Panel(title: "objectness loss", curves: [("train", 1), ("val", 8)]),
    Panel(title: "class loss", curves: [("train", 2), ("val", 9)]),
    Panel(title: "precision, recall", curves: [("P", 3), ("R", 4)], range: 0...1),
    Panel(title: "mean AP", curves: [("mAP50", 5), ("mAP50-95", 6)], range: 0...1),
    Panel(title: "learning rate", curves: [("biases", 10), ("weights", 11)]),
  ]

  /// The panels of sparsity training.
  private static let scalePanels = [
    Panel(title: "channels at zero", curves: [("zero", 13), ("near zero", 14)], range: 0...1),
    Panel(title: "|gamma|", curves: [("10 %", 15), ("50 %", 16), ("90 %", 17)]),
  ]

  static func svg(_ history: [EpochSummary]) -> String {
    let isSparse = !history.isEmpty && history.allSatisfy { $0.scales != nil }
    let panels = panels + (isSparse ? scalePanels : [])
    var svg = SVG(width: 1200, height: isSparse ? 960 : 640)
    for (index, panel) in panels.enumerated() { add(panel, history, frame(index), to: &svg) }
    if isSparse { addScores(history, frame(panels.count), to: &svg) }
    return svg.document
  }

  /// Three to a row.
  private static func frame(_ index: Int) -> PlotFrame {
    let (left, top) = (Double(index % 3) * 400 + 64, Double(index / 3) * 320 + 44)
    return PlotFrame(left: left, right: left + 316, top: top, bottom: top + 216)
  }

  private static func add(
    _ panel: Panel, _ history: [EpochSummary], _ frame: PlotFrame, to svg: inout SVG
  ) {
    let values = panel.curves.map { curve in history.map { ($0.yolov5Values + $0.scaleValues)[curve.column] } }
    let x = epochScale(history, frame)
    let y =
      panel.range.map { PlotScale($0, from: frame.bottom, to: frame.top, tickCount: 6) }
      ?? PlotScale(values.joined().filter(\.isFinite), from: frame.bottom, to: frame.top, tickCount: 6)
    addAxes(frame, x, y, title: panel.title, to: &svg)
    for (index, curve) in panel.curves.enumerated() {
      let style = "stroke=\"\(SVG.palette[index])\" stroke-width=\"2\""
      let points = zip(history, values[index]).filter { $0.1.isFinite }
        .map { (x: x.pixel(Double($0.epoch)), y: y.pixel($1)) }
      if points.count == 1 {
        svg.circle(points[0].x, points[0].y, radius: 2.5, "fill=\"\(SVG.palette[index])\"")
      }
      svg.polyline(points, title: curve.name, style)
      let right = frame.right - Double(panel.curves.count - 1 - index) * 88
      svg.line(right - 84, frame.top - 18.5, right - 66, frame.top - 18.5, style)
      svg.text(curve.name, right - 61, frame.top - 14, "font-size=\"12\"")
    }
  }

  private static func epochScale(_ history: [EpochSummary], _ frame: PlotFrame) -> PlotScale {
    PlotScale(history.map { Double($0.epoch) }, from: frame.left, to: frame.right, tickCount: 6, leastStep: 1)
  }

  private static func addAxes(_ frame: PlotFrame, _ x: PlotScale, _ y: PlotScale, title: String, to svg: inout SVG) {
    svg.axes(frame, x: x, y: y)
    svg.text("epoch", frame.right, frame.bottom + 40, "text-anchor=\"end\" class=\"dim\" font-size=\"12\"")
    svg.text(title, frame.left, frame.top - 14, "font-weight=\"bold\"")
  }

  /// Columns of the picture of scores; of longer runs some epochs are left out.
  private static let columnLimit = 48

  /// The histograms of the channels' scores side by side: the darker, the more of an epoch's channels lie in a bin.
  private static func addScores(_ history: [EpochSummary], _ frame: PlotFrame, to svg: inout SVG) {
    let step = (history.count + columnLimit - 1) / columnLimit
    let columns = history.enumerated().filter { $0.offset % step == 0 }.compactMap { _, epoch in
      epoch.scales?.scores.map { (epoch: Double(epoch.epoch), scores: $0) }
    }
    let x = epochScale(history, frame)
    let y = PlotScale(
      columns.flatMap { [$0.scores.lowest, $0.scores.highest] }, from: frame.bottom, to: frame.top, tickCount: 6)
    addAxes(frame, x, y, title: "channels by log10 of their scores", to: &svg)
    let width = min(x.pixel(Double(step)) - x.pixel(0), 24)
    for (epoch, scores) in columns {
      let most = Double(scores.counts.max() ?? 0)
      var lower = y.pixel(scores.lowest)
      for (edge, count) in zip(scores.upperEdges, scores.counts) {
        let upper = y.pixel(edge)
        if count > 0 {
          svg.rectangle(
            x.pixel(epoch) - width / 2, upper, width: width, height: max(lower - upper, 1),
            title: "epoch \(Int(epoch)): \(count)",
            "class=\"heat\" fill-opacity=\"\(fixed(Double(count) / most, decimals: 2))\"")
        }
        lower = upper
      }
    }
  }
}
