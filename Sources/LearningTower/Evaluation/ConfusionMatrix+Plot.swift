import Plotting

extension ConfusionMatrix {
  /// The matrix as a picture: each column is a true class, its cells the shares of its objects that were predicted as
  /// each class; the last column, what was found on background, is made of shares too.
  public func svg(classNames: [String]) -> String {
    let names = (0..<classCount).map { className($0, in: classNames) } + ["background"]
    // Cells shrink from 60 to 8 pixels as classes come in; numbers stand where they can be read.
    let cell = min(max(560 / Double(names.count), 8), 60)
    let side = cell * Double(names.count)
    let labelSize = min(max(cell * 0.8, 6.5), 13)
    let labelRoom = 16 + labelSize * 0.6 * Double(min(names.map(\.count).max() ?? 0, 18))
    let frame = PlotFrame(left: 40 + labelRoom, right: 40 + labelRoom + side, top: 44, bottom: 44 + side)
    var svg = SVG(
      width: max(frame.right + 30, 460).rounded(.up), height: (frame.bottom + labelRoom + 40).rounded(.up))
    svg.heading("Confusion matrix", 16, 26)
    svg.text(
      "confidence > \(confidenceThreshold), IoU > \(iouThreshold)", svg.width - 16, 26,
      "text-anchor=\"end\" class=\"dim\" font-size=\"12\"")

    for index in 0...names.count {
      let offset = Double(index) * cell
      svg.line(frame.left, frame.top + offset, frame.right, frame.top + offset, "class=\"grid\"")
      svg.line(frame.left + offset, frame.top, frame.left + offset, frame.bottom, "class=\"grid\"")
    }
    addNames(names, frame, cell, labelSize, to: &svg)
    for truth in names.indices { addColumn(truth, names, frame, cell, to: &svg) }
    svg.text("true", (frame.left + frame.right) / 2, svg.height - 12, "text-anchor=\"middle\" font-size=\"14\"")
    let middle = (frame.top + frame.bottom) / 2
    svg.text(
      "predicted", 22, middle,
      "text-anchor=\"middle\" font-size=\"14\" transform=\"rotate(-90 22 \(pixels(middle)))\"")
    return svg.document
  }

  private func addNames(
    _ names: [String], _ frame: PlotFrame, _ cell: Double, _ size: Double, to svg: inout SVG
  ) {
    for (index, name) in names.enumerated() {
      let middle = (Double(index) + 0.5) * cell
      let style = "text-anchor=\"end\" font-size=\"\(pixels(size))\""
      let shown = shortened(name, to: 18)
      svg.text(shown, frame.left - 6, frame.top + middle + size * 0.35, style)
      let (x, y) = (frame.left + middle + size * 0.35, frame.bottom + 6)
      svg.text(shown, x, y, style + " transform=\"rotate(-90 \(pixels(x)) \(pixels(y)))\"")
    }
  }

  private func addColumn(
    _ truth: Int, _ names: [String], _ frame: PlotFrame, _ cell: Double, to svg: inout SVG
  ) {
    let total = names.indices.reduce(0) { $0 + self[predicted: $1, true: truth] }
    for predicted in names.indices {
      let count = self[predicted: predicted, true: truth]
      guard count > 0 else { continue }
      let share = Double(count) / Double(total)
      let (x, y) = (frame.left + Double(truth) * cell, frame.top + Double(predicted) * cell)
      svg.rectangle(
        x, y, width: cell, height: cell,
        title: "\(names[truth]) as \(names[predicted]): \(count) of \(total)",
        "class=\"heat\" fill-opacity=\"\(fixed(0.04 + 0.96 * share, decimals: 3))\"")
      if cell >= 22 {
        let size = min(cell * 0.36, 13)
        let color = share > 0.5 ? " class=\"on-heat\"" : ""
        svg.text(
          fixed(share, decimals: 2), x + cell / 2, y + cell / 2 + size * 0.35,
          "text-anchor=\"middle\" font-size=\"\(pixels(size))\"\(color)")
      }
    }
  }
}
