import Compute
import Network

/// How long one image takes.
public struct Latency: Sendable, Hashable, Codable {
  public var medianMilliseconds: Double
  /// 95 of 100 runs are at least as fast.
  public var p95Milliseconds: Double
  public var runs: Int
  /// Energy of one run in joules, of the whole box; nil where it cannot be read.
  public var energyJoules: Double?
}

/// Times the network's pass over one image, from RGB bytes to raw maps; decoding files and suppression are left out.
public enum LatencyBenchmark {
  /// - Parameters:
  ///   - imageSize: pixels of both sides.
  ///   - warmUpRuns: runs that do not count; caches fill and the clock rises meanwhile.
  /// - Throws: `ComputeError` if the network cannot be planned for the size.
  public static func measure(
    _ network: Network, _ parameters: Parameters, runtime: Runtime, imageSize: Int, warmUpRuns: Int = 10,
    runs: Int = 100
  ) throws -> Latency {
    precondition(runs > 0, "a latency needs a run")
    let plan = try InferencePlan(
      network, parameters, batchSize: 1, imageHeight: imageSize, imageWidth: imageSize, runtime: runtime)
    let image = (0..<imageSize * imageSize * 3).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    for _ in 0..<warmUpRuns { plan.run(image) }
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
      medianMilliseconds: percentile(milliseconds, 50), p95Milliseconds: percentile(milliseconds, 95), runs: runs,
      energyJoules: energy.map { $0 / Double(runs) })
  }

  /// Nearest rank: the smallest value that `percent` of the sorted values do not exceed.
  static func percentile(_ sorted: [Double], _ percent: Int) -> Double {
    sorted[max((sorted.count * percent + 99) / 100 - 1, 0)]
  }
}
