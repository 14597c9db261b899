import Interchange
import Network
import Pruning

/// The stage `prune`.
public struct PruneRequest: Sendable, Hashable, Codable {
  public var model: String
  /// Share of the channels that may be cut, in [0, 1).
  public var ratio: Double
  /// nil: the study's where it applies, otherwise the grouped one.
  public var policy: PruningPolicy?
  /// Where the pruned model goes.
  public var output: String

  public init(model: String, ratio: Double, policy: PruningPolicy? = nil, output: String) {
    self.model = model
    self.ratio = ratio
    self.policy = policy
    self.output = output
  }
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

  enum CodingKeys: String, CodingKey {
    case model, policy, ratio, threshold, candidates, removed, parameters, gflops
    case parametersBefore = "parameters_before"
    case gflopsBefore = "gflops_before"
    case sizeMegabytesBefore = "size_mb_before"
    case sizeMegabytes = "size_mb"
  }

  /// By the names objectives use.
  public var metrics: [String: Double] {
    [
      "parameters": Double(parameters), "gflops": gflops, "size_mb": sizeMegabytes, "threshold": Double(threshold),
      "removed_channels": Double(removed),
    ]
  }
}

/// Plans the cut, applies it and writes the smaller model.
/// - Returns: also the plan, which prints itself.
public func prune(_ request: PruneRequest) throws -> (report: PruneReport, plan: PruningPlan) {
  let model = try Model.read(request.model)
  let plan = try PruningPlan(
    model.network, model.parameters, policy: request.policy ?? .standard(for: model.network), ratio: request.ratio)
  let pruned = try plan.apply(to: model.network, model.parameters)
  try ModelFile(network: pruned.network, parameters: pruned.parameters, classNames: model.classNames)
    .write(to: request.output)
  let report = PruneReport(
    model: request.output, policy: plan.policy, ratio: plan.ratio, threshold: plan.threshold,
    candidates: plan.candidateCount, removed: plan.groups.reduce(0) { $0 + $1.cut.count },
    parametersBefore: plan.before.parameterCount, parameters: plan.after.parameterCount,
    gflopsBefore: plan.before.gflops, gflops: plan.after.gflops, sizeMegabytesBefore: plan.before.sizeMegabytes,
    sizeMegabytes: plan.after.sizeMegabytes)
  return (report, plan)
}
