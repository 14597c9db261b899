import Testing
import Training

@Suite struct EarlyStoppingTests {
  @Test func countsEpochsWithoutImprovement() {
    var stopping = EarlyStopping(patience: 2)
    let fitness = [0.1, 0.3, 0.3, 0.2, 0.2]
    var best: [Bool] = []
    var stops: [Bool] = []
    for (epoch, value) in fitness.enumerated() {
      best.append(stopping.record(fitness: value, epoch: epoch))
      stops.append(stopping.shouldStop(afterEpoch: epoch))
    }
    #expect(best == [true, true, true, false, false])
    #expect(stops == [false, false, false, false, true])
    #expect(stopping.bestEpoch == 2)
  }

  @Test func withoutPatienceNeverStops() {
    var stopping = EarlyStopping(patience: nil)
    _ = stopping.record(fitness: 1, epoch: 0)
    #expect(!stopping.shouldStop(afterEpoch: 10_000))
  }
}
