import Foundation
import Network
import Pruning
import TestSupport
import Testing
import Zoo

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

  /// The same places of every group go: on both sides of a grouped convolution, and with a shuffle between two.
  @Test func groupedConvolutionKeepsItsGroupsAlike() throws {
    let network = tiny { b in
      let mixed = b.block("b", of: b.block("a", of: 0, to: 8), to: 12, groups: 2)
      let shuffled = b.shuffle("shuffle", of: mixed, groups: 2)
      return b.block("d", of: b.block("c", of: shuffled, to: 8, kernel: 3, groups: 2), to: 4)
    }
    let parameters = network.goldenParameters
    let plan = try ChannelRanking(network, parameters, PruningMethod(.grouped)).plan(ratio: 0.5)
    for name in ["a.bn", "b.bn", "c.bn"] {
      let half = parameters["\(name).weight"]!.values.count / 2
      let cut = plan.cutChannels[name] ?? []
      #expect(cut.filter { $0 < half } == cut.filter { $0 >= half }.map { $0 - half })
    }
    try check(network, groups: [["a.bn"], ["b.bn"], ["c.bn"], ["d.bn"]])
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
    let plan = try ChannelRanking(network, network.goldenParameters, PruningMethod(.grouped)).plan(ratio: 0.5)
    #expect(plan.groups[0].fixedReason != nil && plan.groups[0].cut.isEmpty)
    #expect(plan.candidateCount == 6)
    try check(network, groups: [["a.bn"], ["b.bn"]])
  }

  /// Where the study's policy would refuse, nobody has to know and ask for the other one.
  @Test func thePolicyThatApplies() throws {
    func standard(_ architecture: Architecture) throws -> PruningPolicy {
      let network = try architecture.network(classCount: 2)
      let policy = PruningPolicy.standard(for: network)
      let parameters = network.goldenParameters
      let plan = try ChannelRanking(network, parameters, PruningMethod(policy)).plan(ratio: 0.2)
      let pruned = try plan.apply(to: network, parameters)
      let images = DeterministicValues.images(shape: [1, 3, 64, 64])
      var small = try ReferenceExecutor(pruned.network, pruned.parameters)
      var masked = try ReferenceExecutor(network, plan.masked(parameters))
      for (a, b) in zip(try small.heads(images), try masked.heads(images)) {
        expectClose(a.values, b.values, absolute: 1e-12)
      }
      return policy
    }
    #expect(try standard(Architecture(.family("yolov5n"))) == .study)
    #expect(try standard(Architecture(.family("mobilenetv2"))) == .grouped)
    // Shortcuts in a C3 as YOLOv5's, and ghost and shuffle units beside them.
    #expect(try standard(Architecture(.modelFile(Fixtures.path("models/mixed.yaml")))) == .grouped)
  }

  // MARK: - Plans

  /// A layer alone: the lowest of its scores go, tied layers with it, and nothing else.
  @Test func aLayerIsCutByItself() throws {
    let network = tiny { b in
      let a = b.block("a", of: 0, to: 4)
      return b.block("c", of: b.add("sum", of: [a, b.block("b", of: 0, to: 4)]), to: 6)
    }
    var parameters = network.goldenParameters
    parameters["a.bn.weight"]!.values = [0.1, 0.9, 0.3, 0.8]
    parameters["b.bn.weight"]!.values = [0.1, 0.9, 0.3, 0.8]
    parameters["c.bn.weight"]!.values = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    let ranking = try ChannelRanking(network, parameters, PruningMethod(.grouped))
    #expect(ranking.groups == [["a.bn", "b.bn"], ["c.bn"]])
    #expect(ranking.unitCounts == [4, 6])
    #expect(try ranking.plan(cutting: 0.5, ofGroup: 0).cutChannels == ["a.bn": [0, 2], "b.bn": [0, 2]])
    #expect(try ranking.plan(cutting: 0.5, ofGroup: 1).cutChannels == ["c.bn": [0, 1, 2]])
    #expect(try ranking.plan(cutting: 0.99, ofGroup: 0).cutUnitCount == 3)
    #expect(try ranking.plan(cutting: 0, ofGroup: 1).cutUnitCount == 0)
    #expect(throws: PruningError.self) { try ranking.plan(cutting: 1, ofGroup: 0) }
    let plan = try ranking.plan(cutting: 0.5, ofGroup: 0)
    #expect(try plan.apply(to: network, parameters).network.parameterCount == plan.after.parameterCount)
  }

  @Test func thresholdIsAnElementOfTheScores() throws {
    let network = tiny { b in b.block("b", of: b.block("a", of: 0, to: 4), to: 6) }
    var parameters = network.goldenParameters
    parameters["a.bn.weight"]!.values = [0.1, -0.9, 0.3, 0.8]
    parameters["b.bn.weight"]!.values = [0.2, 0.3, -0.7, 0.6, 0.5, -0.05]
    for policy in PruningPolicy.allCases {
      let plan = try ChannelRanking(network, parameters, PruningMethod(policy)).plan(ratio: 0.39)
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
    let plan = try ChannelRanking(network, parameters, PruningMethod(.grouped)).plan(ratio: 0.5)
    #expect(plan.threshold == 0.5)
    #expect(plan.cutChannels == ["a.bn": [1], "b.bn": [1]])
  }

  @Test func emptyingALayerIsRefusedWithTheLargestRatio() throws {
    let network = tiny { b in b.block("b", of: b.block("a", of: 0, to: 2), to: 8) }
    var parameters = network.goldenParameters
    parameters["a.bn.weight"]!.values = [0.1, 0.2]
    parameters["b.bn.weight"]!.values = [0.05, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    let ranking = try ChannelRanking(network, parameters, PruningMethod(.grouped))
    let error = #expect(throws: PruningError.self) {
      try ranking.plan(ratio: 0.5)
    }
    // Six of ten scores are above 0.2; the first three have 0.05, 0.1 and 0.2.
    let limit = try #require(error?.emptied.first)
    #expect(error?.emptied.count == 1 && limit.layer == "a.bn" && limit.channelCount == 2)
    #expect(limit.largestScore == 0.2 && limit.vanishingRatio == 0.3)
    #expect(error?.message.contains("no channel in a.bn (2 channels, largest score 0.2, gone from 0.3 on);") == true)
    #expect(error?.message.contains("every layer is 0.2;") == true)
    #expect(throws: PruningError.self) { try ranking.plan(ratio: 0.3) }
    let plan = try ranking.plan(ratio: 0.2)
    let pruned = try plan.apply(to: network, parameters)
    #expect(pruned.parameters["a.bn.weight"]?.values == [0.2])
  }

  @Test(arguments: [-0.1, 1, 1.5, .nan, .infinity]) func ratioOutOfRange(_ ratio: Double) throws {
    let network = tiny { b in b.block("a", of: 0, to: 4) }
    #expect(throws: PruningError.self) {
      try ChannelRanking(network, network.goldenParameters, PruningMethod(.grouped)).plan(ratio: ratio)
    }
  }

  @Test func aStoredPlanIsReplayed() throws {
    let network = tiny { b in b.block("b", of: b.block("a", of: 0, to: 6), to: 6) }
    let plan = try ChannelRanking(network, network.goldenParameters, PruningMethod(.grouped)).plan(ratio: 0.5)
    let replayed = try PruningPlan(decoding: Data(plan.encoded().utf8), file: "plan.json")
    #expect(replayed == plan)
    #expect(
      try replayed.apply(to: network, network.goldenParameters)
        == plan.apply(to: network, network.goldenParameters))
    #expect(plan.description.contains("parameters \(plan.before.parameterCount) → \(plan.after.parameterCount)"))
    for text in ["", "{}", "[]", "{\"network\": \"tiny\"}"] {
      let error = #expect(throws: PruningError.self) { try PruningPlan(decoding: Data(text.utf8), file: "plan.json") }
      #expect(error?.message.hasPrefix("plan.json: is no pruning plan") == true)
    }
  }

  @Test func aPlanForAnotherNetworkIsRefused() throws {
    let tied = tiny { b in
      let a = b.block("a", of: 0, to: 6)
      return b.add("sum", of: [a, b.block("b", of: a, to: 6)])
    }
    let loose = tiny { b in b.block("b", of: b.block("a", of: 0, to: 6), to: 6) }
    let plan = try ChannelRanking(loose, loose.goldenParameters, PruningMethod(.grouped)).plan(ratio: 0.5)
    #expect(throws: PruningError.self) { try plan.apply(to: tied, tied.goldenParameters) }
    let narrow = tiny { b in b.block("b", of: b.block("a", of: 0, to: 1), to: 1) }
    #expect(throws: PruningError.self) { try plan.apply(to: narrow, narrow.goldenParameters) }
    var doubled = plan
    doubled.groups[0].cut += doubled.groups[0].cut
    #expect(throws: PruningError.self) { try doubled.apply(to: loose, loose.goldenParameters) }
  }
}

