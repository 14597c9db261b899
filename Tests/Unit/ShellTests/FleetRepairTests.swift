import Artifacts
import Bytes
import Client
import Coordinator
import Fleet
import Foundation
import Sweep
import Testing
import Transfer
import Worker

/// Bytes that rot in the coordinator's store, with real files.
@Suite struct FleetRepairTests {
  private func cluster() throws -> Cluster {
    var cluster = try Cluster()
    cluster.policy.repairGraceMilliseconds = 200
    return cluster
  }

  private let oneTrial = SweepSpec.Grid(backbone: ["yolov5n"], sparsityRate: [0], pruneRatio: [0.3])

  /// The artifacts of the only trial's outcome, as soon as they can be had.
  private func pulled(_ client: OperatorClient, _ table: ResultTable) async throws -> (JobKey, ArtifactReference) {
    try await withoutHanging {
      while true {
        if case .artifacts(_, let job, let artifacts) = try? await client.request(
          .pull(trial: table.rows[0].trial.name)), let model = artifacts["model"]
        {
          return (job, model)
        }
        try await Task.sleep(for: .milliseconds(50))
      }
    }
  }

  /// Tries until the store has it again.
  private func bytes(_ client: OperatorClient, _ table: ResultTable, _ cluster: Cluster) async throws -> String {
    let path = cluster.folder.path + "/pulled-\(UUID().uuidString)"
    return try await withoutHanging {
      while true {
        let (_, model) = try await pulled(client, table)
        do {
          try await client.pull(model, to: path)
          return try String(contentsOfFile: path, encoding: .utf8)
        } catch is TransferError { try await Task.sleep(for: .milliseconds(50)) }
      }
    }
  }

  @Test func aDamagedModelIsNeverServedAndComesBackFromTheWorkerThatMadeIt() async throws {
    let cluster = try cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    _ = try await cluster.worker("a", endpoint)
    let client = try cluster.client(endpoint)
    let table = try await cluster.table(client, try await cluster.submit(client, oneTrial))
    let (job, model) = try await pulled(client, table)
    try cluster.flipByte(of: model.digest)
    await #expect { try await client.pull(model, to: cluster.folder.path + "/damaged") } throws: {
      "\($0)".contains("damaged")
    }
    #expect(!FileManager.default.fileExists(atPath: cluster.folder.path + "/damaged"))
    #expect(try await bytes(client, table, cluster) == "model of \(job)\n")
    // Nothing was computed again.
    let epochs = cluster.epochs().map { $0[0] + $0[2] }
    #expect(Set(epochs).count == epochs.count)
    await coordinator.stop()
  }

  @Test func aModelThatNobodyHasIsMadeAgain() async throws {
    let cluster = try cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let first = try await cluster.worker("a", endpoint)
    let client = try cluster.client(endpoint)
    let table = try await cluster.table(client, try await cluster.submit(client, oneTrial))
    let (job, model) = try await pulled(client, table)
    await first.leave()
    try await withoutHanging { await first.ended() }
    try FileManager.default.removeItem(atPath: cluster.path(of: model.digest))
    await #expect(throws: TransferError.self) { try await client.pull(model, to: cluster.folder.path + "/gone") }
    _ = try await cluster.worker("b", endpoint)
    #expect(try await bytes(client, table, cluster) == "model of \(job)\n")
    #expect(cluster.epochs().count { $0[0] == job.description && $0[2] == "1" } == 2)
    await coordinator.stop()
  }

  @Test func aDamagedDataSetHoldsTheSweepUntilItIsSubmittedAgain() async throws {
    let cluster = try cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client, oneTrial)
    try cluster.flipByte(of: try ArtifactReference(ofFile: cluster.folder.path + "/dataset").digest)
    _ = try await cluster.worker("a", endpoint)
    try await withoutHanging {
      while true {
        if case .sweep(let status) = try await client.request(.status(sweep: sweep.name)),
          status.jobs.contains(where: { $0.reason?.contains("submit the sweep again") == true })
        {
          return
        }
        try await Task.sleep(for: .milliseconds(50))
      }
    }
    #expect(cluster.epochs().isEmpty)
    #expect(try await cluster.submit(client, oneTrial) == sweep)
    let table = try await cluster.table(client, sweep)
    #expect(table.rows.map(\.state) == [.done])
    await coordinator.stop()
  }
}

extension Cluster {
  func path(of digest: Digest) -> String {
    let hex = digest.description
    return "\(folder.path)/data/artifacts/\(hex.prefix(2))/\(hex.dropFirst(2))"
  }

  func flipByte(of digest: Digest) throws {
    var bytes = try Files.read(path(of: digest))
    bytes[bytes.count / 2] ^= 1
    try Files.writeDurably(bytes, to: path(of: digest))
  }
}
