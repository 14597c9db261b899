import Compute
import Dataset
import Detection
import Network
import Pruning
import TestSupport
import Testing
import Training
import Zoo

/// Every family under the grouped policy.
///
/// Where must a pruned network equal the original with the cut channels' scales and shifts at zero? Everywhere. Such a
/// channel is zero behind its batch norm, and stays so up to the convolution or linear layer that sums over it: the
/// activations between have f(0) = 0 (SiLU, ReLU, ReLU6, hard swish); sums add zeros only, as all their inputs are cut
/// together; pools, enlargements, slices, shuffles and depthwise convolutions without bias (each followed by a batch
/// norm that is masked as well) keep zeros; squeeze-excite multiplies them by whatever its hard sigmoid says, and pools
/// them to the zeros that its first layer then misses. Channels for which this does not hold (behind a sigmoid, say)
/// are not candidates. What remains is the order of sums, so results differ by rounding alone.
@Suite struct PrunedFamiliesTests {
  /// The larger YOLOv5s repeat the smallest one's blocks.
  static let families = Zoo.names.filter { !["yolov5s", "yolov5m", "yolov5l", "yolov5x"].contains($0) }
  static let ratios = [0.1, 0.3, 0.5, 0.7]
  /// The floor is for ShuffleNet at 0.7: the halves that its blocks pass on have too few channels of high scores there.
  static let method = PruningMethod(.grouped, minimumChannels: 1)

  @Test(arguments: families, ratios) func prunedEqualsMasked(_ name: String, _ ratio: Double) throws {
    let (network, parameters) = try sparsified(name)
    let ranking = try ChannelRanking(network, parameters, Self.method)
    let plan = try ranking.plan(ratio: ratio)
    let pruned = try plan.apply(to: network, parameters)
    try pruned.network.check()
    #expect(pruned.network.parameterCount == plan.after.parameterCount)
    let asked = Int(Double(plan.candidateCount) * ratio)
    #expect((asked * 19 / 20...asked).contains(plan.cutUnitCount))
    #expect(try plan.after.gflops < ranking.plan(ratio: ratio - 0.1).after.gflops)
    #expect(try pruned.network.gflops(imageSize: 640) == plan.after.gflops)

    for backend in ratio == 0.5 ? Runtime.availableBackends : [Runtime.defaultBackend] {
      let masked = try inferredHeads(network, plan.masked(parameters), backend)
      for (a, b) in zip(try inferredHeads(pruned.network, pruned.parameters, backend), masked) {
        expectClose(a, b, absolute: 1e-6)
      }
    }
    guard ratio == 0.7 else { return }
    // In double precision nothing is left of the difference.
    let images = DeterministicValues.images(shape: [1, 3, 64, 64])
    var small = try ReferenceExecutor(pruned.network, pruned.parameters)
    var masked = try ReferenceExecutor(network, plan.masked(parameters))
    for (a, b) in zip(try small.heads(images), try masked.heads(images)) {
      expectClose(a.values, b.values, absolute: 1e-12)
    }
  }

  @Test(arguments: families, ratios) func aPrunedNetworkTrains(_ name: String, _ ratio: Double) throws {
    let (network, parameters) = try sparsified(name)
    let plan = try ChannelRanking(network, parameters, Self.method).plan(ratio: ratio)
    let pruned = try plan.apply(to: network, parameters)
    let losses = try lossesOfAFewSteps(pruned.network, pruned.parameters, Runtime.defaultBackend)
    #expect(losses.last! < losses[0], "\(losses)")
  }

  /// A refusal is right about the largest ratio: the first layer is gone from that ratio on, and just below it is not.
  @Test(arguments: families) func aRefusalNamesTheLargestRatio(_ name: String) throws {
    let (network, parameters) = try sparsified(name)
    let ranking = try ChannelRanking(network, parameters, PruningMethod(.grouped))
    let error = #expect(throws: PruningError.self) { try ranking.plan(ratio: 0.99) }
    let first = try #require(error?.emptied.first)
    #expect(first.vanishingRatio == Double(ranking.largestCut + 1) / Double(ranking.candidateCount))
    func ratio(cutting count: Int) -> Double { (Double(count) + 0.5) / Double(ranking.candidateCount) }
    let refused = #expect(throws: PruningError.self) { try ranking.plan(ratio: ratio(cutting: ranking.largestCut + 1)) }
    #expect(refused?.emptied.map(\.layer).contains(first.layer) == true)
    let plan = try ranking.plan(ratio: ratio(cutting: ranking.largestCut))
    #expect(plan.layers.allSatisfy { $0.keptCount > 0 })
    #expect(error?.message.contains("\(Double(ranking.largestCut) / Double(ranking.candidateCount));") == true)
  }

