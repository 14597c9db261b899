import Artifacts
import Client
import Foundation
import JSON
import Settings
import Sweep
import Transfer
import Transport
import Wire

/// Measures the load that a coordinator bears: a real one, over TLS, with its journal on the disk, and workers that are
/// only connections. Prints JSON.
@main
struct FleetBenchmark {
  let options: Options
  let coordinator: CoordinatorProcess
  let address: SocketAddress
  let endpoint: Endpoint
  let workerToken: Token
  let client: OperatorClient
  let fleet: LightFleet
  /// A little file that stands for the data set and for every model.
  let file: String
  let artifact: ArtifactReference

  static func main() async {
    do { try await run(Options(CommandLine.arguments.dropFirst())) } catch {
      FileHandle.standardError.write(Data("fleet-benchmark: \(error)\n".utf8))
      exit(1)
    }
  }

  private static func run(_ options: Options) async throws {
    raiseDescriptorLimit()
    // Made here: the benchmark must not remove a folder that was there before.
    try FileManager.default.createDirectory(atPath: options.folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: options.folder) }
    let binary = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
      .appendingPathComponent("greensweep").path
    let coordinator = try CoordinatorProcess(binary: binary, folder: options.folder + "/data")
    defer { coordinator.stop() }

    var figures: [String: Any] = [
      "start_seconds": rounded(coordinator.startSeconds), "memory_idle_mb": rounded(coordinator.memoryMB.now),
      "workers": options.workers,
    ]
    let benchmark = try FleetBenchmark(options, coordinator)
    let start = ContinuousClock.now
    try await benchmark.fleet.grow(to: options.workers, benchmark.address, benchmark.workerToken)
    figures["connect_seconds"] = rounded(seconds(since: start))
    figures["memory_connected_mb"] = rounded(coordinator.memoryMB.now)
    for part in options.parts {
      FileHandle.standardError.write(Data("\(part.rawValue) …\n".utf8))
      figures[part.rawValue] =
        switch part {
        case .throughput: try await benchmark.throughput()
        case .latency: try await benchmark.latency()
        case .bulk: try await benchmark.bulk()
        case .idle: try await benchmark.idle()
        case .restart: try benchmark.restart()
        }
      // A restart loses them all, on purpose.
      if part != .restart { figures["lost_connections"] = await benchmark.fleet.counts.lost }
    }
    let json = try JSONSerialization.data(withJSONObject: figures, options: [.prettyPrinted, .sortedKeys])
    print(String(decoding: json, as: UTF8.self))
  }

  init(_ options: Options, _ coordinator: CoordinatorProcess) throws {
    self.options = options
    self.coordinator = coordinator
    endpoint = Endpoint(host: "127.0.0.1", port: coordinator.port)
    address = try endpoint.resolveBlocking()[0]
    workerToken = try Token(file: coordinator.folder + "/worker.token")
    client = try OperatorClient(endpoint, try Token(file: coordinator.folder + "/operator.token"))
    file = options.folder + "/artifact"
    try Data("benchmark".utf8).write(to: URL(fileURLWithPath: file))
    artifact = try ArtifactReference(ofFile: file)
    fleet = try LightFleet(slots: 4, artifact: artifact)
  }
}

// MARK: - Jobs

extension FleetBenchmark {
  /// As many jobs as the coordinator hands out and takes back, each finished at once.
  private func throughput() async throws -> [String: Any] {
    let submission = wideSubmission(jobs: options.jobs)
    let tree = StageTree(submission)
    await fleet.work(on: tree, pace: nil)
    let (start, coordinatorBefore, clientsBefore) = (ContinuousClock.now, coordinator.processorSeconds, clock())
    _ = try await client.submit(submission, files: [artifact.digest: file])
    let submitted = seconds(since: start)
    try await fleet.finished(tree.nodes.count)
    let elapsed = seconds(since: start)
    let jobs = Double(tree.nodes.count)
    return [
      "jobs": tree.nodes.count, "submit_seconds": rounded(submitted), "seconds": rounded(elapsed),
      "jobs_per_second": (jobs / elapsed).rounded(), "memory_peak_mb": rounded(coordinator.memoryMB.peak),
      "coordinator_cpu_us_per_job": rounded((coordinator.processorSeconds - coordinatorBefore) * 1e6 / jobs),
      "workers_cpu_us_per_job": rounded(Double(clock() - clientsBefore) / jobs),
    ]
  }

