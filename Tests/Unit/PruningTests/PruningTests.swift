import Foundation
import Network
import Pruning
import TestSupport
import Testing

/// One tiny network per way in which channels are tied: which go together, and that the pruned network computes what
/// the original computes with the cut channels at zero.
@Suite struct PruningTests {
  // MARK: - Topologies

  @Test func chain() throws {
    try check(tiny { b in b.block("b", of: b.block("a", of: 0, to: 4), to: 6) }, groups: [["a.bn"], ["b.bn"]])
  }

  @Test func sumTiesItsInputs() throws {
    let network = tiny { b in
      let a = b.block("a", of: 0, to: 6)
      let c = b.block("c", of: b.block("b", of: a, to: 5), to: 6)
      return b.add("sum", of: [a, c])
    }
    try check(network, groups: [["a.bn", "c.bn"], ["b.bn"]])
  }

  @Test func concatKeepsPartsApart() throws {
    let network = tiny { b in
      let a = b.block("a", of: 0, to: 3)
      return b.block("c", of: b.concat("cat", of: [a, b.block("b", of: 0, to: 5), a]), to: 4)
    }
    try check(network, groups: [["a.bn"], ["b.bn"], ["c.bn"]])
  }

  @Test func depthwiseConvolutionFollowsItsInput() throws {
    let network = tiny { b in
      b.block("c", of: b.block("b", of: b.block("a", of: 0, to: 6), to: 6, kernel: 3, groups: 6), to: 4)
    }
    try check(network, groups: [["a.bn", "b.bn"], ["c.bn"]])
  }

  @Test func squeezeExciteFollowsTheMapItScales() throws {
    let network = tiny { b in
      let a = b.block("a", of: 0, to: 8, activation: .hardSwish)
      b.module("fc", "Sequential")
      let hidden = b.linear("fc.0", of: b.globalAveragePool("pool", of: a), to: 3)
      let factors = b.linear("fc.2", of: b.activation("fc.1", .relu, of: hidden), to: 8)
      return b.block("b", of: b.scale("scale", a, by: b.activation("fc.3", .hardSigmoid, of: factors)), to: 5)
    }
    try check(network, groups: [["a.bn"], ["b.bn"]])
  }

  @Test func shuffleTiesItsGroups() throws {
    let network = tiny { b in
      let left = b.block("left", of: 0, to: 4, activation: .relu)
      let mixed = b.shuffle("shuffle", of: b.concat("cat", of: [left, b.block("right", of: 0, to: 4)]), groups: 2)
      let kept = b.slice("kept", of: mixed, start: 0, count: 4)
      let other = b.block("other", of: b.slice("rest", of: mixed, start: 4, count: 4), to: 4)
      return b.block("end", of: b.shuffle("again", of: b.concat("cat2", of: [kept, other]), groups: 2), to: 4)
    }
    // The first half of what is shuffled passes on and is tied to the second block; the rest ends in a convolution.
    try check(
      network, groups: [["left.bn", "right.bn", "other.bn"], ["left.bn", "right.bn"], ["end.bn"]], ratio: 0.4)
  }

  @Test func poolsAndUpsamplingPassChannelsOn() throws {
    let network = tiny(stride: 2) { b in
      let a = b.block("a", of: 0, to: 6, activation: .relu6)
      let pooled = b.maxPool("pool", of: a, kernel: 2, stride: 2, padding: 0)
      return b.block("b", of: b.concat("cat", of: [a, b.upsample("up", of: pooled)]), to: 4, stride: 2)
    }
    try check(network, groups: [["a.bn"], ["b.bn"]])
  }

  /// A sigmoid makes ½ of 0: its channels cannot go unnoticed.
  @Test(arguments: [Activation.sigmoid, .hardSigmoid]) func sigmoidChannelsStay(_ activation: Activation) throws {
    let network = tiny { b in b.block("b", of: b.block("a", of: 0, to: 4, activation: activation), to: 6) }
    let plan = try PruningPlan(network, network.goldenParameters, policy: .grouped, ratio: 0.5)
    #expect(plan.groups[0].fixedReason != nil && plan.groups[0].cut.isEmpty)
    #expect(plan.candidateCount == 6)
    try check(network, groups: [["a.bn"], ["b.bn"]])
  }

  // MARK: - Plans

  @Test func thresholdIsAnElementOfTheScores() throws {
    let network = tiny { b in b.block("b", of: b.block("a", of: 0, to: 4), to: 6) }
    var parameters = network.goldenParameters
    parameters["a.bn.weight"]!.values = [0.1, -0.9, 0.3, 0.8]
    parameters["b.bn.weight"]!.values = [0.2, 0.3, -0.7, 0.6, 0.5, -0.05]
    for policy in PruningPolicy.allCases {
      let plan = try PruningPlan(network, parameters, policy: policy, ratio: 0.39)
      #expect(plan.threshold == 0.3)  // Element int(10 · 0.39) = 3 of 0.05 0.1 0.2 0.3 0.3 0.5 …
      #expect(plan.cutChannels == ["a.bn": [0], "b.bn": [0, 5]])
    }
  }

