import Artifacts
import Client
import Coordinator
import Fleet
import Foundation
import Sweep
import Transport
import Worker

/// Stands in for the arithmetic: three epochs, a checkpoint after each, a model and metrics that are a function of the
/// job; goes on from its checkpoint; ends with its worker. Writes `JOB STAGE EPOCH PID` into the trace. Waits after the
/// second epoch for as long as there is a file `trace.hold`.
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
    while [ $epoch = 2 ] && [ -e "$trace.hold" ]; do sleep 0.05; done
  done
  echo "some words for the log"
  echo "model of $job" > "$dir/model"
  number=$(printf %d 0x$(echo $job | cut -c1-3))
  metrics="{\\"map50\\":0.$number,\\"size_mb\\":$number,\\"latency_ms\\":1}"
  echo "{\\"finished\\":{\\"_0\\":{\\"metrics\\":$metrics,\\"files\\":{\\"model\\":\\"model\\"}}}}"
  """

/// A coordinator, its operator and its workers, all real but for the stage.
struct Cluster {
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

  func coordinator(
    port: UInt16 = 0, log: @escaping @Sendable (String) -> Void = { _ in }
  ) async throws -> (Coordinator, Endpoint) {
    var options = CoordinatorOptions(folder: folder.path + "/data")
    options.log = log
    options.endpoint = Endpoint(host: "127.0.0.1", port: port)
    options.policy = policy
    let coordinator = try Coordinator(options)
    return (coordinator, Endpoint(host: "127.0.0.1", port: try await coordinator.start().port))
  }

  func worker(
    _ name: String, _ endpoint: Endpoint, slots: Int = 1, pause: Double = 0.02, limits: StageLimits = StageLimits(),
    script: String? = nil, token: String = "worker", log: @escaping @Sendable (String) -> Void = { _ in }
  ) async throws -> Worker {
    let token = try Token(file: folder.path + "/data/\(token).token")
    var options = WorkerOptions(coordinator: endpoint, token: token, folder: "\(folder.path)/\(name)")
    options.name = name
    options.slots = slots
    options.stageLimits = limits
    options.stageProgram = "/bin/sh"
    options.stageArguments = script.map { ["-c", $0] } ?? [folder.path + "/stage.sh", trace, "\(pause)"]
    options.log = log
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
    let dataset = try ArtifactReference(ofFile: folder.path + "/dataset")
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

  /// Has every stage wait after its second epoch.
  func holdStages() throws { try Data().write(to: URL(filePath: trace + ".hold")) }
  func letStagesGoOn() throws { try FileManager.default.removeItem(atPath: trace + ".hold") }

  /// The first stage that waits after its second epoch: `JOB STAGE EPOCH PID`.
  func heldStage() async throws -> [String] {
    try await withoutHanging {
      while true {
        if let held = epochs().first(where: { $0[2] == "2" }) { return held }
        try await Task.sleep(for: .milliseconds(10))
      }
    }
  }

  func waitForEpochs(_ count: Int) async throws {
    try await withoutHanging {
      while epochs().count < count { try await Task.sleep(for: .milliseconds(10)) }
    }
  }
}
