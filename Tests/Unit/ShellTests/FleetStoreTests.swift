import Artifacts
import Bytes
import Client
import Coordinator
import Fleet
import Foundation
import Sweep
import Testing
import Worker

/// The store's upkeep, asked for by an operator and on a stopped coordinator's folder.
@Suite struct FleetStoreTests {
  private let oneTrial = SweepSpec.Grid(backbone: ["yolov5n"], sparsityRate: [0], pruneRatio: [0])

  private func verification(_ client: OperatorClient) async throws -> VerificationReport {
    try await withoutHanging {
      var request = StoreRequest.verify
      while true {
        guard case .verification(let report) = try await client.request(.store(request)) else {
          throw TimedOut(seconds: 0)
        }
        if !report.isRunning, report.count(.asked) == 0 { return report }
        request = .verification
        try await Task.sleep(for: .milliseconds(20))
      }
    }
  }

  private func clean(_ client: OperatorClient, isDryRun: Bool) async throws -> CleaningReport {
    guard case .cleaning(let report) = try await client.request(.store(.clean(isDryRun: isDryRun))) else {
      throw TimedOut(seconds: 0)
    }
    return report
  }

  private func digest(ofModelIn table: ResultTable, _ client: OperatorClient) async throws -> Digest {
    guard case .artifacts(_, _, let artifacts) = try await client.request(.pull(trial: table.rows[0].trial.name)) else {
      throw TimedOut(seconds: 0)
    }
    return artifacts["model"]!.digest
  }

  /// An artifact of which nobody has ever spoken, `age` seconds old.
  private func stray(_ words: String, age: Int, in cluster: Cluster) throws -> Digest {
    let file = cluster.folder.path + "/stray"
    try Files.writeDurably(Array(words.utf8), to: file)
    let folder = try ArtifactFolder(cluster.folder.path + "/data/artifacts")
    let (digest, _) = try folder.adopt(file)
    try FileManager.default.setAttributes(
      [.modificationDate: Date.now.addingTimeInterval(-Double(age))], ofItemAtPath: folder.location(of: digest))
    return digest
  }

  @Test func verifyingRepairsWhatAWorkerHas() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    _ = try await cluster.worker("a", endpoint)
    let client = try cluster.client(endpoint)
    let table = try await cluster.table(client, try await cluster.submit(client, oneTrial))
    #expect(try await verification(client).findings.isEmpty)
    let model = try await digest(ofModelIn: table, client)
    try cluster.flipByte(of: model)
    let report = try await verification(client)
    #expect(report.findings.map(\.artifact) == [model])
    #expect(report.findings.map(\.state) == [.repaired])
    #expect(report.findings.first?.what.hasPrefix("model of train") == true, "\(report)")
    #expect(report.artifactsChecked > 1)
    #expect(try Digest(ofFile: cluster.path(of: model)).description == model.description)
    await coordinator.stop()
  }

  @Test func cleaningRemovesOnlyWhatNothingSpeaksOfAndIsOld() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    _ = try await cluster.worker("a", endpoint)
    let client = try cluster.client(endpoint)
    let table = try await cluster.table(client, try await cluster.submit(client, oneTrial))
    let model = try await digest(ofModelIn: table, client)
    try FileManager.default.setAttributes(
      [.modificationDate: Date.distantPast], ofItemAtPath: cluster.path(of: model))
    let old = try stray("nobody needs this", age: 7200, in: cluster)
    let fresh = try stray("on its way", age: 60, in: cluster)
    let folder = try ArtifactFolder(cluster.folder.path + "/data/artifacts")

    #expect(try await clean(client, isDryRun: true).artifactsRemoved == 1)
    #expect(folder.byteCount(of: old) != nil)
    let report = try await clean(client, isDryRun: false)
    #expect(report.artifactsRemoved == 1 && report.bytesFreed == "nobody needs this".utf8.count)
    #expect(folder.byteCount(of: old) == nil && folder.byteCount(of: fresh) != nil)
    #expect(FileManager.default.fileExists(atPath: cluster.path(of: model)))
    #expect(try await verification(client).findings.isEmpty)
    await coordinator.stop()
  }

  @Test func aStoppedCoordinatorsFolderIsVerifiedAndCleanedAlone() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let worker = try await cluster.worker("a", endpoint)
    let client = try cluster.client(endpoint)
    let table = try await cluster.table(client, try await cluster.submit(client, oneTrial))
    let model = try await digest(ofModelIn: table, client)
    let data = cluster.folder.path + "/data"
    #expect { _ = try StoppedStore(data) } throws: { "\($0)".contains("another coordinator") }
    await worker.leave()
    try await withoutHanging { await worker.ended() }
    await coordinator.stop()

    try cluster.flipByte(of: model)
    let old = try stray("nobody needs this", age: 7200, in: cluster)
    do {
      let store = try StoppedStore(data)
      let journal = store.check()
      #expect(journal.records > 5 && journal.sweeps == 1 && journal.jobs == 2)
      #expect(journal.violations == [])
      let report = try await store.verify { _, _ in }
      #expect(report.findings.map(\.artifact) == [model])
      #expect(report.findings.map(\.state) == [.lost])
      #expect(try await store.clean(isDryRun: false).artifactsRemoved == 1)
    }
    #expect(try ArtifactFolder(data + "/artifacts").byteCount(of: old) == nil)

    // Started again, the coordinator notices by itself, and the worker that comes back brings it.
    let (again, second) = try await cluster.coordinator()
    try Files.createFolder(cluster.folder.path + "/b")
    try FileManager.default.copyItem(
      atPath: cluster.folder.path + "/a/artifacts", toPath: cluster.folder.path + "/b/artifacts")
    _ = try await cluster.worker("b", second)
    try await withoutHanging {
      while (try? Digest(ofFile: cluster.path(of: model)).description) != model.description {
        try await Task.sleep(for: .milliseconds(20))
      }
    }
    await again.stop()
  }
}
