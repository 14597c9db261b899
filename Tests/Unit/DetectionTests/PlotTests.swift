import Dataset
import Detection
import Evaluation
import Foundation
import Geometry
import Testing

@Suite("Plots of an evaluation")
struct PlotTests {
  private let names = ["cell", "<odd> & \"long\" name of a class"]

  private func curves(labels: [Int]) -> [DetectionCurves] {
    var precision = AveragePrecision(thresholdCount: 1)
    precision.addImage(
      confidences: [0.9, 0.6, 0.3], classes: [0, 1, 0], correct: [true, true, false], labelClasses: labels)
    return precision.curves()
  }

  private func check(_ svg: String, _ comment: Comment) throws {
    #expect(try XMLElements.count(in: svg) > 10, comment)
    #expect(!svg.contains("nan") && !svg.contains("inf"), comment)
  }

  @Test("Few classes have names and colours, many a thin line each", arguments: CurvePlot.Kind.allCases)
  func curvePlots(kind: CurvePlot.Kind) throws {
    let few = CurvePlot(kind, curves(labels: [0, 1]), classNames: names).svg
    try check(few, "few")
    #expect(few.contains(">cell<") && few.contains("&lt;odd&gt; &amp;"))
    #expect(few.split(separator: "<polyline").count - 1 == 3)
    let many = CurvePlot(kind, curves(labels: Array(0..<40)), classNames: names).svg
    try check(many, "many")
    #expect(many.contains(">40 classes<"))
    try check(CurvePlot(kind, [], classNames: []).svg, "none")
  }

  @Test("The curves are those the metrics come from") func curvePoints() throws {
    let curve = try #require(curves(labels: [0, 0]).first)
    #expect(curve.precision[999] == 1 && curve.recall[999] == 0)
    #expect(curve.precision[0] == 0.5 && curve.recall[0] == 0.5)
    #expect(curve.precisionAtRecall[0] == 1 && curve.precisionAtRecall[999] == 0)
    #expect(curve.recall[500] == 0.5 && abs(curve.f1(0) - 0.5) < 1e-9)
  }

  @Test("Cells say how many of a column they are; small ones without numbers", arguments: [2, 80])
  func confusion(classCount: Int) throws {
    var matrix = ConfusionMatrix(classCount: classCount)
    let box = PixelBox(x1: 0, y1: 0, x2: 10, y2: 10)
    matrix.addImage(
      [Detection(box: box, confidence: 0.9, classIndex: 1)],
      [GroundTruth(box: box, classIndex: 0), GroundTruth(box: PixelBox(x1: 50, y1: 0, x2: 60, y2: 10), classIndex: 0)])
    let svg = matrix.svg(classNames: names)
    try check(svg, "\(classCount)")
    #expect(svg.contains("cell as &lt;odd&gt; &amp; &quot;long&quot; name of a class: 1 of 2"))
    #expect(svg.contains("cell as background: 1 of 2"))
    #expect(svg.contains(">0.50<") == (classCount == 2))
  }

  @Test func labels() throws {
    let label = Label(classIndex: 1, cx: 0.5, cy: 0.99, w: 1, h: 0.1)
    let images = [
      LabelledImage(path: "a", width: 10, height: 10, labels: [label, label]),
      LabelledImage(path: "b", width: 10, height: 10, labels: []),
    ]
    let statistics = LabelStatistics(images, classCount: 2)
    let side = LabelStatistics.mapSide
    #expect(statistics.classCounts == [0, 2] && statistics.backgroundCount == 1)
    #expect(statistics.centres[(side - 1) * side + side / 2] == 2)
    #expect(statistics.sizes[side / 10 * side + side - 1] == 2)
    let svg = statistics.svg(classNames: names)
    try check(svg, "labels")
    #expect(svg.contains("objects: 2; images: 2, without any: 1"))
    try check(LabelStatistics([], classCount: 0).svg(classNames: []), "nothing")
  }
}

/// Checks that a text is XML: every tag closed, nothing unescaped.
private enum XMLElements {
  struct Malformed: Error { var at: String }

  /// - Returns: how many elements there are.
  static func count(in text: String) throws -> Int {
    var open: [Substring] = []
    var count = 0
    var rest = text[...]
    while let start = rest.firstIndex(of: "<") {
      guard let end = rest[start...].firstIndex(of: ">") else { throw Malformed(at: String(rest.prefix(60))) }
      let tag = rest[rest.index(after: start)..<end]
      let name = tag.drop { $0 == "/" }.prefix { $0 != " " && $0 != "/" }
      if tag.hasPrefix("/") {
        guard open.popLast() == name else { throw Malformed(at: String(tag)) }
      } else {
        count += 1
        if !tag.hasSuffix("/") { open.append(name) }
      }
      rest = rest[rest.index(after: end)...]
    }
    guard open.isEmpty, !text.contains("& ") else { throw Malformed(at: open.joined()) }
    return count
  }
}
