import Artifacts
import Fleet
import Foundation
@testable import Store
import Sweep
import Testing

private func record(_ index: Int) -> Record {
  .epochFinished(
    attempt: AttemptNumber(UInt64(index)), job: JobKey(hashing: "job"),
    metrics: EpochMetrics(epoch: index, epochs: 100, seconds: 0.5, values: ["map50": Double(index) / 100]))
}

@Suite struct JournalTests {
  let folder: TemporaryFolder
  var path: String { folder.path + "/journal.sqlite" }

  init() throws { folder = try TemporaryFolder() }

  func write(_ records: [[Record]]) async throws {
    let reports = AsyncStream<Journal.Report>.makeStream()
    let journal = try Journal(path, replay: { _ in }, report: { reports.continuation.yield($0) })
    var last = 0
    for batch in records { last = journal.append(batch) }
    for await report in reports.stream {
      guard case .durable(let sequence) = report else { throw TimedOut(seconds: 0) }
      if sequence == last { return }
    }
  }

  func read() throws -> [Record] {
    var records: [Record] = []
    _ = try Journal(path, replay: { records.append($0) }, report: { _ in })
    return records
  }

  func sqlite(_ statement: String) throws { try Database(path).execute(statement) }

  @Test func givesBackEverythingInOrder() async throws {
    let batches = (0..<50).map { batch in (0..<batch % 5 + 1).map { record(batch * 10 + $0) } }
    try await write(batches)
    #expect(try read() == batches.flatMap(\.self))
    try await write([[record(999)]])
    #expect(try read() == batches.flatMap(\.self) + [record(999)])
  }

  @Test func leavesOutWhatIsSuperfluous() async throws {
    let records = (1...3_000).map(record)
    try await write([records])
    // Too few to be worth it.
    _ = try Journal(path, replay: { _ in }, superfluous: { [5] }, report: { _ in })
    #expect(try read() == records)
    let places = records.indices.filter { $0 % 3 != 0 }
    let journal = try Journal(path, replay: { _ in }, superfluous: { places }, report: { _ in })
    #expect(journal.openedSequence == 1_000)
    let kept = records.indices.filter { $0 % 3 == 0 }.map { records[$0] }
    #expect(try read() == kept)
    try await write([[record(9_999)]])
    #expect(try read() == kept + [record(9_999)])
  }

  @Test func isPrivate() async throws {
    try await write([[record(1)]])
    for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
      let mode = try FileDescriptor("\(folder.path)/\(name)", .read).status().st_mode
      #expect(mode & 0o077 == 0, "\(name)")
    }
  }

  @Test func noticesAChangedRecordAndAMissingOne() async throws {
    try await write([(1...9).map(record)])
    try sqlite("UPDATE journal SET record = replace(record, '0.05', '0.95') WHERE sequence = 5")
    #expect { _ = try read() } throws: { "\($0)".contains("record 5") && "\($0)".contains("checksum") }
    try sqlite("DELETE FROM journal WHERE sequence = 5")
    #expect { _ = try read() } throws: { "\($0)".contains("record 5 is missing") }
  }

  @Test func refusesAJournalOfTheFuture() async throws {
    try await write([[record(1)]])
    try sqlite("PRAGMA user_version = 77")
    #expect { _ = try read() } throws: { "\($0)".contains("newer Greensweep") }
  }

  @Test func refusesAFileThatIsNoDatabase() throws {
    try Files.writeDurably(Array(repeating: 65, count: 10_000), to: path)
    #expect(throws: StoreError.self) { _ = try read() }
  }

  @Test func aFolderHasOneCoordinator() throws {
    let first = try DataFolder(folder.path + "/data")
    #expect { _ = try DataFolder(folder.path + "/data").path } throws: { "\($0)".contains("another coordinator") }
    #expect(first.path == folder.path + "/data")
  }
}
