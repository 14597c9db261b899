import Compute
import Dispatch
import Evaluation
import Interchange
import Network
import Platform
import Plotting
import Settings
import Wording

/// The cost of one image: the stage `benchmark` and `bench infer`.
public struct BenchmarkRequest: Sendable, Hashable, Codable {
  /// A model file's path or a name of the zoo.
  public var model: String
  /// The number of classes of a network of the zoo.
  public var classCount: Int
  /// Pixels of both sides.
  public var imageSize: Int
  /// Timed passes at least, after ten to warm up; more are taken until they agree.
  public var iterations: Int
  /// Seconds to wait at most for others to leave the host alone.
  public var patience: Double
  /// Whether to tell where the time goes, step of the plan by step.
  public var isProfiled: Bool
  public var machine: Machine

  /// - Parameter patience: nil: more for more passes, 20 seconds for a hundred.
  public init(
    model: String, classCount: Int = 14, imageSize: Int = 640, iterations: Int = 100, patience: Double? = nil,
    isProfiled: Bool = false, machine: Machine
  ) {
    self.patience = patience ?? min(60, 0.2 * Double(iterations))
    self.model = model
    self.classCount = classCount
    self.imageSize = imageSize
    self.iterations = iterations
    self.isProfiled = isProfiled
    self.machine = machine
  }
}

public struct BenchmarkReport: Sendable, Hashable, Codable {
  public var model: String
  public var backend: String
  public var precision: Precision
  /// The processor's name.
  public var processor: String
  public var threads: Int
  public var imageSize: Int
  public var medianMilliseconds: Double
  public var p95Milliseconds: Double
  public var meanMilliseconds: Double
  /// How far the medians of three parts of the passes lie apart, as a share.
  public var spread: Double
  /// The median pass of the reference network meanwhile.
  public var referenceMilliseconds: Double?
  /// Timed passes that count.
  public var passes: Int
  /// Processors that others used meanwhile, on average.
  public var othersProcessors: Double
  /// The share of the passes' time in which they waited for a processor; it is not part of the latencies.
  public var heldShare: Double
  /// Rounds of passes that were measured again because others used the host.
  public var droppedRounds: Int
  /// The energy that the whole host takes for one image; nil where it cannot be known.
  public var energyJoules: Double?
  /// How the energy was obtained; nil where it is not known.
  public var energyKind: EnergyKind?
  /// How far three windows of energy lie apart, as a share.
  public var energySpread: Double?
  /// The host's power before and after, while nothing ran, in watts; nil where it is not measured.
  public var idleWatts: [Double]?
  public var peakMemoryMegabytes: Double
  /// The plan's steps and their share of the mean time, if asked for.
  public var plan: PlanReport?

  enum CodingKeys: String, CodingKey {
    case model, backend, precision, processor, threads, plan, spread, passes
    case imageSize = "image_size"
    case medianMilliseconds = "median_ms"
    case p95Milliseconds = "p95_ms"
    case meanMilliseconds = "mean_ms"
    case referenceMilliseconds = "reference_ms"
    case othersProcessors = "others_processors"
    case heldShare = "held_share"
    case droppedRounds = "dropped_rounds"
    case energyJoules = "energy_j"
    case energyKind = "energy_kind"
    case energySpread = "energy_spread"
    case idleWatts = "idle_watts"
    case peakMemoryMegabytes = "peak_memory_mb"
  }
}

extension BenchmarkReport {
  /// The reasons why the figures may not be the host's best, a sentence each.
  public var remarks: [String] {
    var remarks: [String] = []
    if othersProcessors > RepeatableTiming.quietLoad {
      remarks.append(
        "the host is busy: others used \(fixed(othersProcessors, decimals: 1)) processors while it was measured")
    } else if droppedRounds > 0 {
      remarks.append("others used the host at times: \(counted(droppedRounds, "round")) of passes were measured again")
    }
    if spread > RepeatableTiming.agreement {
      remarks.append("the passes do not agree: parts of them lie \(fixed(spread * 100, decimals: 1)) % apart")
    }
    if let energySpread, energySpread > RepeatableTiming.agreement {
      remarks.append("the windows of energy do not agree: they lie \(fixed(energySpread * 100, decimals: 1)) % apart")
    }
    return remarks
  }
}

/// Times a network's pass over one image, batch norms folded and activations fused, in turn with a small reference
/// network, and takes its energy where that can be known.
public func benchmark(_ request: BenchmarkRequest) throws -> BenchmarkReport {
  let model = try Model.named(request.model, classCount: request.classCount)
  try requireImageSize(request.imageSize, stride: model.network.detect.strides.max() ?? 32)
  try require(BenchmarkStage.all.group.iterations, request.iterations)
  let runtime = try request.machine.runtime()
  let source = HostPower.source
  let latency = try LatencyBenchmark.measure(
    TimedNetwork(model.network, model.parameters, imageSize: request.imageSize), reference: referenceNetwork(),
    runtime: runtime, runs: request.iterations, patience: request.patience, energy: source,
    isProfiled: request.isProfiled)
  return BenchmarkReport(
    model: model.network.name, backend: runtime.backend.rawValue, precision: runtime.precision,
    processor: ProcessorModel.here.name,
    threads: runtime.threads,
    imageSize: request.imageSize, medianMilliseconds: latency.medianMilliseconds,
    p95Milliseconds: latency.p95Milliseconds, meanMilliseconds: latency.meanMilliseconds, spread: latency.spread,
    referenceMilliseconds: latency.referenceMilliseconds, passes: latency.runs,
    othersProcessors: latency.othersProcessors, heldShare: latency.heldShare, droppedRounds: latency.droppedRounds,
    energyJoules: latency.energy?.joules, energyKind: latency.energy.flatMap { _ in source.kind },
    energySpread: latency.energy?.spread,
    idleWatts: latency.energy.flatMap { $0.idleWatts.isEmpty ? nil : $0.idleWatts },
    peakMemoryMegabytes: try peakMemoryMegabytes(), plan: latency.plan)
}

/// The network by which the host's speed is told. It must stay what it is: results of different versions are corrected
/// by it.
private func referenceNetwork() throws -> TimedNetwork {
  let model = try Model.named("yolov5n-w0.5", classCount: 1)
  return TimedNetwork(model.network, model.parameters, imageSize: 320)
}

/// Keeps processors busy with passes of a network, one each, as a stage would.
public func loadProcessors(_ count: Int, seconds: Double) throws {
  let model = try Model.named("yolov5n", classCount: 1)
  let end = ContinuousClock.now + .seconds(seconds)
  DispatchQueue.concurrentPerform(iterations: count) { _ in
    let runtime = try? Runtime(backend: Runtime.defaultBackend, threads: 1)
    let plan = runtime.flatMap { runtime in
      try? InferencePlan(
        model.network, model.parameters, batchSize: 1, imageHeight: 320, imageWidth: 320, runtime: runtime)
    }
    let image = [UInt8](repeating: 100, count: 320 * 320 * 3)
    while ContinuousClock.now < end { plan?.run(image) }
  }
}