  /// From the moment a job's last input is reported to the moment its worker has it, fsyncs and TLS included. There
  /// are more slots than chains of jobs, so that no job waits for a slot.
  private func latency() async throws -> [String: Any] {
    let submission = deepSubmission(chains: options.pace, jobs: 20 * options.pace)
    let tree = StageTree(submission)
    await fleet.work(on: tree, pace: Double(options.pace))
    let start = ContinuousClock.now
    _ = try await client.submit(submission, files: [artifact.digest: file])
    try await fleet.finished(tree.nodes.count)
    let elapsed = seconds(since: start)
    let latencies = await fleet.latenciesMilliseconds
    let figures: [String: Any] = [
      "jobs": tree.nodes.count, "offered_per_second": options.pace,
      "jobs_per_second": (Double(tree.nodes.count) / elapsed).rounded(),
    ]
    return figures.merging(quantiles(latencies)) { own, _ in own }
  }

  /// A grid with about so many stages: per prune ratio one stage to prune, one to fine-tune and one to evaluate.
  private func wideSubmission(jobs: Int) -> SweepSubmission {
    let side = max(1, Int((Double(jobs) / 3).squareRoot()))
    var spec = SweepSpec(name: "throughput", dataset: "data.yaml")
    spec.grid.backbone = ["yolov5n"]
    spec.grid.sparsityRate = (1...side).map { Double($0) * 1e-5 }
    spec.grid.pruneRatio = (1...side).map { Double($0) / Double(side + 1) }
    return SweepSubmission(spec: spec, dataset: artifact)
  }

  /// A grid with so many trials, each a chain of rounds of pruning and fine-tuning.
  private func deepSubmission(chains: Int, jobs: Int) -> SweepSubmission {
    var spec = SweepSpec(name: "latency", dataset: "data.yaml")
    spec.grid.backbone = ["yolov5n"]
    spec.grid.sparsityRate = (1...chains).map { Double($0) * 1e-5 }
    spec.grid.pruneRatio = [0.5]
    spec.prune.rounds = max(1, jobs / chains / 2)
    // The two sweeps must differ, or the second would find all of its jobs done.
    spec.train.epochs = 7
    return SweepSubmission(spec: spec, dataset: artifact)
  }

  private func idle() async throws -> [String: Any] {
    let before = await fleet.counts.lost
    try await fleet.grow(to: options.idleWorkers, address, workerToken)
    try await Task.sleep(for: .seconds(30))
    return [
      "workers": options.idleWorkers, "lost_in_30_seconds": await fleet.counts.lost - before,
      "memory_mb": rounded(coordinator.memoryMB.now),
    ]
  }
}

// MARK: - After a crash

extension FleetBenchmark {
  /// Killed, and started again on the journal of all the jobs so far.
  private func restart() throws -> [String: Any] {
    try coordinator.restart()
    return [
      "start_seconds": rounded(coordinator.startSeconds), "memory_mb": rounded(coordinator.memoryMB.now),
      "journal_mb": rounded(Double(Files.byteCount(coordinator.folder + "/journal.sqlite") ?? 0) / 1_000_000),
    ]
  }
}

// MARK: - Checkpoints

