import Fleet
import Sweep
import Testing

/// The artifacts that the store may forget.
struct RetentionTests {
  private func checkpoint(_ epoch: Int) -> Checkpoint {
    Checkpoint(epoch: epoch, artifact: reference(UInt8(40 + epoch)))
  }

  @Test func onlyTheNewestCheckpointAndTheResultsStay() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let (training, _) = try #require(desk.hello("a", on: 1).assignments.first)
    for epoch in 1...3 {
      _ = desk.say(.checkpointStored(attempt: training.attempt, checkpoint: checkpoint(epoch)), on: 1)
    }
    #expect(desk.brain.takeSuperseded() == [checkpoint(1), checkpoint(2)].map(\.artifact.digest))
    #expect(desk.brain.takeSuperseded() == [])
    #expect(desk.brain.referencedArtifacts() == [reference(1).digest, checkpoint(3).artifact.digest])

    let result = StageResult(metrics: [:], artifacts: [.model: reference(30), .log: reference(31)])
    _ = desk.say(.attemptFinished(attempt: training.attempt, result: result), on: 1)
    #expect(desk.brain.takeSuperseded() == [checkpoint(3).artifact.digest])
    #expect(desk.brain.referencedArtifacts() == [reference(1).digest, reference(30).digest, reference(31).digest])
    desk.restart()
    #expect(desk.brain.referencedArtifacts() == [reference(1).digest, reference(30).digest, reference(31).digest])
  }

  @Test func whatALiveAttemptWasPromisedStays() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let (first, _) = try #require(desk.hello("a", on: 1).assignments.first)
    _ = desk.say(.checkpointStored(attempt: first.attempt, checkpoint: checkpoint(1)), on: 1)
    _ = desk.handle(.disconnected(ConnectionID(1)))
    let (second, _) = try #require(desk.hello("a", on: 2, incarnation: 2).assignments.first)
    #expect(second.input(.resume) == checkpoint(1).artifact)
    _ = desk.say(.checkpointStored(attempt: second.attempt, checkpoint: checkpoint(2)), on: 2)
    #expect(desk.brain.takeSuperseded() == [])
    #expect(desk.brain.referencedArtifacts().contains(checkpoint(1).artifact.digest))
    desk.restart()
    #expect(desk.brain.referencedArtifacts().contains(checkpoint(1).artifact.digest))
  }
}
