import Fleet
import Sweep
import Testing

/// A coordinator whose journal cannot be written.
struct StallTests {
  /// The assignment is decided and never leaves: that its worker knows nothing of it is not held against the job.
  @Test func aStallIsHeldAgainstNoJob() throws {
    var policy = FleetPolicy()
    policy.lossLimit = 1
    var desk = Desk(policy: policy)
    desk.hello("a", on: 1)
    desk.hello("b", on: 2)
    _ = desk.ask(.submit(submission()))
    _ = desk.handle(.journalStalled)
    #expect(desk.brain.nextDeadline == nil)
    // All connections are closed. Nothing is given to the other worker, and no lease runs out.
    #expect(desk.handle(.disconnected(ConnectionID(1))).isEmpty)
    #expect(desk.handle(.disconnected(ConnectionID(2))).isEmpty)
    #expect(desk.wait(1_000_000).isEmpty)
    #expect(desk.handle(.journalResumed).isEmpty)
    // The first one back takes nothing away from a worker that may still come.
    #expect(desk.hello("b", on: 3).assignments.isEmpty)
    let (again, _) = try #require(desk.hello("a", on: 4).assignments.first)
    #expect(again.stage == .train)
    #expect(!desk.journal.contains { if case .jobFailed = $0 { true } else { false } })
  }

  @Test func leasesRunOnAfterAStall() throws {
    var desk = Desk()
    let lease = desk.brain.policy.leaseMilliseconds
    _ = desk.ask(.submit(submission()))
    let (first, _) = try #require(desk.hello("a", on: 1).assignments.first)
    _ = desk.handle(.journalStalled)
    _ = desk.handle(.disconnected(ConnectionID(1)))
    _ = desk.wait(10 * lease)
    _ = desk.handle(.journalResumed)
    desk.hello("b", on: 2)
    _ = desk.wait(lease - 1)
    _ = desk.say(.heartbeat(attempts: []), on: 2)
    let (second, connection) = try #require(desk.wait(1).assignments.first)
    #expect(second.job == first.job)
    #expect(connection == ConnectionID(2))
  }

  @Test func anOutboxKeepsTheOrderAndKnowsItsLimit() {
    var outbox = Outbox<String>(durable: 7, limit: 4)
    func admits(_ action: String) -> Bool { outbox.admit(action) }
    func releases(through record: Int) -> [String] { outbox.reachDisk(through: record) }
    #expect(admits("at once"))
    outbox.decide(through: 9)
    #expect(!admits("after 9"))
    outbox.decide(through: 10)
    #expect(!outbox.isOverfull)
    #expect(!admits("after 10"))
    #expect(outbox.isOverfull)
    #expect(releases(through: 9) == ["after 9"])
    #expect(!outbox.isWritten)
    #expect(!admits("after 10, too"))
    #expect(releases(through: 10) == ["after 10", "after 10, too"])
    #expect(outbox.isWritten)
    #expect(admits("at once"))
  }
}
