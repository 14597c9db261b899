import Compute
import Interchange
import Network
import Pruning
import TestSupport
import Testing
import Zoo

/// The study's pruning of YOLOv5 against `prune/`: thresholds, indices and copied weights exact.
@Suite struct PruneTests {
  static let fixture = Result { try Fixtures.json("prune/prune.json") }

  @Test(arguments: ["yolov5n", "yolov5s"], ["0.0", "0.1", "0.3", "0.5"])
  func studyPolicy(_ name: String, _ percent: String) throws {
    let golden = try Self.fixture.get()[name]
    let expected = golden["percent"][percent]
    let network = try Zoo.network(named: name, classCount: 14)
    let parameters = network.goldenParameters
    let plan = try ChannelRanking(network, parameters, PruningMethod(.study)).plan(ratio: Double(percent)!)

    #expect(plan.threshold == expected["threshold"].float)
    #expect(plan.candidateCount == golden["prunable_channels"].int)
    #expect(plan.cutChannels.values.joined().count == expected["pruned_channels"].int)
    #expect(plan.before.parameterCount == golden["parameters_before"].int)
    expectClose(plan.before.gflops, golden["gflops_before"].double, absolute: 1e-5)
    #expect(plan.after.parameterCount == expected["parameters"].int)
    expectClose(plan.after.gflops, expected["gflops"].double, absolute: 1e-5)

    let pruned = try plan.apply(to: network, parameters)
    try pruned.network.check()
    #expect(pruned.network.parameterCount == expected["parameters"].int)
    let remaining = try golden["bn_layers"].strings.map { try #require(pruned.parameters["\($0).weight"]).values.count }
    #expect(remaining == expected["remaining_channels"].ints)
    guard percent != "0.0" else {
      #expect(pruned.network == network && pruned.parameters == parameters)
      return
    }
    let shapes = expected["state_dict_shapes"].array
    #expect(pruned.network.parameterSpecs.map(\.name) == shapes.map { $0[0].string })
    #expect(pruned.network.parameterSpecs.map(\.shape) == shapes.map { $0[1].ints })

    let file = try Fixtures.safetensors("prune/\(name)_p\(percent.dropFirst(2))0.safetensors")
    let cut = plan.cutChannels
    for (key, tensor) in file.tensors where key.hasPrefix("keep.") {
      let batchNorm = String(key.dropFirst("keep.".count))
      let all = 0..<parameters["\(batchNorm).weight"]!.values.count
      #expect(all.filter { cut[batchNorm]?.contains($0) != true } == tensor.integers, "\(batchNorm)")
    }
    for (key, tensor) in file.tensors where key.hasPrefix("sample.") {
      let parameter = String(key.dropFirst("sample.".count).prefix { $0 != "_" })
      #expect(pruned.parameters[parameter]!.values.starts(with: tensor.floats), "\(parameter)")
    }
    var executor = try ReferenceExecutor(pruned.network, pruned.parameters)
    let heads = try executor.heads(DeterministicValues.images())
    for (level, head) in heads.enumerated() {
      expectClose(head.floats, file.tensors["eval.head\(level)"]!.floats, absolute: 1e-6)
    }
    let decoded = executor.decoded(heads).floats
    expectClose(decoded, file.tensors["f64.eval.decoded"]!.floats, absolute: 1e-7, relative: 2e-7)
  }

  /// Where the study stops for lack of channels, so do we, saying how far one could go; where it breaks on a layer of a
  /// single channel, pruning works.
  @Test(arguments: ["yolov5n", "yolov5s"]) func highRatios(_ name: String) throws {
    let golden = try Self.fixture.get()[name]
    let network = try Zoo.network(named: name, classCount: 14)
    let parameters = network.goldenParameters
    for (percent, expected) in golden["too_high"].object.sorted(by: { $0.key < $1.key }) {
      let plan = Result { try ChannelRanking(network, parameters, PruningMethod(.study)).plan(ratio: Double(percent)!) }
      guard expected["ok"].bool else {
        let error = #expect(throws: PruningError.self, "\(percent)") { try plan.get() }
        if Double(percent)! < 1 {
          #expect(error?.message.contains("\(golden["highest_safe_percent"].double)") == true)
        }
        continue
      }
      let pruned = try plan.get().apply(to: network, parameters)
      #expect(try plan.get().threshold == expected["threshold"].float)
      #expect(pruned.network.parameterCount == expected["parameters"].int)
      let smallest = golden["bn_layers"].strings.map { pruned.parameters["\($0).weight"]!.values.count }.min()
      #expect(smallest == expected["smallest_layer"].int)
      guard smallest == 1 else { continue }
      let images = DeterministicValues.images(shape: [1, 3, 64, 64])
      var executor = try ReferenceExecutor(pruned.network, pruned.parameters)
      var original = try ReferenceExecutor(network, plan.get().masked(parameters))
      for (a, b) in zip(try executor.heads(images), try original.heads(images)) {
        expectClose(a.values, b.values, absolute: 1e-12)
      }
    }
    let safe = golden["highest_safe_percent"].double
    #expect(
      try ChannelRanking(network, parameters, PruningMethod(.study)).plan(ratio: safe).threshold
        <= golden["highest_safe_threshold"].float)
  }

