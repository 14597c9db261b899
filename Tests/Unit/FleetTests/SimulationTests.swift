import Dispatch
import Simulation
import Testing

/// Long computing goes to a thread beside the pool that Swift's tasks share: the pool has one for each processor, and
/// tests that wait for connections would have to wait for it too.
private let besides = DispatchQueue(label: "simulation")

private func computed<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
  await withCheckedContinuation { continuation in besides.async { continuation.resume(returning: body()) } }
}

/// The story of the promise that a seed's cluster breaks.
private func brokenPromise(_ seed: UInt64) -> String? {
  do { try SimulatedCluster.run(seed: seed) } catch { return "\(error.explained())" }
  return nil
}

/// Every promise, in clusters to which everything happens. A failure prints its seed, which replays it.
struct SimulationTests {
  @Test(arguments: 0..<4)
  func promisesAreKept(quarter: UInt64) async {
    let failures = await computed { (quarter * 50..<(quarter + 1) * 50).compactMap(brokenPromise) }
    for failure in failures { Issue.record("\(failure)") }
  }

  /// The runs above mean something only if much goes wrong in them.
  @Test func misfortuneHappens() throws {
    var total = SimulatedCluster.Report()
    for seed in 1_000..<UInt64(1_010) {
      let report = try SimulatedCluster.run(seed: seed)
      total.coordinatorCrashes += report.coordinatorCrashes
      total.workerCrashes += report.workerCrashes
      total.attempts += report.attempts
      total.stalls += report.stalls
    }
    #expect(total.coordinatorCrashes >= 10)
    #expect(total.workerCrashes >= 10)
    #expect(total.attempts >= 100)
    #expect(total.stalls >= 1)
  }

  @Test func theSameSeedIsTheSameRun() throws {
    let first = try SimulatedCluster.run(seed: 7)
    let second = try SimulatedCluster.run(seed: 7)
    #expect(first == second)
  }

  /// The story of a failure is about it, and short: most of what went wrong is left out.
  @Test func aFailureIsExplained() throws {
    let broken = try #require(throws: BrokenPromise.self) {
      for seed in 0..<UInt64(20) { try SimulatedCluster.run(seed: seed, fault: .ignoreCheckpoint) }
    }
    let explained = broken.explained()
    #expect(explained.promise == broken.promise)
    #expect(explained.leftOut.count >= 5)
    #expect(explained.story.count < 80)
    let attempt = try #require(explained.detail.split(separator: " ").first)
    #expect(explained.story.contains { $0.contains("\(attempt) starts at") })
    #expect(explained.story.contains { $0.contains("has stored its checkpoint") })
  }

  /// A process that has said goodbye (51,867), or whose lease has run out because the coordinator's clock leapt
  /// (34,494), is not thrown out by its twin, which comes some milliseconds later.
  @Test(arguments: [51_867, 34_494])
  func aProcessThatHasLeftIsNotThrownOut(seed: UInt64) throws { try SimulatedCluster.run(seed: seed) }

  /// A result forgives the fruitless attempts that the checkpoints before it forgave, which a shorter journal does not
  /// have: when its model is lost, the job is tried again as soon.
  @Test func aShorterJournalStartsALostJobAsSoon() throws { try SimulatedCluster.run(seed: 79_631) }

  /// A broken index is found in the coordinator's accounts long before anything shows outside.
  @Test func aBrokenIndexIsNoticed() throws {
    let broken = try #require(throws: BrokenPromise.self) {
      for seed in 0..<UInt64(20) { try SimulatedCluster.run(seed: seed, fault: .misplaceJobs) }
    }
    #expect(broken.promise == "the coordinator's accounts agree with each other")
    #expect(broken.detail.contains("misplaced among what"))
  }

  /// A checker that cannot fail proves nothing.
  @Test(arguments: PlantedFault.allCases)
  func plantedFaultIsCaught(_ fault: PlantedFault) async {
    let isCaught = await computed {
      (0..<UInt64(100)).contains { seed in (try? SimulatedCluster.run(seed: seed, fault: fault)) == nil }
    }
    #expect(isCaught, "\(fault) went unnoticed in 100 seeds")
  }
}