// MARK: - Methods and targets

extension PruningTests {
  /// Two convolutions whose second has few and small filters.
  private func twoLayers() -> (Network, Parameters) {
    let network = tiny { b in b.block("b", of: b.block("a", of: 0, to: 16), to: 20) }
    return (network, network.goldenParameters)
  }

  @Test func filterNormsAreInUnitsOfTheirLayersMean() throws {
    let network = tiny { b in b.block("b", of: b.block("a", of: 0, to: 2), to: 2) }
    var parameters = network.goldenParameters
    // Row sums of |w| are 3 and 9, norms √3 and √27: L1 scores 0.5, 1.5 and L2 scores 0.5, 1.5.
    parameters["a.conv.weight"]!.values = [1, -1, 1, 3, 3, -3]
    // Sums 200 and 100, norms √20000 and 100: L1 scores 4/3 and 2/3, L2 scores 1.17 and 0.83.
    parameters["b.conv.weight"]!.values = [100, 100, 0, -100]
    for importance in [Importance.weightL1, .weightL2] {
      let plan = try ChannelRanking(network, parameters, PruningMethod(.grouped, importance: importance))
        .plan(ratio: 0.5)
      #expect(plan.cutChannels == ["a.bn": [0], "b.bn": [1]])
      #expect(plan.groups[0].lowestScore == 0.5 && plan.groups[0].highestScore == 1.5)
    }
    let l2 = try ChannelRanking(network, parameters, PruningMethod(.grouped, importance: .weightL2)).plan(ratio: 0)
    #expect(abs(l2.groups[1].highestScore! / l2.groups[1].lowestScore! - Float(2).squareRoot()) < 1e-6)
    #expect(throws: PruningError.self) {
      try ChannelRanking(network, parameters, PruningMethod(.study, importance: .weightL1))
    }
    parameters["b.conv.weight"]!.values[0] = .nan
    #expect(throws: PruningError.self) {
      try ChannelRanking(network, parameters, PruningMethod(.grouped, importance: .weightL1))
    }
  }

  @Test func randomImportanceIsTheSeeds() throws {
    let (network, parameters) = twoLayers()
    func cut(_ seed: UInt64) throws -> [String: [Int]] {
      let method = PruningMethod(.grouped, importance: .random, seed: seed, minimumChannels: 1)
      return try ChannelRanking(network, parameters, method).plan(ratio: 0.5).cutChannels
    }
    #expect(try cut(1) == cut(1))
    #expect(try cut(1) != cut(2))
  }

  @Test func aFloorKeepsTheBest() throws {
    var (network, parameters) = twoLayers()
    parameters["a.bn.weight"]!.values = (0..<16).map { 0.01 * Float($0 + 1) }
    parameters["b.bn.weight"]!.values = (0..<20).map { 1 + 0.01 * Float($0) }
    let plan = try ChannelRanking(network, parameters, PruningMethod(.grouped, minimumChannels: 3)).plan(ratio: 0.5)
    #expect(plan.cutChannels == ["a.bn": Array(0..<13), "b.bn": [0, 1]])
    #expect(plan.layers.map(\.keptCount) == [3, 18])
    network = tiny { b in b.block("a", of: 0, to: 4) }
    let wide = try ChannelRanking(network, network.goldenParameters, PruningMethod(.grouped, minimumChannels: 9))
    #expect(try wide.plan(ratio: 0.75).cutChannels.isEmpty)
  }

  /// Scores that are equal say nothing about which channels matter, so each layer loses the same share of them.
  @Test(arguments: [0.5, 0.9]) func equalScoresGoEvenly(_ ratio: Double) throws {
    var parameters = twoLayers().1
    let network = twoLayers().0
    parameters["a.bn.weight"] = Tensor(shape: [16], repeating: 1)
    parameters["b.bn.weight"] = Tensor(shape: [20], repeating: -1)
    for policy in PruningPolicy.allCases {
      let plan = try ChannelRanking(network, parameters, PruningMethod(policy)).plan(ratio: ratio)
      #expect(plan.cutUnitCount == Int(36 * ratio) && plan.threshold == 1)
      #expect(plan.layers.map(\.keptCount) == (ratio == 0.5 ? [8, 10] : [2, 2]))
      #expect(plan.remarks.count == 2 && plan.description.contains("all channels score the same"))
      #expect(try PruningPlan(decoding: Data(plan.encoded().utf8), file: "plan").remarks == plan.remarks)
    }
  }

  /// More channels at zero than are to go: as many go as were asked for, and nothing that is not zero.
  @Test func moreZerosThanAreAskedFor() throws {
    let network = twoLayers().0
    var parameters = twoLayers().1
    parameters["a.bn.weight"]!.values = (0..<16).map { $0 < 8 ? 0 : 1 + Float($0) }
    parameters["b.bn.weight"]!.values = (0..<20).map { $0 < 10 ? 0 : 100 + Float($0) }
    let ranking = try ChannelRanking(network, parameters, PruningMethod(.study))
    let plan = try ranking.plan(ratio: 0.25)
    #expect(plan.cutUnitCount == 9 && plan.threshold == 0)
    #expect(plan.cutChannels == ["a.bn": [0, 1, 2, 3], "b.bn": [0, 1, 2, 3, 4]])
    #expect(plan.remarks == ["9 of them score just the threshold: of equal scores, each layer loses a like share"])
    #expect(try ranking.plan(ratio: 0.5).remarks.isEmpty)
  }

  /// Without ties the threshold alone decides.
  @Test func differentScoresLeaveNoRemark() throws {
    let (network, parameters) = twoLayers()
    let plan = try ChannelRanking(network, parameters, PruningMethod(.study)).plan(ratio: 0.3)
    #expect(plan.remarks.isEmpty && plan.cutUnitCount == 10)
  }

  @Test func whatStaysAlthoughItWasAskedForIsTold() throws {
    let (network, parameters) = twoLayers()
    let floor = try ChannelRanking(network, parameters, PruningMethod(.study, minimumChannels: 20)).plan(ratio: 0.5)
    #expect(floor.remarks == ["18 of the 18 channels asked for stay, because layers keep at least 20"])
    let method = PruningMethod(.study, minimumChannels: 9, roundTo: 8)
    #expect(
      try ChannelRanking(network, parameters, method).plan(ratio: 0.5).remarks.contains {
        $0.hasSuffix("because layers keep at least 9 and multiples of 8")
      })
    let none = try ChannelRanking(network, parameters, PruningMethod(.study)).plan(ratio: 0.02)
    #expect(none.remarks == ["nothing goes: a ratio of 0.02 is less than one of 36 channels"])
  }

  @Test func layersKeepMultiples() throws {
    let network = tiny { b in
      let a = b.block("a", of: 0, to: 20)
      let sum = b.add("sum", of: [a, b.block("b", of: a, to: 20)])
      return b.block("d", of: b.concat("cat", of: [sum, b.block("c", of: sum, to: 6)]), to: 32)
    }
    let parameters = network.goldenParameters
    let plan = try ChannelRanking(network, parameters, PruningMethod(.grouped, roundTo: 8)).plan(ratio: 0.5)
    let plain = try ChannelRanking(network, parameters, PruningMethod(.grouped)).plan(ratio: 0.5)
    for (layer, without) in zip(plan.layers, plain.layers) {
      #expect(layer.keptCount % 8 == 0 || layer.keptCount == layer.channelCount)
      #expect(layer.keptCount >= without.keptCount)
    }
    #expect(plan.cutUnitCount > 0)
    #expect(try plan.apply(to: network, parameters).network.parameterCount == plan.after.parameterCount)
  }

  @Test func aTargetIsReachedByTheLeastCut() throws {
    let (network, parameters) = twoLayers()
    let ranking = try ChannelRanking(network, parameters, PruningMethod(.grouped))
    let counts = try (0...ranking.largestCut).map {
      try ranking.plan(ratio: (Double($0) + 0.5) / Double(ranking.candidateCount)).after.parameterCount
    }
    for limit in [counts[0], counts[0] - 1, counts[7], counts[12] + 1, counts.last!] {
      let plan = try ranking.plan(bringing: "parameters", to: Double(limit)) { Double($0.after.parameterCount) }
      #expect(plan.cutUnitCount == counts.firstIndex { $0 <= limit })
      #expect(plan.after.parameterCount <= limit)
    }
    let error = #expect(throws: PruningError.self) {
      try ranking.plan(bringing: "parameters", to: 10) { Double($0.after.parameterCount) }
    }
    #expect(error?.message.contains("cannot be brought to 10 parameters") == true)
    // The first of two rounds goes half of the way.
    let half = try ranking.plan(bringing: "parameters", to: Double(counts[12]), share: 0.5) {
      Double($0.after.parameterCount)
    }
    #expect(half.cutUnitCount == counts.firstIndex { 2 * $0 <= counts[0] + counts[12] })
  }

  /// Timings err upwards: a figure that a smaller cut had beaten is taken again, and there are few of them.
  @Test func aNoisyQuantityIsMeasuredAgain() throws {
    let network = tiny { b in b.block("b", of: b.block("a", of: 0, to: 400), to: 600) }
    let ranking = try ChannelRanking(network, network.goldenParameters, PruningMethod(.grouped))
    var measured: [Int] = []
    let plan = try ranking.plan(bringing: "milliseconds", to: 7, measurementLimit: 12) { plan in
      measured.append(plan.cutUnitCount)
      let time = 10 - Double(plan.cutUnitCount) / 100
      // The third measurement meets a busy machine.
      return measured.count == 3 ? time + 20 : time
    }
    #expect(measured[2] == measured[3])
    #expect(measured.count == 12)
    #expect((300...304).contains(plan.cutUnitCount))
  }

  @Test func scoresAreCountedByTheirMagnitude() throws {
    let histogram = try #require(ScoreHistogram([0, 1e-4, 1e-4, 2e-4, .infinity, .nan, 1, 0, -1]))
    #expect(histogram.counts.count == 16 && histogram.counts.first == 2 && histogram.counts.last == 1)
    #expect(histogram.counts[1] == 1 && histogram.counts.reduce(0, +) == 4)
    #expect(abs(histogram.lowest + 4) < 1e-6 && histogram.highest == 0)
    #expect(abs(histogram.upperEdges[0] + 3.75) < 1e-6 && histogram.upperEdges[15] == 0)
    let one = try #require(ScoreHistogram([0.1, 0.1]))
    #expect(one.counts == [2] && one.lowest == one.highest && one.upperEdges == [one.highest])
    #expect(ScoreHistogram([0, 0]) == nil && ScoreHistogram([]) == nil)
  }
}

// MARK: - Helpers

/// The batch norms tied to each other, and that pruning is exact.
private func check(
  _ network: Network, groups: [[String]], ratio: Double = 0.5, sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let parameters = network.goldenParameters
  let plan = try ChannelRanking(network, parameters, PruningMethod(.grouped)).plan(ratio: ratio)
  #expect(plan.groups.map(\.batchNorms) == groups, sourceLocation: sourceLocation)
  #expect(plan.cutChannels.values.joined().count > 0, sourceLocation: sourceLocation)
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
