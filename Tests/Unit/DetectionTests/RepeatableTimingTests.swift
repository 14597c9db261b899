import Foundation
import Synchronization
import Testing

@testable import Evaluation

/// A simulated host: its speed and its other users are functions of the time, which passes with each pass.
private final class Host {
  var seconds = 0.0
  /// Times a pass takes longer at that moment.
  var slowness: (Double) -> Double = { _ in 1 }
  var others: (Double) -> Double = { _ in 0 }
  var noise: () -> Double = { 0 }
  var pauses: [Double] = []

  private func pass(_ milliseconds: Double) -> Double {
    let time = milliseconds * slowness(seconds) * (1 + others(seconds)) * (1 + noise())
    seconds += time / 1000
    return time
  }

  func bench(milliseconds: Double) -> RepeatableTiming.Bench {
    RepeatableTiming.Bench(
      model: { self.pass(milliseconds) }, reference: { self.pass(0.5) }, others: { self.others(self.seconds) },
      pause: {
        self.pauses.append($0)
        self.seconds += $0
      })
  }
}

struct RepeatableTimingTests {
  @Test func aSteadyHostNeedsTheLeastPasses() {
    let result = RepeatableTiming().measure(Host().bench(milliseconds: 4))
    #expect(abs(result.median - 4) < 1e-9 && abs(result.p95 - 4) < 1e-9 && abs(result.mean - 4) < 1e-9)
    #expect(result.spread < 1e-9 && result.passes >= 100 && result.passes < 120 && abs(result.reference - 0.5) < 1e-9)
  }

  /// The host slows down by a quarter within a second: the drift is taken out, and the figure belongs to the
  /// reference's median.
  @Test func driftIsCorrected() {
    let host = Host()
    host.slowness = { 1 + min($0, 1) / 4 }
    let result = RepeatableTiming(passes: 300).measure(host.bench(milliseconds: 4))
    #expect(abs(result.median / result.reference - 8) < 0.05)
    #expect(result.spread < 0.01)
  }

  /// Somebody computes for the first two seconds.
  @Test func roundsWhileOthersComputeAreMeasuredAgain() {
    let host = Host()
    host.others = { $0 < 2 ? 1 : 0 }
    let result = RepeatableTiming().measure(host.bench(milliseconds: 4))
    #expect(abs(result.median - 4) < 1e-9 && result.others == 0)
    #expect(result.droppedRounds > 0 && result.waitedSeconds > 0.5)
  }

  /// Patience has an end; then the figure says that others were there.
  @Test func aHostThatIsNeverLeftAloneIsMeasuredAllTheSame() {
    let host = Host()
    host.others = { _ in 0.5 }
    let result = RepeatableTiming(patience: 10).measure(host.bench(milliseconds: 4))
    #expect(result.others == 0.5)
    #expect(result.waitedSeconds >= 10 && result.waitedSeconds < 13)
    #expect(host.pauses.max() == 2)
  }

  /// Passes that scatter by a third are taken until the parts agree, or there are enough.
  @Test func thePassesGrowUntilTheyAgree() {
    let host = Host()
    var state: UInt64 = 1
    host.noise = {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 40) / Double(1 << 24) / 3
    }
    let result = RepeatableTiming(passes: 12).measure(host.bench(milliseconds: 20))
    #expect(result.passes > 12 && result.passes <= 6 * 12 + 3)
    #expect(result.spread <= 0.03 || result.passes >= 72)
    host.slowness = { Int($0 * 5).isMultiple(of: 2) ? 1 : 1.5 }
    host.noise = { 0 }
    let restless = RepeatableTiming(passes: 5).measure(host.bench(milliseconds: 300))
    #expect(restless.passes >= 5 && restless.passes <= 32)
  }

  @Test func thePartsTellTheSpread() {
    let rounds = [1.0, 1.0, 1.1].map {
      RepeatableTiming.Round(passes: [$0, $0], before: 1, after: 1, others: 0)
    }
    #expect(abs(TimingResult(rounds).spread - 0.1) < 1e-12)
  }
}

struct HostLoadTests {
  @Test func othersAreAllButThisProcess() throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "proc-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }
    try FileManager.default.createDirectory(at: root.appending(path: "proc"), withIntermediateDirectories: true)
    // user nice system idle iowait irq softirq steal guest guest_nice, in hundredths of a second
    func write(_ ticks: String) throws {
      try Data("cpu  \(ticks)\ncpu0 1 2 3\n".utf8).write(to: root.appending(path: "proc/stat"))
    }
    let own = Mutex((processor: 10.0, clock: 100.0))
    try write("1000 0 200 5000 70 0 0 0 0 0")
    let found = HostLoad(
      root: root.path, processorSeconds: { own.withLock { $0.processor } }, seconds: { own.withLock { $0.clock } })
    var load = try #require(found)
    // In two seconds: 3 of the processors' seconds in use (idle and waiting do not count), 1 of them ours, 0.5 stolen.
    try write("1150 20 260 9000 90 10 10 50 40 0")
    own.withLock { $0 = (11, 102) }
    #expect(abs(load.others() - 1) < 1e-9)
    #expect(load.others() == 0)
    #expect(HostLoad(root: "/nowhere") == nil)
  }
}

struct RunDelayTests {
  @Test func theTimeInLineForAProcessorCounts() throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "schedstat-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    // In place, as the kernel does.
    try Data("900 1000000000 3\n".utf8).write(to: file)
    let found = RunDelay(path: file.path)
    var delay = try #require(found)
    try Data("1900 1250000000 4\n".utf8).write(to: file)
    #expect(delay.secondsSinceLastReading() == 0.25)
    #expect(delay.secondsSinceLastReading() == 0)
    try Data("no kernel says so\n".utf8).write(to: file)
    #expect(RunDelay(path: file.path) == nil && RunDelay(path: "/nowhere") == nil)
  }

  /// Passes of a network that seem to take no time at all do not fill rounds without end.
  @Test func passesWithoutTimeEnd() {
    let result = RepeatableTiming(passes: 3).measure(
      RepeatableTiming.Bench(model: { 0 }, reference: { 0 }, others: { 0 }, pause: { _ in }))
    #expect(result.passes == 3 && result.median == 0)
  }
}
