import Fleet
import Sweep
import Testing

/// Two processes that have one worker's identity, because its folder or its whole machine was copied.
struct IdentityTests {
  private func refusal(_ effects: [CoordinatorEffect]) -> String? {
    effects.lazy.compactMap { if case .send(.refused(let reason), _) = $0 { reason } else { nil } }.first
  }

  @Test func aSecondProcessIsRefusedWhileTheFirstIsAlive() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let train = try #require(desk.hello("w", on: 1, incarnation: 1).assignments.first).0
    for connection in 2...40 as ClosedRange<UInt64> {
      _ = desk.wait(5_000)
      _ = desk.say(.heartbeat(attempts: [train.attempt]), on: 1)
      let effects = desk.hello("w", on: connection, box: "elsewhere", incarnation: 2)
      #expect(refusal(effects)?.contains("worker-id") == true)
      #expect(effects.last == .close(ConnectionID(connection)))
      #expect(effects.assignments.isEmpty)
    }
    #expect(desk.finish(train, on: 1).says(.attemptAcknowledged(attempt: train.attempt, accepted: true)))
    guard case .sweep(let status) = desk.ask(.status(sweep: "test")) else { return }
    #expect(status.jobs.first { $0.job == train.job }?.attempts == 1)
  }

  /// A host that lost its power says nothing of it; its next process must not wait for the connection's end.
  @Test func aSilentFirstProcessIsReplaced() throws {
    var desk = Desk()
    desk.hello("w", on: 1, incarnation: 1)
    _ = desk.wait(9_999)
    #expect(refusal(desk.hello("w", on: 2, incarnation: 2)) != nil)
    _ = desk.wait(1)
    let effects = desk.hello("w", on: 3, incarnation: 2)
    #expect(refusal(effects) == nil && effects.contains(.close(ConnectionID(1))))
  }

  @Test func theSameProcessOnANewConnectionGoesOn() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    let train = try #require(desk.hello("w", on: 1).assignments.first).0
    let effects = desk.hello("w", on: 2, attempts: [train.attempt])
    #expect(refusal(effects) == nil && effects.contains(.close(ConnectionID(1))))
    #expect(desk.finish(train, on: 2).says(.attemptAcknowledged(attempt: train.attempt, accepted: true)))
  }

  /// However often a job is handed back, a minute sees few tries; a checkpoint lets it go on at once.
  @Test func aJobThatIsHandedBackAgainAndAgainIsSlowedDown() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission()))
    var running = desk.hello("w", on: 1).assignments
    var tries = 0
    func isOver() -> Bool { desk.now.milliseconds >= 60_000 }
    while !isOver() {
      if let attempt = running.popLast()?.0.attempt {
        tries += 1
        running = desk.say(.attemptReturned(attempt: attempt), on: 1).assignments
      } else {
        running = desk.wait(100).assignments
        _ = desk.say(.heartbeat(attempts: []), on: 1)
      }
    }
    #expect((4...10).contains(tries))
    while running.isEmpty {
      running = desk.wait(1_000).assignments + desk.say(.heartbeat(attempts: []), on: 1).assignments
    }
    let attempt = running[0].0.attempt
    let checkpoint = Checkpoint(epoch: 1, artifact: reference(9))
    _ = desk.say(.checkpointStored(attempt: attempt, checkpoint: checkpoint), on: 1)
    #expect(desk.say(.attemptReturned(attempt: attempt), on: 1).assignments.count == 1)
  }

  @Test func workersOfOneNameAreToldApart() throws {
    var desk = Desk()
    _ = desk.ask(.submit(submission(backbones: ["yolov5n", "mobilenetv2"])))
    for (index, id) in ["w-1", "w-2"].enumerated() {
      let hello = Hello(worker: WorkerID(id), incarnation: 1, name: "box", box: BoxID(id), slots: 1)
      _ = desk.say(.hello(hello), on: UInt64(index))
    }
    guard case .sweep(let status) = desk.ask(.status(sweep: "test")) else { return }
    #expect(Set(status.jobs.compactMap(\.worker)) == ["box (w-1)", "box (w-2)"])
    #expect(
      desk.ask(.drain(worker: "box", isDraining: true))
        == .refused(reason: "2 workers are called box: use an id that 'greensweep workers' shows"))
    guard case .done = desk.ask(.drain(worker: "w-2", isDraining: true)) else {
      Issue.record("an id names one of them")
      return
    }
  }
}
