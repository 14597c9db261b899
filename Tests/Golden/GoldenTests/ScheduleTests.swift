import TestSupport
import Testing
import Training

/// `schedules.json`: learning rates, momentum and accumulation batch by batch, of v7.0 and of the pruning study.
@Suite struct ScheduleTests {
  /// The file's own names.
  struct Curves: Decodable {
    var nw: Int
    var scaled_weight_decay: Double
    var lf: [Double]
    var logged_lr_per_epoch_g0_g1_g2: [[Double]]
    var optimizer_steps_at_ni: [Int]
    var lr_g0_g1: [Double]
    var lr_g2_bias: [Double]
    var momentum: [Double]
    var accumulate: [Int]
  }

  struct File: Decodable {
    var ref_cosine: Curves
    var ref_linear: Curves
    var v70_cosine: Curves
    var v70_linear: Curves
    var v70_cosine_nb50: Curves
    var v70_cosine_batch24_nb37: Curves
    var weight_decay_examples: [String: Double]
    var accumulate_examples: [String: Int]
    var ema_decay: [String: Double]
    var srtmp: [String: [Double]]
  }

  let file: File

  init() throws {
    file = try Fixtures.decode(File.self, "schedules.json")
  }

  @Test func studyRules() {
    check(file.ref_cosine, schedule(.cosine, .study))
    check(file.ref_linear, schedule(.linear, .study))
  }

  @Test func yolov5Rules() {
    check(file.v70_cosine, schedule(.cosine, .yolov5))
    check(file.v70_linear, schedule(.linear, .yolov5))
    check(file.v70_cosine_nb50, schedule(.cosine, .yolov5, epochs: 6, batches: 50))
    check(file.v70_cosine_batch24_nb37, schedule(.cosine, .yolov5, epochs: 6, batches: 37, batchSize: 24))
  }

  @Test func scalesToTheNominalBatch() {
    for (batch, decay) in file.weight_decay_examples {
      expectClose(schedule(.linear, .yolov5, batchSize: Int(batch)!).scaledWeightDecay, decay)
    }
    for (batch, count) in file.accumulate_examples {
      #expect(schedule(.linear, .yolov5, batchSize: Int(batch)!).accumulation == count)
    }
  }

  @Test func averagingDecay() {
    for (updates, decay) in file.ema_decay { expectClose(MovingAverage.decay(update: Int(updates)!), decay) }
  }

  @Test func sparsityRamp() {
    for (name, values) in file.srtmp {
      #expect(name == "sr=0.001 epochs=\(values.count)")
      let sparsity = Sparsity(rate: 0.001, epochs: values.count)
      for (epoch, value) in values.enumerated() { expectClose(sparsity.gammaPull(epoch: epoch), value) }
    }
  }

  private func schedule(
    _ curve: LearningRateCurve, _ rules: ScheduleRules, epochs: Int = 20, batches: Int = 100, batchSize: Int = 16
  ) -> Schedule {
    Schedule(
      epochs: epochs, batchesPerEpoch: batches, batchSize: batchSize, curve: curve, hyperparameters: .scratchLow,
      rules: rules)
  }

  private func check(_ expected: Curves, _ schedule: Schedule, location: SourceLocation = #_sourceLocation) {
    #expect(schedule.warmupIterations == expected.nw, sourceLocation: location)
    expectClose(schedule.scaledWeightDecay, expected.scaled_weight_decay, location)
    #expect(
      expected.lf.count == schedule.epochs && expected.momentum.count == schedule.epochs * schedule.batchesPerEpoch)
    var steps: [Int] = []
    var lastStep = -1
    for epoch in 0..<schedule.epochs {
      expectClose(schedule.factor(epoch: epoch), expected.lf[epoch], location)
      for batch in 0..<schedule.batchesPerEpoch {
        let iteration = epoch * schedule.batchesPerEpoch + batch
        let settings = schedule.settings(epoch: epoch, batch: batch)
        expectClose(settings.learningRates.gammas, expected.lr_g0_g1[iteration], location)
        expectClose(settings.learningRates.weights, expected.lr_g0_g1[iteration], location)
        expectClose(settings.learningRates.biases, expected.lr_g2_bias[iteration], location)
        expectClose(settings.momentum, expected.momentum[iteration], location)
        #expect(settings.accumulation == expected.accumulate[iteration], sourceLocation: location)
        // The fixture's programs count on over the gradients they drop at an epoch's end.
        if iteration - lastStep >= settings.accumulation {
          steps.append(iteration)
          lastStep = iteration
        }
      }
      let last = schedule.settings(epoch: epoch, batch: schedule.batchesPerEpoch - 1).learningRates
      for (rate, logged) in zip([last.gammas, last.weights, last.biases], expected.logged_lr_per_epoch_g0_g1_g2[epoch])
      {
        expectClose(rate, logged, location)
      }
    }
    #expect(steps == expected.optimizer_steps_at_ni, sourceLocation: location)
  }

  private func expectClose(_ value: Double, _ expected: Double, _ location: SourceLocation = #_sourceLocation) {
    #expect(abs(value - expected) <= 1e-12, "\(value) instead of \(expected)", sourceLocation: location)
  }
}
