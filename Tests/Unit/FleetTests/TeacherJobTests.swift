import Fleet
import Settings
import Sweep
import Testing

/// A job with two sources: fine-tuning that starts from the pruned model and learns from the unpruned one.
struct TeacherJobTests {
  /// Training is done. One worker has begun to fine-tune the unpruned network, which is to teach, and one to fade out
  /// channels of the other.
  private struct Lesson {
    var desk = Desk()
    let teaching: Assignment
    let fading: Assignment

    init() throws {
      var submission = submission(ratios: [0, 0.3])
      submission.spec.prune.policy = "gradual"
      submission.spec.finetune.distill = FinetuneStage.unprunedTeacher
      _ = desk.ask(.submit(submission))
      let (training, _) = try #require(desk.hello("a", on: 1).assignments.first)
      var begun = desk.finish(training, on: 1).assignments + desk.hello("b", on: 2).assignments
      if begun.first?.0.stage == .sparsify { begun.reverse() }
      try #require(begun.map(\.0.stage) == [.finetune, .sparsify])
      (teaching, fading) = (begun[0].0, begun[1].0)
    }

    func connection(of assignment: Assignment) -> UInt64 {
      let started = desk.journal.compactMap { record in
        if case .attemptStarted(assignment.attempt, _, let worker, _) = record { worker } else { nil }
      }
      return started == [WorkerID("a")] ? 1 : 2
    }

    mutating func finish(_ assignment: Assignment) -> [Assignment] {
      desk.finish(assignment, on: connection(of: assignment)).assignments.map(\.0)
    }

    mutating func refuse(_ assignment: Assignment) -> [Assignment] {
      let failure = StageFailure(message: "no", cause: .refused)
      return desk.say(
        .attemptFailed(attempt: assignment.attempt, failure: failure), on: connection(of: assignment)
      ).assignments.map(\.0)
    }

    mutating func pupil() throws -> JobStatus {
      guard case .sweep(let status)? = desk.ask(.status(sweep: "test")) else { throw Refused() }
      return try #require(status.jobs.first { $0.stage == .finetune && $0.job != teaching.job })
    }

    mutating func retry(_ assignment: Assignment) {
      _ = desk.ask(.retry(target: assignment.job.description))
    }
  }

  private struct Refused: Error {}

  @Test func itWaitsForBothAndGetsBothModels() throws {
    var lesson = try Lesson()
    let pruning = try #require(lesson.finish(lesson.fading).first)
    #expect(pruning.stage == .prune && pruning.input(.teacher) == nil)
    #expect(lesson.finish(pruning).isEmpty)
    #expect(try lesson.pupil().reason == "waits for finetune \(lesson.teaching.job.short)")
    lesson.desk.restart()
    lesson.desk.hello("a", on: 1, attempts: [lesson.teaching.attempt])
    lesson.desk.hello("b", on: 2)
    let next = lesson.finish(lesson.teaching).first { $0.stage == .finetune }
    let learning = try #require(next)
    #expect(learning.input(.model) == reference(UInt8("prune".count)))
    #expect(learning.input(.teacher) == reference(UInt8("finetune".count)))
    guard case .finetune(let choices) = learning.configuration else {
      Issue.record("it is no fine-tuning")
      return
    }
    #expect(choices.distill == FinetuneStage.unprunedTeacher)
  }

  /// Giving one of two failed sources a new chance is not enough.
  @Test func itIsBlockedUntilNeitherHasFailed() throws {
    var lesson = try Lesson()
    _ = lesson.refuse(lesson.teaching)
    #expect(try lesson.pupil().reason == "finetune \(lesson.teaching.job.short) has failed")
    _ = lesson.refuse(lesson.fading)
    lesson.retry(lesson.fading)
    #expect(try lesson.pupil().state == .blocked)
    lesson.retry(lesson.teaching)
    #expect(try lesson.pupil().state == .waiting)
  }

  @Test func aTeacherThatIsLostIsMadeAgain() throws {
    var lesson = try Lesson()
    _ = lesson.finish(lesson.teaching)
    let digest = reference(UInt8("finetune".count)).digest
    _ = lesson.desk.handle(.artifactsLost([digest]))
    for worker: UInt64 in [1, 2] { _ = lesson.desk.say(.cannotBringBack(artifact: digest), on: worker) }
    _ = lesson.desk.wait(lesson.desk.brain.policy.repairGraceMilliseconds)
    #expect(lesson.desk.journal.contains(.artifactsLost(artifacts: [digest])))
    #expect(lesson.desk.hello("c", on: 3).assignments.map(\.0.job) == [lesson.teaching.job])
  }
}
