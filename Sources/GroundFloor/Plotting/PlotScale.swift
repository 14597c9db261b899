/// Values onto pixels, with round ticks.
public struct PlotScale: Sendable, Hashable {
  public let ticks: [Double]
  private let low, high: Double
  private let start, end: Double
  private let decimals: Int

  /// Room for all values, and some air at both ends.
  /// - Parameters:
  ///   - values: finite ones; without any, the scale goes from 0 to 1.
  ///   - start, end: pixels of the least and the greatest value.
  ///   - leastStep: between ticks; 1 for what is counted.
  public init(_ values: [Double], from start: Double, to end: Double, tickCount: Int = 8, leastStep: Double = 0) {
    var low = values.min() ?? 0
    var high = values.max() ?? 1
    // One value, or none: something to divide by.
    if high - low <= abs(high) * 1e-9 {
      (low, high) = (low - max(abs(low) * 0.1, 0.5), high + max(abs(high) * 0.1, 0.5))
    }
    let air = (high - low) * 0.06
    self.init(low - air...high + air, from: start, to: end, tickCount: tickCount, leastStep: leastStep)
  }

  /// Exactly this range, which must not be empty.
  public init(
    _ range: ClosedRange<Double>, from start: Double, to end: Double, tickCount: Int = 8, leastStep: Double = 0
  ) {
    let step = PlotScale.roundStep(max((range.upperBound - range.lowerBound) / Double(tickCount), leastStep))
    let first = (range.lowerBound / step.size).rounded(.up)
    // The end itself gets its tick, although the quotient may miss it by a rounding error.
    let last = (range.upperBound / step.size + 1e-9).rounded(.down)
    ticks = stride(from: first, through: last, by: 1).map { $0 * step.size }
    (low, high) = (range.lowerBound, range.upperBound)
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

  public func pixel(_ value: Double) -> Double { start + (value - low) / (high - low) * (end - start) }

  /// Large numbers in thousands or millions.
  public func label(_ tick: Double) -> String {
    switch max(abs(low), abs(high)) {
    case 2e6...: plain((tick / 1e6 * 1000).rounded() / 1000) + "M"
    case 1e4...: plain((tick / 1e3 * 1000).rounded() / 1000) + "k"
    default: fixed(tick, decimals: decimals)
    }
  }
}