  @Test func meanOfTiedScales() throws {
    let network = tiny { b in
      let a = b.block("a", of: 0, to: 2)
      return b.add("sum", of: [a, b.block("b", of: a, to: 2)])
    }
    var parameters = network.goldenParameters
    parameters["a.bn.weight"]!.values = [0.1, 0.4]
    parameters["b.bn.weight"]!.values = [-0.9, 0.4]
    let plan = try PruningPlan(network, parameters, policy: .grouped, ratio: 0.5)
    #expect(plan.threshold == 0.5)
    #expect(plan.cutChannels == ["a.bn": [1], "b.bn": [1]])
  }

  @Test func emptyingALayerIsRefusedWithTheLargestRatio() throws {
    let network = tiny { b in b.block("b", of: b.block("a", of: 0, to: 2), to: 8) }
    var parameters = network.goldenParameters
    parameters["a.bn.weight"]!.values = [0.1, 0.2]
    parameters["b.bn.weight"]!.values = [0.05, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    let error = #expect(throws: PruningError.self) {
      try PruningPlan(network, parameters, policy: .grouped, ratio: 0.5)
    }
    #expect(error?.message.contains("no channel in a.bn;") == true)
    #expect(error?.message.contains("every layer is 0.2;") == true)
    let plan = try PruningPlan(network, parameters, policy: .grouped, ratio: 0.2)
    let pruned = try plan.apply(to: network, parameters)
    #expect(pruned.parameters["a.bn.weight"]?.values == [0.2])
  }

  @Test(arguments: [-0.1, 1, 1.5, .nan, .infinity]) func ratioOutOfRange(_ ratio: Double) throws {
    let network = tiny { b in b.block("a", of: 0, to: 4) }
    #expect(throws: PruningError.self) {
      try PruningPlan(network, network.goldenParameters, policy: .grouped, ratio: ratio)
    }
  }

  @Test func aStoredPlanIsReplayed() throws {
    let network = tiny { b in b.block("b", of: b.block("a", of: 0, to: 6), to: 6) }
    let plan = try PruningPlan(network, network.goldenParameters, policy: .grouped, ratio: 0.5)
    let replayed = try JSONDecoder().decode(PruningPlan.self, from: JSONEncoder().encode(plan))
    #expect(replayed == plan)
    #expect(
      try replayed.apply(to: network, network.goldenParameters)
        == plan.apply(to: network, network.goldenParameters))
    #expect(plan.description.contains("parameters \(plan.before.parameterCount) → \(plan.after.parameterCount)"))
  }

  @Test func aPlanForAnotherNetworkIsRefused() throws {
    let tied = tiny { b in
      let a = b.block("a", of: 0, to: 6)
      return b.add("sum", of: [a, b.block("b", of: a, to: 6)])
    }
    let loose = tiny { b in b.block("b", of: b.block("a", of: 0, to: 6), to: 6) }
    let plan = try PruningPlan(loose, loose.goldenParameters, policy: .grouped, ratio: 0.5)
    #expect(throws: PruningError.self) { try plan.apply(to: tied, tied.goldenParameters) }
    let narrow = tiny { b in b.block("b", of: b.block("a", of: 0, to: 1), to: 1) }
    #expect(throws: PruningError.self) { try plan.apply(to: narrow, narrow.goldenParameters) }
    var doubled = plan
    doubled.groups[0].cut += doubled.groups[0].cut
    #expect(throws: PruningError.self) { try doubled.apply(to: loose, loose.goldenParameters) }
  }
}

// MARK: - Helpers

/// The batch norms tied to each other, and that pruning is exact.
private func check(
  _ network: Network, groups: [[String]], ratio: Double = 0.5, sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let parameters = network.goldenParameters
  let plan = try PruningPlan(network, parameters, policy: .grouped, ratio: ratio)
  #expect(plan.groups.map(\.batchNorms) == groups, sourceLocation: sourceLocation)
  #expect(plan.cutChannelCount > 0, sourceLocation: sourceLocation)
  let pruned = try plan.apply(to: network, parameters)
  try pruned.network.check()
  let images = DeterministicValues.images(shape: [2, 3, 8, 8])
  var small = try ReferenceExecutor(pruned.network, pruned.parameters)
  var masked = try ReferenceExecutor(network, plan.masked(parameters))
  for (a, b) in zip(try small.heads(images), try masked.heads(images)) {
    expectClose(a.values, b.values, absolute: 1e-12, sourceLocation: sourceLocation)
  }
}

/// A network of one level under the given body.
private func tiny(stride: Int = 1, _ body: (inout NetworkBuilder) -> Int) -> Network {
  var builder = NetworkBuilder()
  let top = body(&builder)
  return builder.network(
    name: "tiny", detectPath: "head", levels: [top], classCount: 1, anchors: [[Anchor(width: 4, height: 4)]],
    strides: [stride])
}

extension NetworkBuilder {
  fileprivate mutating func block(
    _ path: String, of input: Int, to channels: Int, kernel: Int = 1, stride: Int = 1, groups: Int = 1,
    activation: Activation? = .silu
  ) -> Int {
    module(path, "Conv")
    let map = convolution("\(path).conv", of: input, to: channels, kernel: kernel, stride: stride, groups: groups)
    return self.activation("\(path).act", activation, of: batchNorm("\(path).bn", of: map))
  }
}
