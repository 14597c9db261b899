import Compute
import Network

/// How long one image takes.
public struct Latency: Sendable, Hashable, Codable {
  public var medianMilliseconds: Double
  /// 95 of 100 runs are at least as fast.
  public var p95Milliseconds: Double
  public var meanMilliseconds: Double
  public var runs: Int
  /// Energy of one run in joules, of the whole box; nil where it cannot be read.
  public var energyJoules: Double?
  /// The plan's steps and their share of the mean time, if asked for.
  public var plan: PlanReport?
}

/// Times the network's pass over one image, from RGB bytes to raw maps; decoding files and suppression are left out.
public enum LatencyBenchmark {
  /// - Parameters:
  ///   - imageSize: pixels of both sides.
  ///   - warmUpRuns: runs that do not count; caches fill and the clock rises meanwhile.
  ///   - isProfiled: whether to tell where the time goes, step of the plan by step.
  /// - Throws: `ComputeError` if the network cannot be planned for the size.
  public static func measure(
    _ network: Network, _ parameters: Parameters, runtime: Runtime, imageSize: Int, warmUpRuns: Int = 10,
    runs: Int = 100, isProfiled: Bool = false
  ) throws -> Latency {
    precondition(runs > 0, "a latency needs a run")
    let plan = try InferencePlan(
      network, parameters, batchSize: 1, imageHeight: imageSize, imageWidth: imageSize, runtime: runtime)
    let image = (0..<imageSize * imageSize * 3).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    for _ in 0..<warmUpRuns { plan.run(image) }
    if isProfiled { plan.startTiming() }
    var meter = EnergyMeter()
    var milliseconds: [Double] = []
    let clock = ContinuousClock()
    for _ in 0..<runs {
      let duration = clock.measure { plan.run(image) }
      milliseconds.append(duration / .milliseconds(1))
    }
    let energy = meter?.joulesSinceLastReading()
    milliseconds.sort()
    return Latency(
      medianMilliseconds: percentile(milliseconds, 50), p95Milliseconds: percentile(milliseconds, 95),
      meanMilliseconds: milliseconds.reduce(0, +) / Double(runs), runs: runs,
      energyJoules: energy.map { $0 / Double(runs) }, plan: isProfiled ? plan.report(runs: runs) : nil)
  }

  /// Nearest rank: the smallest value that `percent` of the sorted values do not exceed.
  static func percentile(_ sorted: [Double], _ percent: Int) -> Double {
    sorted[max((sorted.count * percent + 99) / 100 - 1, 0)]
  }
}
