import Fleet
import Sweep
import Testing

/// Jobs that several sweeps want.
struct SharedJobTests {
  /// Jobs that a failure blocks in one sweep are freed when another sweep gives the failed job a new chance.
  @Test func aNewChanceFreesTheChildrenOfAllSweeps() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission(ratios: [0.5])))
    let (train, _) = try #require(desk.hello("a", on: 1).assignments.first)
    _ = desk.say(
      .attemptFailed(attempt: train.attempt, failure: StageFailure(message: "no", cause: .refused)), on: 1)
    // The second sweep has the training in common with the first, and nothing of what follows.
    let effects = desk.handle(.requested(.submit(submission(ratios: [0.3])), from: ConnectionID(99)))
    let (again, _) = try #require(effects.assignments.first)
    #expect(again.job == train.job)
    var next = desk.finish(again, on: 1).assignments.first
    var finished = 0
    while let (assignment, _) = next {
      finished += 1
      next = desk.finish(assignment, on: 1).assignments.first
    }
    // Pruning, fine-tuning and evaluation, twice.
    #expect(finished == 6)
  }
}
