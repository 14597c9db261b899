import Plotting

/// YOLOv5's four curves of a validation: one line per class that has labels and a thick one for their mean.
public struct CurvePlot: Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    case precisionRecall = "PR"
    case f1 = "F1"
    case precision = "P"
    case recall = "R"
  }

  private let kind: Kind
  private let curves: [DetectionCurves]
  private let classNames: [String]

  public init(_ kind: Kind, _ curves: [DetectionCurves], classNames: [String]) {
    self.kind = kind
    self.curves = curves
    self.classNames = classNames
  }

  /// With more classes than this, lines are thin and grey, and only the mean has a name.
  private static let namedClasses = 16
  private static let frame = PlotFrame(left: 76, right: 610, top: 48, bottom: 476)

  public var svg: String {
    let frame = Self.frame
    let (x, y) = (frame.xScale(0...1), frame.yScale(0...1))
    var svg = SVG(width: 900, height: 540)
    svg.heading(title, frame.left, 26)
    svg.axes(
      frame, x: x, y: y, xTitle: kind == .precisionRecall ? "recall" : "confidence",
      yTitle: kind == .recall ? "recall" : kind == .f1 ? "F1" : "precision")
    let isNamed = curves.count <= Self.namedClasses
    for (index, curve) in curves.enumerated() {
      let color = isNamed ? SVG.palette[1 + index % (SVG.palette.count - 1)] : "#9a9a9a"
      // Colours come round again; so do dashes, a cycle later.
      let dashes = isNamed && index >= SVG.palette.count - 1 ? " stroke-dasharray=\"6 4\"" : ""
      let style = "stroke=\"\(color)\" stroke-width=\"\(isNamed ? "1.4" : "0.7")\"\(dashes)"
      let name = name(of: curve)
      svg.polyline(corners(values(curve), x, y), title: name, style)
      if isNamed { addLegend(row: index + 1, name, value(curve), style, to: &svg) }
    }
    let overall = overall
    let style = "stroke=\"\(SVG.palette[0])\" stroke-width=\"3.2\""
    svg.polyline(corners(overall.values, x, y), title: "all classes", style)
    addLegend(row: 0, "all classes", overall.text, style, to: &svg)
    if !isNamed { svg.text("\(curves.count) classes", frame.right + 62, frame.top + 34, "class=\"dim\"") }
    if curves.isEmpty { svg.text("no labels", frame.right + 62, frame.top + 34, "class=\"dim\"") }
    return svg.document
  }

  private var title: String {
    switch kind {
    case .precisionRecall: "Precision by recall at IoU 0.5"
    case .f1: "F1 by confidence"
    case .precision: "Precision by confidence"
    case .recall: "Recall by confidence"
    }
  }

  private func values(_ curve: DetectionCurves) -> [Double] {
    switch kind {
    case .precisionRecall: curve.precisionAtRecall
    case .f1: (0..<DetectionCurves.pointCount).map(curve.f1)
    case .precision: curve.precision
    case .recall: curve.recall
    }
  }

  /// The mean, smoothed over the confidence as in YOLOv5, and what stands beside it.
  private var overall: (values: [Double], text: String) {
    let all = curves.map(values)
    let means = (0..<DetectionCurves.pointCount).map { point in mean(all.map { $0[point] }) }
    if kind == .precisionRecall {
      return (means, "\(fixed(mean(curves.map { $0.averagePrecision.first ?? 0 }), decimals: 3)) mAP50")
    }
    let smooth = smoothed(means, share: 0.05)
    let best = smooth.indices.max { smooth[$0] < smooth[$1] || (smooth[$0] == smooth[$1] && $0 > $1) } ?? 0
    let place = fixed(DetectionCurves.position(best), decimals: 3)
    return (smooth, "\(fixed(smooth[best], decimals: 2)) at \(place)")
  }

  /// Returns the figure that is shown beside a class.
  private func value(_ curve: DetectionCurves) -> String {
    kind == .precisionRecall ? fixed(curve.averagePrecision.first ?? 0, decimals: 3) : ""
  }

  private func corners(_ values: [Double], _ x: PlotScale, _ y: PlotScale) -> [(x: Double, y: Double)] {
    simplified(
      values.enumerated().map { point, value in (x.pixel(DetectionCurves.position(point)), y.pixel(value)) },
      tolerance: 0.1)
  }

  private func addLegend(row: Int, _ name: String, _ value: String, _ style: String, to svg: inout SVG) {
    let (left, y) = (Self.frame.right + 22, Self.frame.top + 8 + Double(row) * 26)
    svg.line(left, y - 4.5, left + 30, y - 4.5, style)
    svg.text(shortened(name, to: 18), left + 40, y, row == 0 ? "font-weight=\"bold\"" : "")
    svg.text(value, 888, y, "text-anchor=\"end\" class=\"dim\"")
  }

  private func name(of curve: DetectionCurves) -> String { className(curve.classIndex, in: classNames) }
}

/// A line through some of the points that passes all of them within the tolerance, measured along `y`; `x` rises.
private func simplified(_ points: [(x: Double, y: Double)], tolerance: Double) -> [(x: Double, y: Double)] {
  guard var last = points.first else { return [] }
  var kept = [last]
  var previous = last
  // The slopes of lines from the last kept point that pass all points since then.
  var (least, most) = (-Double.infinity, Double.infinity)
  for point in points.dropFirst() {
    let slope = (point.y - last.y) / (point.x - last.x)
    if slope < least || slope > most {
      last = previous
      kept.append(last)
      (least, most) = (-.infinity, .infinity)
    }
    let run = point.x - last.x
    least = max(least, (point.y - tolerance - last.y) / run)
    most = min(most, (point.y + tolerance - last.y) / run)
    previous = point
  }
  return kept + (points.count > 1 ? [previous] : [])
}

func className(_ index: Int, in names: [String]) -> String { index < names.count ? names[index] : "\(index)" }

func shortened(_ text: String, to limit: Int) -> String {
  text.count > limit ? text.prefix(limit - 1) + "…" : text
}
