import Compute
import Dataset
import Detection
import Foundation
import Interchange
import Network
import Settings
import Training

/// Times training steps (forward, loss, backward and SGD update) on data in memory: `bench train`.
public struct TrainingBenchmark: Sendable, Hashable, Codable {
  /// A model file's path or a name of the zoo.
  public var model: String
  public var imageSize: Int
  public var batchSize: Int
  public var classCount: Int
  /// Timed steps, after two to warm up.
  public var repeats: Int
  /// Whether to tell where the time goes, step of the plan by step.
  public var isProfiled: Bool
  public var machine: Machine

  public init(
    model: String, imageSize: Int = 320, batchSize: Int = 8, classCount: Int = 14, repeats: Int = 7,
    isProfiled: Bool = false, machine: Machine
  ) {
    self.model = model
    self.imageSize = imageSize
    self.batchSize = batchSize
    self.classCount = classCount
    self.repeats = repeats
    self.isProfiled = isProfiled
    self.machine = machine
  }

  public struct Result: Sendable, Hashable, Codable {
    public var model: String
    public var backend: String
    public var precision: Precision
    public var threads: Int
    public var imageSize: Int
    public var batch: Int
    public var parameters: Int
    public var imagesPerSecond: Double
    public var medianSeconds: Double
    public var bestSeconds: Double
    public var meanSeconds: Double
    public var peakMemoryMegabytes: Double
    /// The plan's steps, then loss and optimizer, and their share of the mean time, if asked for.
    public var plan: PlanReport?

    enum CodingKeys: String, CodingKey {
      case model, backend, precision, threads, batch, parameters, plan
      case imageSize = "image_size"
      case imagesPerSecond = "images_per_second"
      case medianSeconds = "median_seconds"
      case bestSeconds = "best_seconds"
      case meanSeconds = "mean_seconds"
      case peakMemoryMegabytes = "peak_memory_mb"
    }
  }

  public func run() throws -> Result {
    try require(CommonSettings.all.group.batchSize, batchSize)
    guard (1...100_000).contains(repeats) else {
      throw PipelineError("a benchmark of \(repeats) steps: give a number from 1 to 100000")
    }
    let start = try Model.named(model, classCount: classCount)
    let network = start.network
    try requireImageSize(imageSize, stride: network.detect.strides.max() ?? 32)
    let runtime = try machine.runtime()
    let memory = try ParameterMemory(network, start.parameters, runtime: runtime)
    let plan = try TrainingPlan(memory, batchSize: batchSize, imageHeight: imageSize, imageWidth: imageSize)
    let optimizer = Optimizer(.sgd, memory, decay: PerGroup(gammas: 0, weights: 0, biases: 0))
    var loss = DetectionLoss(detect: network.detect, imageSize: imageSize)
    let rate = PerGroup(gammas: 0.001, weights: 0.001, biases: 0.001)
    let images = noise(batchSize * imageSize * imageSize * 3)
    let targets = scatteredTargets(images: batchSize, classes: network.detect.classCount)

    var seconds: [Double] = []
    var (lossSeconds, optimizerSeconds) = (0.0, 0.0)
    let clock = ContinuousClock()
    for step in -2..<repeats {
      if step == 0, isProfiled { plan.startTiming() }
      var (inLoss, inOptimizer) = (Duration.zero, Duration.zero)
      let duration = clock.measure {
        plan.forward(images)
        inLoss = clock.measure { _ = loss.evaluate(plan, targets: targets) }
        plan.backward()
        inOptimizer = clock.measure { optimizer.update(learningRates: rate, momentum: 0.9) }
      }
      guard step >= 0 else { continue }
      seconds.append(duration / .seconds(1))
      lossSeconds += inLoss / .seconds(repeats)
      optimizerSeconds += inOptimizer / .seconds(repeats)
    }
    var report = isProfiled ? plan.report(runs: repeats) : nil
    report?.add("loss", seconds: lossSeconds)
    report?.add("optimizer", seconds: optimizerSeconds)
    seconds.sort()
    let median = seconds[seconds.count / 2]
    return Result(
      model: network.name, backend: runtime.backend.rawValue, precision: runtime.precision, threads: runtime.threads,
      imageSize: imageSize,
      batch: batchSize, parameters: network.parameterCount, imagesPerSecond: Double(batchSize) / median,
      medianSeconds: median, bestSeconds: seconds[0], meanSeconds: seconds.reduce(0, +) / Double(repeats),
      peakMemoryMegabytes: try peakMemoryMegabytes(), plan: report)
  }
}

/// Bytes that look random and are always the same.
func noise(_ count: Int) -> [UInt8] {
  var state: UInt32 = 1
  return (0..<count).map { _ in
    state = state &* 1_664_525 &+ 1_013_904_223
    return UInt8(truncatingIfNeeded: state >> 24)
  }
}

/// Six boxes an image, all over it, of all classes.
private func scatteredTargets(images: Int, classes: Int) -> [Target] {
  let random = noise(images * 6 * 4)
  return (0..<images * 6).map { index in
    let r = random[(index * 4)..<(index * 4 + 4)].map { Float($0) / 255 }
    return Target(
      imageIndex: index / 6, classIndex: index % classes, cx: 0.1 + 0.8 * r[0], cy: 0.1 + 0.8 * r[1],
      w: 0.05 + 0.3 * r[2], h: 0.05 + 0.3 * r[3])
  }
}

/// The most memory this process has had resident, in units of 2²⁰ bytes.
func peakMemoryMegabytes() throws -> Double {
  let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
  for line in status.split(separator: "\n") where line.hasPrefix("VmHWM:") {
    let words = line.split(whereSeparator: \.isWhitespace)
    if words.count > 1, let kibibytes = Double(words[1]) { return kibibytes / 1024 }
  }
  throw PipelineError("/proc/self/status: does not tell the peak memory")
}
