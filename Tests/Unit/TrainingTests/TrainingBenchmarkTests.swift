import Compute
import Pipeline
import Testing

@Suite struct TrainingBenchmarkTests {
  @Test func linesOfAProfileTakeAsLongAsTheStep() throws {
    let benchmark = TrainingBenchmark(
      model: "yolov5n", imageSize: 64, batchSize: 2, repeats: 3, isProfiled: true, machine: Machine(threads: 2))
    // A scheduler may come between two clocks; it will not do so every time.
    for attempt in 1...3 {
      let result = try benchmark.run()
      let lines = try #require(result.plan).lines
      #expect(Set(lines.map(\.operation)).isSuperset(of: ["waiting for other lanes", "loss", "optimizer"]))
      let share = lines.reduce(0) { $0 + $1.seconds } / result.meanSeconds
      if abs(share - 1) < 0.05 { return }
      #expect(attempt < 3, "the lines take \(share) of the step")
    }
  }
}
