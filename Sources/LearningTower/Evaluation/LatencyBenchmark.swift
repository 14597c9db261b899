import Compute
import Foundation
import Network

/// How long one image takes.
public struct Latency: Sendable, Hashable, Codable {
  /// Corrected for the host's drift while it was measured, if there was a reference network.
  public var medianMilliseconds: Double
  /// 95 of 100 passes are at least as fast.
  public var p95Milliseconds: Double
  public var meanMilliseconds: Double
  /// How far the medians of three parts of the passes lie apart, as a share.
  public var spread: Double
  /// The median pass of the reference network; nil without one.
  public var referenceMilliseconds: Double?
  /// Passes that count.
  public var runs: Int
  /// Processors that others used meanwhile, on average.
  public var othersProcessors: Double
  /// The share of the passes' time in which they waited for a processor; it is not part of the figures above.
  public var heldShare: Double
  /// Rounds that were measured again because others used the host.
  public var droppedRounds: Int
  /// Energy of one pass, of the whole host; nil where it cannot be known.
  public var energy: EnergyResult?
  /// The plan's steps and their share of the mean time, if asked for.
  public var plan: PlanReport?
}

/// A network to time, or to time others by.
public struct TimedNetwork {
  let network: Network
  let parameters: Parameters
  /// Pixels of both sides.
  let imageSize: Int

  public init(_ network: Network, _ parameters: Parameters, imageSize: Int) {
    self.network = network
    self.parameters = parameters
    self.imageSize = imageSize
  }
}

/// Times the network's pass over one image, from RGB bytes to raw maps; decoding files and suppression are left out.
public enum LatencyBenchmark {
  /// - Parameters:
  ///   - reference: passes of it alternate with the model's; nil: the host's drift is not corrected, and nothing is
  ///     measured again.
  ///   - warmUpRuns: passes that do not count; caches fill and the clock rises meanwhile.
  ///   - runs: passes that count, at least.
  ///   - patience: seconds to wait at most for others to leave the host alone.
  ///   - energy: how the host's energy can be known.
  ///   - isProfiled: whether to tell where the time goes, step of the plan by step.
  /// - Throws: `ComputeError` if the network cannot be planned for the size.
  public static func measure(
    _ model: TimedNetwork, reference: TimedNetwork? = nil, runtime: Runtime, warmUpRuns: Int = 10, runs: Int = 100,
    patience: Double = 60, energy source: EnergySource? = nil, isProfiled: Bool = false
  ) throws -> Latency {
    precondition(runs > 0, "a latency needs a run")
    let pass = try Pass(model, runtime)
    // The host's speed is told in float32, whatever the model's precision.
    let exact = try Runtime(backend: runtime.backend, threads: runtime.threads)
    let other = try reference.map { try Pass($0, exact) }
    for _ in 0..<warmUpRuns {
      pass.run()
      other?.run()
    }
    if isProfiled { pass.plan.startTiming() }
    var profiledRuns = 0
    var delay = RunDelay()
    var (own, held) = (0.0, 0.0)
    var load = other == nil ? nil : HostLoad()
    var timing = RepeatableTiming(passes: runs, patience: patience)
    if other == nil { timing.growth = 1 }
    let result = timing.measure(
      RepeatableTiming.Bench(
        model: {
          profiledRuns += 1
          let time = pass.milliseconds(&delay)
          (own, held) = (own + time.own, held + time.delay)
          return time.own
        }, reference: { other?.milliseconds(&delay).own ?? 1 }, others: { load?.others() ?? 0 },
        pause: { Thread.sleep(forTimeInterval: $0) }))
    let report = isProfiled ? pass.plan.report(runs: profiledRuns) : nil
    return Latency(
      medianMilliseconds: result.median, p95Milliseconds: result.p95, meanMilliseconds: result.mean,
      spread: result.spread, referenceMilliseconds: other == nil ? nil : result.reference, runs: result.passes,
      othersProcessors: result.others, heldShare: held / max(own + held, 1e-9), droppedRounds: result.droppedRounds,
      energy: source.flatMap { energyOfPass(pass, $0) }, plan: report)
  }

  private static func energyOfPass(_ pass: Pass, _ source: EnergySource) -> EnergyResult? {
    func watts() -> Double? {
      guard case .measured = source else { return nil }
      var window = EnergyWindow(source)
      Thread.sleep(forTimeInterval: 1)
      return window.joules()
    }
    return RepeatableEnergy().measure(
      RepeatableEnergy.Bench(
        window: { seconds in
          var window = EnergyWindow(source)
          var delay = RunDelay()
          let end = ContinuousClock.now + .seconds(seconds)
          var (passes, held) = (0, 0.0)
          while passes == 0 || ContinuousClock.now < end {
            pass.run()
            passes += 1
            held += delay?.secondsSinceLastReading() ?? 0
          }
          return window.joules(heldSeconds: held).map { (passes, $0) }
        }, idleWatts: watts))
  }

  /// One network's plan and the image it looks at.
  private struct Pass {
    let plan: InferencePlan
    private let image: [UInt8]

    init(_ timed: TimedNetwork, _ runtime: Runtime) throws {
      plan = try InferencePlan(
        timed.network, timed.parameters, batchSize: 1, imageHeight: timed.imageSize, imageWidth: timed.imageSize,
        runtime: runtime)
      image = (0..<timed.imageSize * timed.imageSize * 3).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    }

    func run() { plan.run(image) }

    /// The milliseconds of a pass without those in which it was held up, and these apart.
    func milliseconds(_ delay: inout RunDelay?) -> (own: Double, delay: Double) {
      _ = delay?.secondsSinceLastReading()
      let wall = ContinuousClock().measure { plan.run(image) } / .milliseconds(1)
      let held = min((delay?.secondsSinceLastReading() ?? 0) * 1000, wall)
      return (wall - held, held)
    }
  }
}
