import Compute
import Dataset
import Detection
import Foundation
import Interchange
import Network
import Pruning
import Testing
import Training

@Suite struct ChannelFadingTests {
  private static func configuration(ratio: Double, epochs: Int = 4) -> TrainingConfiguration {
    var configuration = TinyRun.configuration(epochs: epochs)
    configuration.fading = ChannelFading(
      ratio: ratio, method: PruningMethod(.grouped, importance: .taylor, minimumChannels: 2))
    return configuration
  }

  /// The gradient by a channel's gate agrees with the change of the loss when scale and shift are scaled.
  @Test func gateGradientsAgreeWithFiniteDifferences() throws {
    let run = try TinyRun()
    defer { run.remove() }
    let network = TinyRun.network
    let memory = try ParameterMemory(
      network, network.initialParameters(seed: 3), runtime: Runtime(backend: .openBLAS, threads: 2))
    let plan = try TrainingPlan(memory, batchSize: 2, imageHeight: 64, imageWidth: 64)
    var loss = DetectionLoss(detect: network.detect, hyperparameters: LossHyperparameters(), imageSize: 64)
    let images: [Float] = (0..<(2 * 64 * 64 * 3)).map { (index: Int) -> Float in Float(index * 7919 % 251) / 251 }
    func value() -> Double {
      plan.forward(images)
      return 2 * loss.evaluate(plan, targets: []).sum
    }
    let names = try TaylorScores(network).batchNorms
    _ = value()
    plan.backward()
    var channelGates = ChannelGates(names, of: memory)
    channelGates.update()
    let gates = channelGates.gradients
    let channels = [(0, 3, 3), (1, 2, 8 + 2), (3, 5, 8 + 8 + 12 + 5)]
    for (layer, channel, index) in channels {
      func scaled(by factor: Float) throws -> Double {
        let places = try [".weight", ".bias"].map {
          try #require(memory.range(of: names[layer] + $0)).lowerBound + channel
        }
        let before = memory.values.values()
        defer { memory.values.withMutableSpan { span in for i in before.indices { span[i] = before[i] } } }
        memory.values.withMutableSpan { span in for place in places { span[place] *= factor } }
        return value()
      }
      let difference = (try scaled(by: 1.01) - scaled(by: 0.99)) / 0.02
      #expect(abs(difference - Double(gates[index])) < 0.02 * max(abs(difference), 1e-3), "\(names[layer]), \(channel)")
    }
  }

  /// The gradients of tied channels are added before they are squared.
  @Test func tiedChannelsScoreTogether() throws {
    var scores = try TaylorScores(TinyRun.network)
    #expect(scores.batchNorms.count == 5)
    var gates = [Float](repeating: 0, count: 8 + 8 + 12 + 16 + 16)
    gates[0] = 3
    gates[8] = -2
    scores.add(gates)
    scores.add(gates)
    #expect(scores.values.filter { $0 > 0 }.sorted() == [8, 18])
    scores.fade(by: 0.5)
    #expect(scores.values.reduce(0, +) == 13)
  }

  /// Each image counts by itself: the gradients of images that pull a gate in opposite directions do not cancel out.
  @Test func imagesAreMeasuredOneByOne() throws {
    let run = try TinyRun()
    defer { run.remove() }
    let network = TinyRun.network
    let parameters = network.initialParameters(seed: 3)
    func scores(_ images: [LabelledImage]) throws -> [Double] {
      try TaylorScores.measured(
        network, parameters, images: images, imageSize: 64, runtime: Runtime(backend: .openBLAS, threads: 1)
      ).values
    }
    let images = Array(run.data.training.prefix(3))
    let single = try images.map { try scores([$0]) }
    for (unit, score) in try scores(images).enumerated() {
      let sum = single.reduce(0) { $0 + $1[unit] }
      #expect(abs(score - sum) <= 1e-4 * sum)
    }
  }

  @Test(
    "After the run the asked share of channels is zero, and cutting it changes no output",
    arguments: [(0.3, 4), (0.5, 4), (0.5, 2), (0.5, 1)])
  func fadesToTheRatio(ratio: Double, epochs: Int) throws {
    let run = try TinyRun()
    defer { run.remove() }
    let trainer = try run.start(Self.configuration(ratio: ratio, epochs: epochs), backend: .openBLAS)
    #expect(try trainer.run { _, _ in } == .completed)
    let ranking = try ChannelRanking(trainer.network, trainer.bestParameters, PruningMethod(.grouped))
    let plan = try ranking.planOfZeroChannels()
    // All that were asked for, but for those that the floor of a layer keeps.
    let asked = Int(Double(plan.candidateCount) * ratio)
    #expect(plan.cutUnitCount <= asked && plan.cutUnitCount >= asked - 2)
    #expect(plan.layers.allSatisfy { $0.keptCount >= 2 })
    // The best model is of an epoch in which all had faded.
    #expect(trainer.bestSummary!.epoch >= min(epochs, 3))
    #expect(plan.masked(trainer.bestParameters) == trainer.bestParameters)
    let pruned = try plan.apply(to: trainer.network, trainer.bestParameters)
    #expect(pruned.network.parameterCount < trainer.network.parameterCount)
  }

  /// Each epoch tells how many channels have faded, of how many, and how the scores of the others are spread.
  @Test func epochsTellHowFarFadingIs() throws {
    let run = try TinyRun()
    defer { run.remove() }
    let trainer = try run.start(Self.configuration(ratio: 0.5), backend: .openBLAS)
    _ = try trainer.run { _, _ in }
    let scales = trainer.history.compactMap(\.scales)
    #expect(scales.count == 4 && scales.allSatisfy { $0.targetShare == 0.5 })
    #expect(scales.map(\.zeroShare) == scales.map(\.zeroShare).sorted() && scales[0].zeroShare < scales[3].zeroShare)
    #expect(scales.allSatisfy { $0.scores != nil })
    let units = 8.0 + 8 + 12 + 16 + 16
    for scales in scales.prefix(2) {
      let scores = try #require(scales.scores)
      // Units that no image has an effect on are left out too.
      let (left, count) = ((1 - scales.zeroShare) * units, Double(scores.counts.reduce(0, +)))
      #expect(count <= left + 1e-9 && count > left / 2)
      #expect(scores.lowest < scores.highest && scores.upperEdges.last == scores.highest)
    }
  }

  @Test func resumedRunsEndWithTheSameBytes() throws {
    let run = try TinyRun()
    defer { run.remove() }
    let whole = try run.start(Self.configuration(ratio: 0.5), backend: .openBLAS)
    var interruptions: [[UInt8]] = []
    _ = try whole.run { _, _ in interruptions.append(try Safetensors.encode(whole.checkpoint().encoded())) }
    for interruption in interruptions.dropLast() {
      let checkpoint = try TrainingCheckpoint(
        decoding: Safetensors.decode(interruption, file: "memory"), name: "memory")
      let resumed = try Trainer(
        resuming: checkpoint, data: run.data, runtime: Runtime(backend: .openBLAS, threads: 2))
      _ = try resumed.run { _, _ in }
      #expect(try Safetensors.encode(resumed.checkpoint().encoded()) == interruptions.last)
    }
  }

  @Test func refusesWhatCannotFade() throws {
    let run = try TinyRun()
    defer { run.remove() }
    for configuration in [Self.configuration(ratio: 1), Self.configuration(ratio: 0)] {
      #expect(throws: TrainingError.self) { try run.start(configuration, backend: .openBLAS) }
    }
  }
}