  /// Families that the study could not prune.
  @Test(arguments: ["mobilenetv2", "mobilenetv3-small", "shufflenetv2", "ghostnet"])
  func studyPolicyRefusesTiedChannels(_ name: String) throws {
    let network = try Zoo.network(named: name, classCount: 14)
    let error = #expect(throws: PruningError.self) {
      try ChannelRanking(network, network.goldenParameters, PruningMethod(.study)).plan(ratio: 0.3)
    }
    #expect(error?.message.contains("grouped") == true)
  }

  /// Layers of one channel, on which the study breaks, compute and train.
  @Test(arguments: Runtime.availableBackends, [("yolov5n", 0.8), ("yolov5s", 0.85)])
  func layersOfOneChannel(_ backend: Runtime.Backend, _ model: (name: String, ratio: Double)) throws {
    let network = try Zoo.network(named: model.name, classCount: 14)
    let parameters = network.goldenParameters
    let plan = try ChannelRanking(network, parameters, PruningMethod(.study)).plan(ratio: model.ratio)
    #expect(plan.layers.map(\.keptCount).min() == 1)
    let pruned = try plan.apply(to: network, parameters)
    let masked = try inferredHeads(network, plan.masked(parameters), backend)
    for (a, b) in zip(try inferredHeads(pruned.network, pruned.parameters, backend), masked) {
      expectClose(a, b, absolute: 1e-6)
    }
    let losses = try lossesOfAFewSteps(pruned.network, pruned.parameters, backend)
    #expect(losses.last! < losses[0], "\(losses)")
    // The pruned network can be pruned again: its layers of one channel stay, wider ones shrink.
    let again = try ChannelRanking(
      pruned.network, pruned.parameters, PruningMethod(.grouped, minimumChannels: 1)
    ).plan(ratio: 0.3)
    #expect(again.cutUnitCount > 0 && again.layers.allSatisfy { $0.keptCount > 0 })
    try again.apply(to: pruned.network, pruned.parameters).network.check()
  }

  // MARK: - In execution plans

  /// Outputs of the pruned networks as PyTorch computed them.
  @Test(arguments: Runtime.availableBackends, ["yolov5n_p10", "yolov5n_p30", "yolov5n_p50", "yolov5s_p50"])
  func prunedHeads(_ backend: Runtime.Backend, _ fixture: String) throws {
    let expected = try Fixtures.safetensors("prune/\(fixture).safetensors")
    let network = try Zoo.network(named: String(fixture.prefix(7)), classCount: 14)
    let parameters = network.goldenParameters
    let plan = try ChannelRanking(network, parameters, PruningMethod(.study)).plan(
      ratio: Double(fixture.suffix(2))! / 100)
    let pruned = try plan.apply(to: network, parameters)
    for (level, head) in try inferredHeads(pruned.network, pruned.parameters, backend).enumerated() {
      expectClose(head, plansOrder(expected.tensors["eval.head\(level)"]!.tensor), absolute: 1e-6)
    }
  }
}

/// The raw maps of the fixtures' images, in the plans' order.
func inferredHeads(
  _ network: Network, _ parameters: Parameters, _ backend: Runtime.Backend
) throws -> [[Float]] {
  let plan = try InferencePlan(
    network, parameters, batchSize: 2, imageHeight: 64, imageWidth: 64,
    runtime: Runtime(backend: backend, threads: 2))
  plan.run(nhwc(DeterministicValues.images()).values)
  return network.detect.outputs.indices.map { level in
    plan.withHead(level) { span in span.indices.map { span[$0] } }
  }
}