extension FleetBenchmark {
  /// Uploads of checkpoints, from the first request until the coordinator confirms that the whole is verified and
  /// durable, in turn with what TLS, SHA-256 and the disk do alone; and the other workers' heartbeats meanwhile.
  private func bulk() async throws -> [String: Any] {
    let plain = try await PlainTransfer()
    let bulk = try BulkClient(endpoint, workerToken)
    let megabytes = options.bulkMegabytes
    let chunk = [UInt8](repeating: 0x5A, count: Chunk.maximumByteCount)
    let chunkCount = megabytes << 20 / chunk.count
    var (plainRuns, hashRuns, diskRuns, delays) = ([Run](), [Run](), [Run](), [Double]())
    var runs: [CheckpointContent: [Run]] = [:]
    let path = options.folder + "/checkpoint"
    for round in 0..<options.bulkRounds {
      for content in CheckpointContent.allCases {
        // Written anew and synced, so that no write of this file is left for the timed parts.
        diskRuns.append(try await timed { try writeZeros(megabytes, to: options.folder + "/zeros") })
        try content.write(megabytes, to: path, seed: UInt64(round))
        let reference = try ArtifactReference(ofFile: path)
        plainRuns.append(try await timed { try await plain.send(frames: chunkCount, of: chunk.count) })
        hashRuns.append(
          try await timed {
            let hasher = try SHA256()
            for _ in 0..<chunkCount { try hasher.update(chunk.span) }
          })
        await fleet.beat(everyMilliseconds: 500)
        runs[content, default: []].append(try await timed { try await bulk.upload(path, as: reference) })
        delays += await fleet.heartbeatDelaysMilliseconds
        await fleet.beat(everyMilliseconds: 5_000)
        try FileManager.default.removeItem(
          atPath: ArtifactFolder(coordinator.folder + "/artifacts").location(of: reference.digest))
      }
    }
    var figures: [String: Any] = [
      "megabytes": megabytes, "tls_alone": summary(plainRuns), "sha256_alone": summary(hashRuns),
      "disk_alone": summary(diskRuns), "heartbeats": quantiles(delays),
    ]
    for content in CheckpointContent.allCases {
      let share = median(runs[content]!.map(\.speed)) / median(plainRuns.map(\.speed))
      figures[content.rawValue] = summary(runs[content]!).merging(["share_of_tls": rounded(share)]) { own, _ in own }
    }
    return figures
  }

  /// Megabytes a second, and seconds of processor time for a gigabyte, of the coordinator and of this process.
  private struct Run {
    let speed: Double
    let processorSeconds: Double
  }

  private func timed(_ body: () async throws -> Void) async throws -> Run {
    let gigabytes = Double(options.bulkMegabytes) * 0.001048576
    let (start, before) = (ContinuousClock.now, coordinator.processorSeconds + Double(clock()) * 1e-6)
    try await body()
    let speed = gigabytes * 1000 / seconds(since: start)
    let used = coordinator.processorSeconds + Double(clock()) * 1e-6 - before
    return Run(speed: speed, processorSeconds: used / gigabytes)
  }

  private func summary(_ runs: [Run]) -> [String: Any] {
    [
      "mb_per_second": rounded(median(runs.map(\.speed))),
      "processor_seconds_per_gb": rounded(median(runs.map(\.processorSeconds))),
    ]
  }

  private func writeZeros(_ megabytes: Int, to path: String) throws {
    try Files.remove(path)
    let file = try FileDescriptor(path, .createNew)
    let zeros = [UInt8](repeating: 0, count: 1 << 20)
    for _ in 0..<megabytes { try file.write(zeros.span) }
    try file.synchronize()
  }
}

// MARK: - Figures

extension FleetBenchmark {
  private func quantiles(_ values: [Double]) -> [String: Any] {
    let sorted = values.sorted()
    func quantile(_ share: Double) -> Double {
      sorted.isEmpty ? .nan : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }
    return [
      "samples": sorted.count, "p50_ms": Self.rounded(quantile(0.5)), "p99_ms": Self.rounded(quantile(0.99)),
      "largest_ms": Self.rounded(sorted.last ?? .nan),
    ]
  }

  private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
  private func rounded(_ value: Double) -> Double { Self.rounded(value) }
  private func seconds(since start: ContinuousClock.Instant) -> Double { Self.seconds(since: start) }
  private static func seconds(since start: ContinuousClock.Instant) -> Double { (.now - start) / .seconds(1) }
  private static func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
}
