/// The energy of one pass, from windows that grow until three of them agree.
struct RepeatableEnergy: Sendable {
  /// The length of the first windows.
  var seconds = 0.5
  /// The windows grow no longer than that.
  var longestSeconds = 8.0

  /// The world that is measured.
  struct Bench {
    /// Runs passes for so many seconds; returns how many, and their joules.
    var window: (Double) -> (passes: Int, joules: Double)?
    /// Watts while nothing runs; nil where they are not measured.
    var idleWatts: () -> Double?
  }

  /// - Returns: nil if energy cannot be known.
  func measure(_ bench: Bench) -> EnergyResult? {
    let before = bench.idleWatts()
    var length = seconds
    while true {
      var values: [Double] = []
      for _ in 0..<3 {
        guard let (passes, joules) = bench.window(length), passes > 0 else { return nil }
        values.append(joules / Double(passes))
      }
      values.sort()
      let spread = values[1] > 0 ? (values[2] - values[0]) / values[1] : 0
      if spread <= RepeatableTiming.agreement || 2 * length > longestSeconds {
        return EnergyResult(
          joules: values[1], spread: spread, idleWatts: [before, bench.idleWatts()].compactMap { $0 })
      }
      length *= 2
    }
  }
}

/// The energy of one pass of the whole host, idle power included.
public struct EnergyResult: Sendable, Hashable, Codable {
  public var joules: Double
  /// How far three windows lie apart, as a share of the middle one.
  public var spread: Double
  /// Before and after the windows; empty where it was not measured.
  public var idleWatts: [Double]

  enum CodingKeys: String, CodingKey {
    case joules, spread
    case idleWatts = "idle_watts"
  }
}
