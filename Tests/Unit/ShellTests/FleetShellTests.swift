import Artifacts
import Client
import Coordinator
import Fleet
import Foundation
import Sweep
import Testing
import Transfer
import Transport
import Worker

/// Stands in for the arithmetic: three epochs, a checkpoint after each, a model and metrics that are a function of the
/// job; goes on from its checkpoint; ends with its worker. Writes `JOB STAGE EPOCH PID` into the trace.
private let fakeStage = """
  trace=$1; pause=$2; dir=$3
  exec 3<&0
  (cat <&3 >/dev/null; kill -KILL 0) >/dev/null 2>&1 &
  request=$(cat "$dir/request.json")
  field() { echo "$request" | sed -n 's/.*"'$1'":"\\([^"]*\\)".*/\\1/p'; }
  job=$(field job); stage=$(field stage); resume=$(field resume); dataset=$(field dataset)
  [ -z "$dataset" ] || [ "$(cat "$dataset")" = "pixels" ] || { echo "wrong data" >&2; exit 1; }
  epoch=0; [ -z "$resume" ] || epoch=$(cat "$resume")
  echo '{"started":{"epochs":3}}'
  while [ $epoch -lt 3 ]; do
    sleep $pause; epoch=$((epoch + 1))
    echo "$job $stage $epoch $$" >> "$trace"
    values="{\\"map50\\":0.$epoch}"
    echo "{\\"epoch\\":{\\"_0\\":{\\"epoch\\":$epoch,\\"epochs\\":3,\\"seconds\\":1,\\"values\\":$values}}}"
    echo $epoch > "$dir/checkpoint$epoch"
    echo "{\\"checkpoint\\":{\\"epoch\\":$epoch,\\"file\\":\\"checkpoint$epoch\\"}}"
  done
  echo "some words for the log"
  echo "model of $job" > "$dir/model"
  number=$(printf %d 0x$(echo $job | cut -c1-3))
  metrics="{\\"map50\\":0.$number,\\"size_mb\\":$number,\\"latency_ms\\":1}"
  echo "{\\"finished\\":{\\"_0\\":{\\"metrics\\":$metrics,\\"files\\":{\\"model\\":\\"model\\"}}}}"
  """

/// A coordinator, its operator and its workers, all real but for the stage.
private struct Cluster {
  let folder: TemporaryFolder
  var trace: String { folder.path + "/trace" }
  var policy = FleetPolicy()

  init() throws {
    folder = try TemporaryFolder()
    try Files.writeDurably(Array(fakeStage.utf8), to: folder.path + "/stage.sh")
    try Files.writeDurably(Array("pixels".utf8), to: folder.path + "/dataset")
    policy.retryMilliseconds = 50
    policy.heartbeatMilliseconds = 300
    // No test waits for a lease to run out, and on a machine that computes beside them none must.
    policy.leaseMilliseconds = 600_000
  }

  func coordinator(port: UInt16 = 0) async throws -> (Coordinator, Endpoint) {
    var options = CoordinatorOptions(folder: folder.path + "/data")
    options.endpoint = Endpoint(host: "127.0.0.1", port: port)
    options.policy = policy
    let coordinator = try Coordinator(options)
    return (coordinator, Endpoint(host: "127.0.0.1", port: try await coordinator.start().port))
  }

  func worker(
    _ name: String, _ endpoint: Endpoint, slots: Int = 1, pause: Double = 0.02, limits: StageLimits = StageLimits()
  ) async throws -> Worker {
    let token = try Token(file: folder.path + "/data/worker.token")
    var options = WorkerOptions(coordinator: endpoint, token: token, folder: "\(folder.path)/\(name)")
    options.name = name
    options.slots = slots
    options.stageLimits = limits
    options.stageProgram = "/bin/sh"
    options.stageArguments = [folder.path + "/stage.sh", trace, "\(pause)"]
    let worker = try Worker(options)
    await worker.begin()
    return worker
  }

  func client(_ endpoint: Endpoint) throws -> OperatorClient {
    try OperatorClient(endpoint, Token(file: folder.path + "/data/operator.token"))
  }

  func submit(
    _ client: OperatorClient,
    _ grid: SweepSpec.Grid = SweepSpec.Grid(backbone: ["yolov5n", "mobilenetv2"], pruneRatio: [0, 0.3])
  ) async throws -> SweepID {
    let dataset = try client.reference(ofFile: folder.path + "/dataset")
    let spec = SweepSpec(
      name: "test", dataset: "data.yaml", grid: grid,
      objectives: [Objective(.maximize, .map50), Objective(.minimize, .sizeMB)])
    return try await client.submit(
      SweepSubmission(spec: spec, dataset: dataset), files: [dataset.digest: folder.path + "/dataset"]
    ).sweep
  }

  /// The table, once every trial is done.
  func table(_ client: OperatorClient, _ sweep: SweepID) async throws -> ResultTable {
    try await withoutHanging {
      while true {
        if case .sweeps(let all) = try await client.request(.status(sweep: nil)), all[0].state != .running { break }
        try await Task.sleep(for: .milliseconds(50))
      }
      guard case .results(let table) = try await client.request(.results(sweep: sweep.name, objectives: nil)) else {
        throw TimedOut(seconds: 0)
      }
      return table
    }
  }

  /// `JOB STAGE EPOCH PID` of every epoch that was computed so far.
  func epochs() -> [[String]] {
    let text = (try? String(contentsOfFile: trace, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
  }

  func waitForEpochs(_ count: Int) async throws {
    try await withoutHanging {
      while epochs().count < count { try await Task.sleep(for: .milliseconds(10)) }
    }
  }
}

@Suite struct FleetShellTests {
  /// What the table must be, however the run was disturbed.
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
    _ = try await cluster.worker("a", endpoint, slots: 2, pause: 0.4)
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client)
    try await cluster.waitForEpochs(2)
    try await Task.sleep(for: .milliseconds(150))  // For the checkpoint to get home.
    let victim = cluster.epochs()[0]
    let words = try String(contentsOfFile: "/proc/\(victim[3])/cmdline", encoding: .utf8)
    try #require(words.contains(cluster.folder.path), "the stage has ended before it could be killed")
    kill(pid_t(victim[3])!, SIGKILL)
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

  @Test func rolesAreKeptApart() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let workerToken = try Token(file: cluster.folder.path + "/data/worker.token")
    let impostor = try OperatorClient(endpoint, workerToken)
    await #expect(throws: TransportError.self) { try await impostor.request(.workers) }
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
