import Compute
import Detection
import Foundation
import Interchange
import Network
import Testing
import Training

@Suite struct TrainerTests {
  @Test("A resumed run ends with the same bytes as an uninterrupted one", arguments: Runtime.availableBackends)
  func resuming(backend: Runtime.Backend) throws {
    let run = try TinyRun()
    defer { run.remove() }
    for kind in OptimizerKind.allCases {
      var configuration = TinyRun.configuration()
      configuration.optimizer = kind
      configuration.sparsityRate = kind == .adamW ? 0.001 : nil

      let whole = try run.start(configuration, backend: backend)
      var interruption: [UInt8] = []
      #expect(
        try whole.run { summary, _ in
          if summary.epoch == 2 { interruption = try Safetensors.encode(whole.checkpoint().encoded()) }
        } == .completed)

      let checkpoint = try TrainingCheckpoint(
        decoding: Safetensors.decode(interruption, file: "memory"), name: "memory")
      #expect(checkpoint.history.count == 2)
      let resumed = try Trainer(
        resuming: checkpoint, data: run.data, runtime: Runtime(backend: backend, threads: 2))
      #expect(try resumed.run { _, _ in } == .completed)
      #expect(try encoded(resumed) == encoded(whole))
      #expect(resumed.history == whole.history)
    }
  }

  @Test func everyRunIsRepeatable() throws {
    let run = try TinyRun()
    defer { run.remove() }
    let trainers = try (0..<2).map { _ in try run.start(TinyRun.configuration(epochs: 2), backend: .openBLAS) }
    for trainer in trainers { _ = try trainer.run { _, _ in } }
    #expect(try encoded(trainers[0]) == encoded(trainers[1]))
  }

  @Test(arguments: [[0, 1], [1, 3]])
  func frozenLayersStay(frozen: [Int]) throws {
    let run = try TinyRun()
    defer { run.remove() }
    var configuration = TinyRun.configuration(epochs: 1)
    configuration.frozenLayers = frozen
    let trainer = try run.start(configuration, backend: .openBLAS)
    let before = trainer.checkpoint().parameters
    _ = try trainer.run { _, _ in }
    let after = trainer.checkpoint().parameters
    for layer in 0..<5 {
      for name in ["model.\(layer).conv.weight", "model.\(layer).bn.weight", "model.\(layer).bn.bias"] {
        #expect((before[name] == after[name]) == frozen.contains(layer), "\(name)")
      }
    }
    #expect(before["model.5.m.0.bias"] != after["model.5.m.0.bias"])
    // As in YOLOv5, what a frozen batch norm has seen goes on moving.
    #expect(before["model.1.bn.running_mean"] != after["model.1.bn.running_mean"])
  }

  @Test(
    "Every choice of batches goes on as if it had not been interrupted",
    arguments: [
      "image weights", "multi-scale", "rectangular", "rectangular and multi-scale", "focal and smoothed", "frozen",
    ])
  func resumingWithChoices(choice: String) throws {
    let run = try TinyRun(images: 9)
    defer { run.remove() }
    var configuration = TinyRun.configuration()
    configuration.usesImageWeights = choice == "image weights"
    configuration.isMultiScale = choice.contains("multi-scale")
    configuration.isRectangular = choice.contains("rectangular")
    configuration.frozenLayers = choice == "frozen" ? [0, 2] : []
    if choice.contains("focal") {
      configuration.hyperparameters.loss.focalGamma = 1.5
      configuration.hyperparameters.loss.labelSmoothing = 0.1
    }
    let plain = try run.start(TinyRun.configuration(), backend: .openBLAS)
    _ = try plain.run { _, _ in }

    let whole = try run.start(configuration, backend: .openBLAS)
    var interruption: [UInt8] = []
    #expect(
      try whole.run { summary, _ in
        if summary.epoch == 2 { interruption = try Safetensors.encode(whole.checkpoint().encoded()) }
      } == .completed)
    #expect(whole.history.map(\.loss) != plain.history.map(\.loss))
    let checkpoint = try TrainingCheckpoint(decoding: Safetensors.decode(interruption, file: "memory"), name: "memory")
    #expect(checkpoint.configuration == configuration)
    let resumed = try Trainer(resuming: checkpoint, data: run.data, runtime: Runtime(backend: .openBLAS, threads: 2))
    #expect(try resumed.run { _, _ in } == .completed)
    #expect(try encoded(resumed) == encoded(whole))
  }

  @Test func cancellationLosesOnlyTheEpoch() throws {
    let run = try TinyRun()
    defer { run.remove() }
    let trainer = try run.start(TinyRun.configuration(), backend: .openBLAS)
    var batches = 0
    let ending = try trainer.run(
      isCancelled: {
        batches += 1
        return batches > 4  // Three batches an epoch.
      }, onEpoch: { _, _ in })
    #expect(ending == .cancelled)
    #expect(trainer.history.count == 1)
  }

  @Test func patienceEndsARun() throws {
    let run = try TinyRun(images: 4)
    defer { run.remove() }
    var configuration = TinyRun.configuration(epochs: 6)
    configuration.patience = 1
    // Nothing is learned at a rate of 0, so that fitness changes by the running statistics alone.
    configuration.hyperparameters.initialLearningRate = 0
    configuration.hyperparameters.warmupBiasLearningRate = 0
    let trainer = try run.start(configuration, backend: .openBLAS)
    let ending = try trainer.run { _, _ in }
    let best = try #require(trainer.bestSummary).epoch
    #expect(ending == (trainer.history.count < 6 ? .stoppedEarly : .completed))
    #expect(trainer.history.count == min(best + 1, 6))
  }

  @Test func refusesWhatCannotBeTrained() throws {
    let run = try TinyRun(images: 2)
    defer { run.remove() }
    for change: (inout TrainingConfiguration) -> Void in [
      { $0.imageSize = 50 }, { $0.epochs = 0 }, { $0.batchSize = 0 }, { $0.sparsityRate = -1 },
      { $0.hyperparameters.initialLearningRate = .nan }, { $0.frozenLayers = [-1] },
      {
        $0.usesImageWeights = true
        $0.isRectangular = true
      },
    ] {
      var configuration = TinyRun.configuration()
      change(&configuration)
      #expect(throws: TrainingError.self) { try run.start(configuration, backend: .openBLAS) }
    }
    var data = run.data
    data.classNames = ["one"]
    #expect(throws: TrainingError.self) {
      try Trainer(
        starting: TinyRun.network, TinyRun.network.initialParameters(seed: 0), data: data,
        configuration: TinyRun.configuration(), runtime: Runtime(threads: 1))
    }
  }

  private func encoded(_ trainer: Trainer) throws -> [UInt8] {
    try Safetensors.encode(trainer.checkpoint().encoded())
  }
}
