/// The area of a plot with its two axes; pixels, `top` above `bottom`.
public struct PlotFrame: Sendable, Hashable {
  public var left: Double
  public var right: Double
  public var top: Double
  public var bottom: Double

  public init(left: Double, right: Double, top: Double, bottom: Double) {
    (self.left, self.right, self.top, self.bottom) = (left, right, top, bottom)
  }

  public func xScale(_ values: [Double]) -> PlotScale { PlotScale(values, from: left, to: right) }
  public func yScale(_ values: [Double]) -> PlotScale { PlotScale(values, from: bottom, to: top) }
  public func xScale(_ range: ClosedRange<Double>) -> PlotScale { PlotScale(range, from: left, to: right) }
  public func yScale(_ range: ClosedRange<Double>) -> PlotScale { PlotScale(range, from: bottom, to: top) }
}

extension SVG {
  /// Grid, ticks and axes.
  public mutating func axes(_ frame: PlotFrame, x: PlotScale, y: PlotScale) {
    for tick in x.ticks {
      let at = x.pixel(tick)
      line(at, frame.top, at, frame.bottom, "class=\"grid\"")
      text(x.label(tick), at, frame.bottom + 20, "text-anchor=\"middle\" class=\"dim\"")
    }
    for tick in y.ticks {
      let at = y.pixel(tick)
      line(frame.left, at, frame.right, at, "class=\"grid\"")
      text(y.label(tick), frame.left - 9, at + 4.5, "text-anchor=\"end\" class=\"dim\"")
    }
    line(frame.left, frame.bottom, frame.right, frame.bottom, "class=\"axis\"")
    line(frame.left, frame.top, frame.left, frame.bottom, "class=\"axis\"")
  }

  /// Grid, ticks and axes, each with its title.
  public mutating func axes(_ frame: PlotFrame, x: PlotScale, y: PlotScale, xTitle: String, yTitle: String) {
    axes(frame, x: x, y: y)
    text(xTitle, (frame.left + frame.right) / 2, frame.bottom + 44, "text-anchor=\"middle\" font-size=\"14\"")
    let middle = (frame.top + frame.bottom) / 2
    let turned = "transform=\"rotate(-90 \(pixels(frame.left - 62)) \(pixels(middle)))\""
    text(yTitle, frame.left - 62, middle, "text-anchor=\"middle\" font-size=\"14\" \(turned)")
  }

  public mutating func heading(_ text: String, _ x: Double, _ y: Double) {
    self.text(text, x, y, "font-size=\"16\" font-weight=\"bold\"")
  }
}
