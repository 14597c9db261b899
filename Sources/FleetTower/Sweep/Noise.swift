/// Mean and sample standard deviation of some values.
struct SampleStatistics: Hashable, Sendable {
  let mean: Double
  /// Divided by n - 1; nil for a single value.
  let deviation: Double?

  /// nil if there is no value.
  init?(_ values: [Double]) {
    guard !values.isEmpty else { return nil }
    let count = Double(values.count)
    // Equal values have themselves as their mean, whatever is lost in the sum.
    let mean = values.allSatisfy { $0 == values[0] } ? values[0] : values.reduce(0, +) / count
    self.mean = mean
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    deviation = values.count > 1 ? (squares / (count - 1)).squareRoot() : nil
  }
}

/// Whether the difference of two means is more than chance, by Welch's t-test at 95 %.
/// - Parameters: sample standard deviation and number of values on either side, at least two.
func isDifference(
  _ difference: Double, beyondNoiseOf a: (deviation: Double, count: Int), _ b: (deviation: Double, count: Int)
) -> Bool {
  let (x, y) = (a.deviation * a.deviation / Double(a.count), b.deviation * b.deviation / Double(b.count))
  guard x + y > 0 else { return difference != 0 }
  let freedom = (x + y) * (x + y) / (x * x / Double(a.count - 1) + y * y / Double(b.count - 1))
  return abs(difference) > tQuantile(freedom) * (x + y).squareRoot()
}

/// The 97.5 % quantile of Student's distribution; degrees of freedom are rounded down.
private func tQuantile(_ freedom: Double) -> Double {
  let whole = Int(max(1, min(freedom, 1e6)))
  return whole <= tQuantiles.count ? tQuantiles[whole - 1] : 1.96 + 2.5 / Double(whole)
}

private let tQuantiles = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
  2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
]
