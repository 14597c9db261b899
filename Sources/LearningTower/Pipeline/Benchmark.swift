import Compute
import Evaluation
import Interchange
import Network
import Settings

/// The cost of one image: the stage `benchmark` and `bench infer`.
public struct BenchmarkRequest: Sendable, Hashable, Codable {
  /// A model file's path or a name of the zoo.
  public var model: String
  /// The number of classes of a network of the zoo.
  public var classCount: Int
  /// Pixels of both sides.
  public var imageSize: Int
  /// Timed passes, after ten to warm up.
  public var iterations: Int
  /// Whether to tell where the time goes, step of the plan by step.
  public var isProfiled: Bool
  public var machine: Machine

  public init(
    model: String, classCount: Int = 14, imageSize: Int = 640, iterations: Int = 100, isProfiled: Bool = false,
    machine: Machine
  ) {
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
  public var threads: Int
  public var imageSize: Int
  public var medianMilliseconds: Double
  public var p95Milliseconds: Double
  public var meanMilliseconds: Double
  /// The energy that the whole host takes for one image; nil where it cannot be read.
  public var energyJoules: Double?
  public var peakMemoryMegabytes: Double
  /// The plan's steps and their share of the mean time, if asked for.
  public var plan: PlanReport?

  enum CodingKeys: String, CodingKey {
    case model, backend, threads, plan
    case imageSize = "image_size"
    case medianMilliseconds = "median_ms"
    case p95Milliseconds = "p95_ms"
    case meanMilliseconds = "mean_ms"
    case energyJoules = "energy_j"
    case peakMemoryMegabytes = "peak_memory_mb"
  }
}

/// Times a network's pass over one image, batch norms folded and activations fused.
public func benchmark(_ request: BenchmarkRequest) throws -> BenchmarkReport {
  let model = try Model.named(request.model, classCount: request.classCount)
  try requireImageSize(request.imageSize, stride: model.network.detect.strides.max() ?? 32)
  try require(BenchmarkStage.all.group.iterations, request.iterations)
  let runtime = try request.machine.runtime()
  let latency = try LatencyBenchmark.measure(
    model.network, model.parameters, runtime: runtime, imageSize: request.imageSize, runs: request.iterations,
    isProfiled: request.isProfiled)
  return BenchmarkReport(
    model: model.network.name, backend: runtime.backend.rawValue, threads: runtime.threads,
    imageSize: request.imageSize, medianMilliseconds: latency.medianMilliseconds,
    p95Milliseconds: latency.p95Milliseconds, meanMilliseconds: latency.meanMilliseconds,
    energyJoules: latency.energyJoules, peakMemoryMegabytes: try peakMemoryMegabytes(), plan: latency.plan)
}
