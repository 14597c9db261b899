import Plotting
import Sweep

/// The accuracy of a trial epoch by epoch, through all its stages that train.
public struct LearningCurve: Hashable, Sendable {
  public let name: String
  /// mAP50 after each epoch.
  public private(set) var accuracies: [Double] = []
  /// The epochs at which a further stage begins, counted from 0.
  public private(set) var starts: [Int] = []

  public init(name: String) { self.name = name }

  /// Adds the epochs of a stage.
  /// - Parameter text: a `results.csv` as YOLOv5 writes it. A text that is none adds nothing.
  public mutating func append(epochsFile text: String) {
    let lines = text.split(separator: "\n").map { line in
      line.split(separator: ",", omittingEmptySubsequences: false).map { $0.filter { !$0.isWhitespace } }
    }
    guard let column = lines.first?.firstIndex(of: "metrics/mAP_0.5") else { return }
    let values = lines.dropFirst().compactMap { $0.indices.contains(column) ? Double($0[column]) : nil }
    guard !values.isEmpty else { return }
    if !accuracies.isEmpty { starts.append(accuracies.count) }
    accuracies += values.map { $0.isFinite ? $0 : 0 }
  }
}

/// Learning curves over the epochs of all stages, in SVG. Dots mark where a stage begins.
public struct LearningCurvePlot: Sendable {
  private let curves: [LearningCurve]

  public init(_ curves: [LearningCurve]) { self.curves = curves.filter { !$0.accuracies.isEmpty } }

  /// nil if there is nothing to show.
  public var svg: String? {
    guard !curves.isEmpty else { return nil }
    let frame = PlotFrame(left: 76, right: 760, top: 24, bottom: 340)
    let epochs = curves.map(\.accuracies.count).max() ?? 1
    let x = PlotScale(0...Double(max(epochs, 1)), from: frame.left, to: frame.right, leastStep: 1)
    let y = frame.yScale(curves.flatMap(\.accuracies))
    var svg = SVG(width: 1120, height: 400)
    svg.axes(frame, x: x, y: y, xTitle: "epochs of all stages", yTitle: Objective.Metric.map50.title)
    for (index, curve) in curves.enumerated() {
      let color = SVG.palette[index % SVG.palette.count]
      let points = curve.accuracies.enumerated().map { (x.pixel(Double($0 + 1)), y.pixel($1)) }
      svg.polyline(points, title: curve.name, "stroke=\"\(color)\" stroke-width=\"1.6\"")
      for start in curve.starts {
        svg.circle(points[start].0, points[start].1, radius: 3.5, title: curve.name, "fill=\"\(color)\"")
      }
      let line = frame.top + 8 + Double(index) * 22
      svg.line(frame.right + 24, line - 4, frame.right + 46, line - 4, "stroke=\"\(color)\" stroke-width=\"3\"")
      svg.text(curve.name, frame.right + 54, line)
    }
    return svg.document
  }
}
