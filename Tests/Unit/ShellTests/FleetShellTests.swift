import Artifacts
import Client
import Coordinator
import Fleet
import Foundation
@testable import Store
import Sweep
import Synchronization
import Testing
import Transfer
import Transport
import Worker

@Suite struct FleetShellTests {
  /// Returns the table that every run must give, however it is disturbed.
  func undisturbed() async throws -> ResultTable {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    _ = try await cluster.worker("a", endpoint, slots: 2)
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client)
    let table = try await cluster.table(client, sweep)
    try #require(table.rows.allSatisfy { $0.state == .done }, "\(table)")
    await coordinator.stop()
    return table
  }

  @Test func aSweepRunsToItsTable() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let workers = [try await cluster.worker("a", endpoint), try await cluster.worker("b", endpoint)]
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client)
    let table = try await cluster.table(client, sweep)
    #expect(table.rows.count == 4)
    #expect(table.rows.allSatisfy { $0.state == .done && $0.metrics["map50"] != nil }, "\(table)")
    #expect(table.rows.contains { $0.isOnFront })
    // Every epoch of every job was computed once: shared stages ran once.
    let epochs = cluster.epochs().map { $0[0] + $0[2] }
    #expect(Set(epochs).count == epochs.count)

    // Its models can be had, and are what the stage wrote.
    guard case .artifacts(_, let job, let artifacts) = try await client.request(.pull(trial: table.rows[0].trial.name))
    else { throw TimedOut(seconds: 0) }
    let model = cluster.folder.path + "/pulled"
    try await client.pull(artifacts["model"]!, to: model)
    #expect(try String(contentsOfFile: model, encoding: .utf8) == "model of \(job)\n")
    let log = cluster.folder.path + "/log"
    try await client.pull(artifacts["log"]!, to: log)
    #expect(try String(contentsOfFile: log, encoding: .utf8).contains("some words for the log"))

    for worker in workers {
      await worker.leave()
      try await withoutHanging { await worker.ended() }
    }
    await coordinator.stop()
  }

  @Test func aKilledStageGoesOnFromItsCheckpoint() async throws {
    let reference = try await undisturbed()
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    try cluster.holdStages()
    _ = try await cluster.worker("a", endpoint, slots: 2)
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client)
    let victim = try await cluster.heldStage()
    try await Task.sleep(for: .milliseconds(500))  // For the checkpoint to get home.
    let words = try String(contentsOfFile: "/proc/\(victim[3])/cmdline", encoding: .utf8)
    try #require(words.contains(cluster.folder.path), "the stage has ended before it could be killed")
    kill(pid_t(victim[3])!, SIGKILL)
    try cluster.letStagesGoOn()
    let table = try await cluster.table(client, sweep)
    #expect(table == reference)
    let epochsOfVictim = cluster.epochs().filter { $0[0] == victim[0] }.map { $0[2] }
    #expect(epochsOfVictim.count <= 4 && Set(epochsOfVictim) == ["1", "2", "3"], "\(epochsOfVictim)")
    await coordinator.stop()
  }

  @Test func aLeavingWorkersJobIsFinishedByAnother() async throws {
    let reference = try await undisturbed()
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let leaver = try await cluster.worker("a", endpoint, pause: 0.2)
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client)
    try await cluster.waitForEpochs(2)
    await leaver.leave()
    try await withoutHanging { await leaver.ended() }
    _ = try await cluster.worker("b", endpoint)
    let table = try await cluster.table(client, sweep)
    #expect(table == reference)
    await coordinator.stop()
  }

  @Test func aRestartedCoordinatorGoesOn() async throws {
    let reference = try await undisturbed()
    let cluster = try Cluster()
    let (first, endpoint) = try await cluster.coordinator()
    _ = try await cluster.worker("a", endpoint, pause: 0.1)
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client)
    try await cluster.waitForEpochs(4)
    await first.stop()
    try await Task.sleep(for: .milliseconds(500))
    let (second, _) = try await cluster.coordinator(port: endpoint.port)
    let table = try await cluster.table(client, sweep)
    #expect(table == reference)
    // Jobs went on running meanwhile: nothing was computed twice.
    let epochs = cluster.epochs().map { $0[0] + $0[2] }
    #expect(Set(epochs).count == epochs.count)
    await second.stop()

    // Started again, with nobody there, it still knows everything.
    let (third, _) = try await cluster.coordinator(port: endpoint.port)
    let again = try await cluster.table(try cluster.client(endpoint), sweep)
    #expect(again == reference)
    await third.stop()
  }

  /// While the journal cannot be written the coordinator is away; what runs goes on.
  @Test func aJournalThatStallsCostsNothing() async throws {
    let reference = try await undisturbed()
    let cluster = try Cluster()
    let words = Mutex<[String]>([])
    let (coordinator, endpoint) = try await cluster.coordinator(log: { line in words.withLock { $0.append(line) } })
    func wait(for word: String) async throws {
      try await withoutHanging {
        while !words.withLock({ $0.contains { $0.contains(word) } }) { try await Task.sleep(for: .milliseconds(10)) }
      }
    }
    _ = try await cluster.worker("a", endpoint, pause: 0.1)
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client)
    try await cluster.waitForEpochs(1)
    let other = try Database(cluster.folder.path + "/data/journal.sqlite")
    // The coordinator may be writing just now.
    while (try? other.execute("BEGIN IMMEDIATE")) == nil { try await Task.sleep(for: .milliseconds(1)) }
    try await wait(for: "closing all connections")
    try other.execute("COMMIT")
    try await wait(for: "the journal is written again")
    let table = try await cluster.table(client, sweep)
    #expect(table == reference)
    let epochs = cluster.epochs().map { $0[0] + $0[2] }
    #expect(Set(epochs).count == epochs.count)
    await coordinator.stop()
  }

  @Test func aFailingStageIsGivenUpWithItsLastWords() async throws {
    let cluster = try Cluster()
    try Files.writeDurably(Array("echo the disk is haunted >&2; exit 7".utf8), to: cluster.folder.path + "/stage.sh")
    let (coordinator, endpoint) = try await cluster.coordinator()
    _ = try await cluster.worker("a", endpoint)
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client)
    let table = try await cluster.table(client, sweep)
    #expect(table.rows.allSatisfy { $0.state != .done })
    guard case .sweep(let status) = try await client.request(.status(sweep: sweep.name)) else {
      throw TimedOut(seconds: 0)
    }
    let reasons = status.jobs.compactMap(\.reason)
    #expect(reasons.contains { $0.contains("haunted") && $0.contains("exit status 7") }, "\(reasons)")
    await coordinator.stop()
  }

  @Test func aStageBeyondItsTimeIsKilledAndTheNextGoesOnFromItsCheckpoint() async throws {
    var cluster = try Cluster()
    cluster.policy.failureLimit = 20
    let (coordinator, endpoint) = try await cluster.coordinator()
    // Three epochs take 1.5 s; a try may take 1.2 s.
    _ = try await cluster.worker("a", endpoint, slots: 2, pause: 0.5, limits: StageLimits(timeMinutes: 0.02))
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(
      client, SweepSpec.Grid(backbone: ["yolov5n"], sparsityRate: [0], pruneRatio: [0]))
    let table = try await cluster.table(client, sweep)
    #expect(table.rows.map(\.state) == [.done])
    guard case .sweep(let status) = try await client.request(.status(sweep: sweep.name)),
      case .logs(let history) = try await client.request(.logs(job: status.jobs[0].job.description))
    else { throw TimedOut(seconds: 0) }
    let outcome = try #require(history.entries.first).outcome
    #expect(
      outcome.contains("killed after 1.2 s, its time limit") && outcome.contains("--time-limit-minutes"), "\(outcome)")
    await coordinator.stop()
  }

  @Test func requestsOfSeveralTasksTakeTurns() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let client = try cluster.client(endpoint)
    let answers = try await withThrowingTaskGroup(of: Bool.self) { group in
      for index in 0..<40 {
        group.addTask {
          switch try await client.request(index.isMultiple(of: 2) ? .workers : .status(sweep: nil)) {
          case .workers: index.isMultiple(of: 2)
          case .sweeps: !index.isMultiple(of: 2)
          default: false
          }
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(answers == Array(repeating: true, count: 40))
    await coordinator.stop()
  }

  @Test func rolesAreKeptApart() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let workerToken = try Token(file: cluster.folder.path + "/data/worker.token")
    let impostor = try OperatorClient(endpoint, workerToken)
    await #expect(throws: ClientError.self) { try await impostor.request(.workers) }
    let stranger = try OperatorClient(endpoint, Token(role: .operator))
    await #expect(throws: TransferError.self) { try await stranger.request(.workers) }
    guard case .workers(let workers) = try await cluster.client(endpoint).request(.workers) else {
      throw TimedOut(seconds: 0)
    }
    #expect(workers.isEmpty)
    await coordinator.stop()
  }

  @Test func aSecondCoordinatorIsRefused() async throws {
    let cluster = try Cluster()
    let (coordinator, _) = try await cluster.coordinator()
    await #expect { _ = try await cluster.coordinator() } throws: { "\($0)".contains("another coordinator") }
    await coordinator.stop()
  }
}
