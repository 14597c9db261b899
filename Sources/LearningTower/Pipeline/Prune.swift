import Compute
import Dataset
import Evaluation
import Foundation
import Interchange
import Network
import Platform
import Pruning
import Training
import Wording

/// A request to prune a model: the stage `prune` and the command.
public struct PruneRequest: Sendable, Hashable, Codable {
  public var model: String
  public var amount: PruneAmount
  /// nil: the study's where it applies, otherwise the grouped one.
  public var policy: PruningPolicy?
  public var importance: Importance
  /// The seed of the random importance.
  public var seed: UInt64
  /// Which channels' scores are compared with each other.
  public var scope: PruningScope
  /// The pictures that the Taylor importance is measured on; nil for other importances.
  public var measurement: TaylorMeasurement?
  /// The least number of channels that every layer keeps; nil refuses a cut that would empty one.
  public var minimumChannels: Int?
  /// The least share of its channels that every layer keeps.
  public var minimumShare: Double
  /// Layers keep multiples of it.
  public var roundTo: Int

  public init(
    model: String, amount: PruneAmount, policy: PruningPolicy? = nil, importance: Importance = .gamma,
    scope: PruningScope = .network, measurement: TaylorMeasurement? = nil, seed: UInt64 = 0,
    minimumChannels: Int? = nil, minimumShare: Double = 0, roundTo: Int = 1
  ) {
    self.model = model
    self.amount = amount
    self.policy = policy
    self.importance = importance
    self.scope = scope
    self.measurement = measurement
    self.minimumShare = minimumShare
    self.seed = seed
    self.minimumChannels = minimumChannels
    self.roundTo = roundTo
  }
}

/// The training pictures on which the Taylor importance is measured.
public struct TaylorMeasurement: Sendable, Hashable, Codable {
  /// A YOLOv5 `data.yaml`; its training split counts.
  public var dataset: String
  public var imageSize: Int
  public var machine: Machine

  public init(dataset: String, imageSize: Int, machine: Machine) {
    self.dataset = dataset
    self.imageSize = imageSize
    self.machine = machine
  }

  func scores(_ model: ModelFile) throws -> TaylorScores {
    try requireImageSize(imageSize, stride: model.network.detect.strides.max() ?? 32)
    let description = try DatasetDescription.load(dataset)
    guard description.classCount == model.network.detect.classCount else {
      throw PipelineError(
        "\(dataset): has \(counted(description.classCount, "class")), "
          + "the model detects \(model.network.detect.classCount)")
    }
    return try TaylorScores.measured(
      model.network, model.parameters, images: try description.contents(of: .train).images, imageSize: imageSize,
      runtime: try machine.runtime())
  }
}

public enum PruneAmount: Sendable, Hashable, Codable {
  /// Share of the channels that may be cut, in [0, 1).
  case ratio(Double)
  /// The least cut that brings the network there.
  /// - Parameter roundsLeft: rounds of pruning and fine-tuning in which to get there, this one included: each goes an
  ///   equal part of the way that is left.
  case target(PruneTarget, roundsLeft: Int = 1)
}

/// The most that the pruned network may cost.
public enum PruneTarget: Sendable, Hashable, Codable {
  case parameters(Int)
  /// For an image of 640 × 640.
  case gflops(Double)
  /// Median time of a pass over one image, measured on this machine.
  case milliseconds(Double, imageSize: Int, machine: Machine)
}

public struct PruneReport: Sendable, Hashable, Codable {
  public var model: String
  public var policy: PruningPolicy
  public var ratio: Double
  public var threshold: Float
  public var candidates: Int
  /// Units of tied channels that went.
  public var removed: Int
  public var parametersBefore: Int
  public var parameters: Int
  /// For an image of 640 × 640.
  public var gflopsBefore: Double
  public var gflops: Double
  public var sizeMegabytesBefore: Double
  public var sizeMegabytes: Double
  /// Where less went than was asked for, and where scores did not tell channels apart.
  public var remarks: [String]

  enum CodingKeys: String, CodingKey {
    case model, policy, ratio, threshold, candidates, removed, parameters, gflops, remarks
    case parametersBefore = "parameters_before"
    case gflopsBefore = "gflops_before"
    case sizeMegabytesBefore = "size_mb_before"
    case sizeMegabytes = "size_mb"
  }

