import Client
import Foundation
import Glibc
import Sweep
import Transport

/// What a coordinator bears: a real one, over TLS, with its journal on the disk, and workers that are only connections.
/// Prints JSON. `fleet-benchmark [--workers N] [--jobs N] [--pace JOBS_PER_SECOND] [--idle-workers N] [--folder DIR]`
@main
struct FleetBenchmark {
  static func main() async throws {
    var workers = 1_000
    var jobs = 100_000
    var pace = 1_000
    var idleWorkers = 10_000
    var folder = NSTemporaryDirectory() + "fleet-benchmark-\(getpid())"
    var rest = CommandLine.arguments.dropFirst()
    while let option = rest.popFirst(), let value = rest.popFirst() {
      switch option {
      case "--workers": workers = Int(value) ?? workers
      case "--jobs": jobs = Int(value) ?? jobs
      case "--pace": pace = Int(value) ?? pace
      case "--idle-workers": idleWorkers = Int(value) ?? idleWorkers
      case "--folder": folder = value
      default: fatalError("unknown option \(option)")
      }
    }
    raiseFileLimit()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let binary = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
      .appendingPathComponent("greensweep").path

    var figures: [String: Any] = [:]
    let coordinator = try CoordinatorProcess(binary: binary, folder: folder)
    defer { coordinator.stop() }
    figures["start_seconds"] = rounded(coordinator.startSeconds)
    figures["memory_idle_mb"] = rounded(coordinator.memoryMB.now)
    let endpoint = Endpoint(host: "127.0.0.1", port: coordinator.port)
    let workerToken = try Token(file: folder + "/worker.token")
    let client = try OperatorClient(endpoint, try Token(file: folder + "/operator.token"))

    // One little file stands for the data set and for every model.
    let file = folder + "/artifact"
    try Data("benchmark".utf8).write(to: URL(fileURLWithPath: file))
    let artifact = try client.reference(ofFile: file)

    let fleet = try LightFleet(slots: 4, artifact: artifact)
    let address = try endpoint.resolveBlocking()[0]
    let connecting = ContinuousClock.now
    try await fleet.grow(to: workers, address, workerToken)
    figures["workers"] = workers
    figures["connect_seconds"] = rounded(seconds(since: connecting))
    figures["memory_connected_mb"] = rounded(coordinator.memoryMB.now)

    do {
      let submission = noOperations("throughput", jobs: jobs, artifact)
      let tree = StageTree(submission)
      await fleet.work(on: tree, pace: nil)
      let (start, coordinatorBefore, clientsBefore) = (ContinuousClock.now, coordinator.processorSeconds, clock())
      _ = try await client.submit(submission, files: [artifact.digest: file])
      let submitted = seconds(since: start)
      await fleet.finished(tree.nodes.count)
      let elapsed = seconds(since: start)
      figures["throughput"] = [
        "jobs": tree.nodes.count, "submit_seconds": rounded(submitted), "seconds": rounded(elapsed),
        "jobs_per_second": (Double(tree.nodes.count) / elapsed).rounded(),
        "coordinator_cpu_us_per_job": rounded(
          (coordinator.processorSeconds - coordinatorBefore) * 1e6 / Double(tree.nodes.count)),
        "workers_cpu_us_per_job": rounded(Double(clock() - clientsBefore) / Double(tree.nodes.count)),
      ]
      figures["memory_peak_mb"] = rounded(coordinator.memoryMB.peak)
    }
    do {
      let submission = noOperations("latency", jobs: 20 * pace, artifact)
      let tree = StageTree(submission)
      await fleet.work(on: tree, pace: Double(pace))
      let start = ContinuousClock.now
      _ = try await client.submit(submission, files: [artifact.digest: file])
      await fleet.finished(tree.nodes.count)
      let latencies = await fleet.latenciesMilliseconds.sorted()
      figures["latency"] = [
        "jobs": tree.nodes.count, "jobs_per_second": (Double(tree.nodes.count) / seconds(since: start)).rounded(),
        "samples": latencies.count, "p50_ms": rounded(quantile(latencies, 0.5)),
        "p99_ms": rounded(quantile(latencies, 0.99)), "largest_ms": rounded(latencies.last ?? .nan),
      ]
    }
    try await fleet.grow(to: idleWorkers, address, workerToken)
    try await Task.sleep(for: .seconds(30))
    figures["idle"] = [
      "workers": idleWorkers, "lost_in_30_seconds": await fleet.lost,
      "memory_mb": rounded(coordinator.memoryMB.now),
    ]
    let json = try JSONSerialization.data(withJSONObject: figures, options: [.prettyPrinted, .sortedKeys])
    print(String(decoding: json, as: UTF8.self))
  }

  /// A grid with about so many stages: per prune ratio one stage to prune, one to fine-tune and one to evaluate.
  private static func noOperations(_ name: String, jobs: Int, _ artifact: ArtifactReference) -> SweepSubmission {
    let side = max(1, Int((Double(jobs) / 3).squareRoot()))
    var spec = SweepSpec(name: name, dataset: "data.yaml")
    spec.grid.backbone = ["yolov5n"]
    spec.grid.sparsityRate = (1...side).map { Double($0) * 1e-5 }
    spec.grid.pruneRatio = (1...side).map { Double($0) / Double(side + 1) }
    // What the two sweeps ask for must differ, or the second would find everything done.
    spec.train.epochs = name.count
    return SweepSubmission(spec: spec, dataset: artifact)
  }

  private static func seconds(since start: ContinuousClock.Instant) -> Double { (.now - start) / .seconds(1) }
  private static func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
  private static func quantile(_ sorted: [Double], _ share: Double) -> Double {
    sorted.isEmpty ? .nan : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
  }

  /// One descriptor for each worker, here and, inherited, in the coordinator.
  private static func raiseFileLimit() {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}