  /// The other scores, floor and multiple on every way in which channels are tied.
  @Test(arguments: families, [Importance.weightL1, .weightL2, .random])
  func otherMethods(_ name: String, _ importance: Importance) throws {
    let (network, parameters) = try sparsified(name)
    let method = PruningMethod(.grouped, importance: importance, seed: 3, minimumChannels: 4, roundTo: 8)
    let plan = try ChannelRanking(network, parameters, method).plan(ratio: 0.6)
    #expect(plan.cutUnitCount > 0)
    for layer in plan.layers {
      #expect(layer.keptCount % 8 == 0 || layer.keptCount == layer.channelCount, "\(layer)")
    }
    let pruned = try plan.apply(to: network, parameters)
    let masked = try inferredHeads(network, plan.masked(parameters), Runtime.defaultBackend)
    for (a, b) in zip(try inferredHeads(pruned.network, pruned.parameters, Runtime.defaultBackend), masked) {
      expectClose(a, b, absolute: 1e-6)
    }
  }

  @Test(arguments: families) func targets(_ name: String) throws {
    let (network, parameters) = try sparsified(name)
    let ranking = try ChannelRanking(network, parameters, PruningMethod(.grouped))
    let whole = try ranking.plan(ratio: 0)
    let plan = try ranking.plan(bringing: "GFLOPs", to: 0.8 * whole.before.gflops) { $0.after.gflops }
    #expect(plan.after.gflops <= 0.8 * plan.before.gflops)
    #expect(plan.after.gflops > 0.77 * plan.before.gflops)
  }

  /// Gammas of all sizes, as sparsity training leaves them.
  private func sparsified(_ name: String) throws -> (Network, Parameters) {
    let network = try Zoo.network(named: name, classCount: 14)
    var parameters = network.goldenParameters
    for node in network.nodes {
      guard case .batchNorm = node.operation else { continue }
      let gamma = "\(node.name).weight"
      let u = DeterministicValues.uniform(gamma, count: parameters[gamma]!.values.count)
      parameters[gamma]!.values = u.map { 1.5 * $0 * $0 }
    }
    return (network, parameters)
  }
}

/// The loss before each of sixteen steps on the fixtures' images.
func lossesOfAFewSteps(
  _ network: Network, _ parameters: Parameters, _ backend: Runtime.Backend
) throws -> [Double] {
  let memory = try ParameterMemory(
    network, parameters, runtime: Runtime(backend: backend, threads: 2))
  let training = try TrainingPlan(memory, batchSize: 2, imageHeight: 64, imageWidth: 64)
  let update = ParameterUpdate(
    memory, optimizer: Optimizer(.adamW, memory, decay: PerGroup(gammas: 0, weights: 0, biases: 0), beta1: 0.9))
  var loss = DetectionLoss(detect: network.detect, imageSize: 64)
  let targets = [
    Target(imageIndex: 0, classIndex: 3, cx: 0.4, cy: 0.5, w: 0.5, h: 0.6),
    Target(imageIndex: 1, classIndex: 9, cx: 0.6, cy: 0.3, w: 0.3, h: 0.2),
  ]
  let images = nhwc(DeterministicValues.images()).values
  return (0..<16).map { _ in
    training.forward(images)
    let sum = loss.evaluate(training, targets: targets).sum
    training.backward()
    let settings = StepSettings(
      learningRates: PerGroup(gammas: 1e-3, weights: 1e-3, biases: 1e-3), momentum: 0.9, accumulation: 1)
    update.apply(settings, epoch: 0)
    return sum
  }
}