  /// - Parameter model: where the pruned model lies, or the one that the plan is for.
  public init(_ plan: PruningPlan, model: String) {
    self.model = model
    policy = plan.method.policy
    ratio = plan.ratio
    threshold = plan.threshold
    candidates = plan.candidateCount
    removed = plan.cutUnitCount
    (parametersBefore, parameters) = (plan.before.parameterCount, plan.after.parameterCount)
    (gflopsBefore, gflops) = (plan.before.gflops, plan.after.gflops)
    (sizeMegabytesBefore, sizeMegabytes) = (plan.before.sizeMegabytes, plan.after.sizeMegabytes)
    remarks = plan.remarks
  }
}

/// Chooses the channels. Nothing is cut.
/// - Parameter onMeasurement: hears of each plan that was timed, and its milliseconds.
public func pruningPlan(
  _ request: PruneRequest, onMeasurement: (PruningPlan, Double) -> Void = { _, _ in }
) throws -> PruningPlan {
  let model = try Model.read(request.model)
  let method = PruningMethod(
    request.policy ?? .standard(for: model.network, importance: request.importance), importance: request.importance,
    scope: request.scope, seed: request.seed, minimumChannels: request.minimumChannels,
    minimumShare: request.minimumShare, roundTo: request.roundTo)
  let ranking = try ChannelRanking(
    model.network, model.parameters, method,
    taylor: request.importance == .taylor ? try request.measurement?.scores(model) : nil)
  if method.policy == .gradual { return try ranking.planOfZeroChannels() }
  let (target, roundsLeft): (PruneTarget, Int)
  switch request.amount {
  case .ratio(let ratio): return try ranking.plan(ratio: ratio)
  case .target(let wanted, let rounds): (target, roundsLeft) = (wanted, rounds)
  }
  let share = 1 / Double(max(roundsLeft, 1))
  switch target {
  case .parameters(let count):
    return try ranking.plan(bringing: "parameters", to: Double(count), share: share) {
      Double($0.after.parameterCount)
    }
  case .gflops(let limit):
    return try ranking.plan(bringing: "GFLOPs", to: limit, share: share) { $0.after.gflops }
  case .milliseconds(let limit, let imageSize, let machine):
    try requireImageSize(imageSize, stride: model.network.detect.strides.max() ?? 32)
    let runtime = try machine.runtime()
    return try ranking.plan(
      bringing: "milliseconds", to: limit, share: share, measurementLimit: latencyMeasurementLimit
    ) { plan in
      let pruned = try plan.apply(to: model.network, model.parameters)
      let latency = try LatencyBenchmark.measure(
        TimedNetwork(pruned.network, pruned.parameters, imageSize: imageSize), runtime: runtime, runs: 50)
      onMeasurement(plan, latency.medianMilliseconds)
      return latency.medianMilliseconds
    }
  }
}

/// Timings are slow: a dozen narrow the cut down to a thousandth of the channels.
private let latencyMeasurementLimit = 12

/// Applies a plan and writes the smaller model. A cut of channels that compute nothing leaves the accuracy as it is.
public func prune(_ model: String, by plan: PruningPlan, to output: String) throws -> PruneReport {
  try refuseOverwriting([output], ofInputs: [model])
  let model = try Model.read(model)
  let pruned = try plan.apply(to: model.network, model.parameters)
  let map50 = plan.masked(model.parameters) == model.parameters ? model.map50 : nil
  try ModelFile(
    network: pruned.network, parameters: pruned.parameters, classNames: model.classNames, map50: map50
  ).write(to: output)
  return PruneReport(plan, model: output)
}

/// Reads a plan that `writePlan` has written, or any program in its form.
public func readPlan(_ path: String) throws -> PruningPlan {
  let data: Data
  do { data = try Data(contentsOf: URL(filePath: path)) } catch {
    throw PipelineError("\(path): cannot be read (\(reason(of: error)))")
  }
  return try PruningPlan(decoding: data, file: path)
}

public func writePlan(_ plan: PruningPlan, to path: String) throws {
  try writeText(try plan.encoded() + "\n", to: path)
}
