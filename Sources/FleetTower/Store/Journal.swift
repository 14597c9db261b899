import Artifacts
import Bytes
import Fleet
import Glibc
import JSON
import Synchronization
import Wording

/// The coordinator's memory: every record, in order, in a SQLite table that everyday tools can read.
///
/// `append` only queues. A thread of its own writes all that has gathered in one transaction and reports the last
/// sequence number when it is on the disk, so that a hundred records cost one fsync.
public final class Journal: Sendable {
  /// The reports of the writer, made on its thread.
  public enum Report: Sendable {
    /// Everything up to this sequence number is on the disk.
    case durable(through: Int)
    /// Writing fails, and is tried again every second; nothing is lost and nothing goes on until it succeeds.
    case stalled(any Error)
    /// Writing fails for good.
    case failed(any Error)
  }

  private struct Queue {
    var lastSequence: Int
    var waiting: [Record] = []
    var isScheduled = false
  }

  /// Fewer superfluous records are not worth rewriting the journal.
  static let compactionThreshold = 1_000

  private let queue: Mutex<Queue>
  private let writer: JournalWriter
  fileprivate let isClosing = Atomic(false)

  /// The sequence number of the last record that was there when it was opened.
  public let openedSequence: Int

  /// Opens or creates the journal and hands every record in it to `replay`, in order.
  /// - Parameter superfluous: asked after that for the places, counted from 0 and in order, of records that are not
  ///   needed any more. If they are many, the journal is rewritten without them, in one transaction.
  /// - Throws: `StoreError.damaged` when a record is not what was written.
  public init(
    _ path: String, replay: (Record) -> Void, superfluous: () -> [Int] = { [] },
    report: @escaping @Sendable (Report) -> Void
  ) throws {
    // Created here so that it is ours alone; SQLite gives its side files the same mode.
    _ = try FileDescriptor(path, .update)
    let count = try replayAll(path, replay)
    let places = superfluous()
    openedSequence = places.count < Self.compactionThreshold ? count : try compact(path, count, without: places)
    queue = Mutex(Queue(lastSequence: openedSequence))
    writer = try JournalWriter(path, report)
  }

  /// Queues records for writing, in order.
  /// - Returns: the sequence number of the last; `report` tells when it is durable.
  public func append(_ records: [Record]) -> Int {
    let (last, mustSchedule) = queue.withLock { queue in
      queue.lastSequence += records.count
      queue.waiting += records
      defer { queue.isScheduled = true }
      return (queue.lastSequence, !queue.isScheduled)
    }
    if mustSchedule { Task { await writer.write(from: self) } }
    return last
  }

  /// Everything that waits, with the sequence number of its first record.
  fileprivate func take() -> (first: Int, records: [Record]) {
    queue.withLock { queue in
      defer {
        queue.waiting = []
        queue.isScheduled = false
      }
      return (queue.lastSequence - queue.waiting.count + 1, queue.waiting)
    }
  }

  /// Returns when everything appended so far is durable. What fails now is not tried again: nobody has heard of it.
  public func close() async {
    isClosing.store(true, ordering: .relaxed)
    await writer.write(from: self)
  }
}

private actor JournalWriter {
  private nonisolated let thread = BlockingExecutor("journal")
  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.executor }

  private let database: Database
  private let insert: Statement
  private let report: @Sendable (Journal.Report) -> Void
  private var hasFailed = false

  init(_ path: String, _ report: @escaping @Sendable (Journal.Report) -> Void) throws {
    database = try Database(path)
    insert = try Statement(
      "INSERT INTO journal (sequence, version, written_at, checksum, record) VALUES (?, ?, ?, ?, ?)", database)
    self.report = report
  }

  func write(from journal: Journal) {
    let (first, records) = journal.take()
    if records.isEmpty || hasFailed { return }
    let texts = records.map { JSON.encode($0) }
    while true {
      do {
        try commit(texts, from: first)
        return report(.durable(through: first + records.count - 1))
      } catch {
        try? database.execute("ROLLBACK")
        let isTransient = (error as? StoreError)?.isTransient == true
        guard isTransient, !journal.isClosing.load(ordering: .relaxed) else {
          hasFailed = true
          return report(.failed(error))
        }
        report(.stalled(error))
        sleep(1)
      }
    }
  }

  private func commit(_ texts: [[UInt8]], from first: Int) throws {
    try database.execute("BEGIN IMMEDIATE")
    let now = time(nil)
    for (index, text) in texts.enumerated() {
      defer { insert.reset() }
      try insert.bind(1, first + index)
      try insert.bind(2, Record.version)
      try insert.bind(3, now)
      try insert.bind(4, checksum(text))
      try insert.bind(5, text: text)
      _ = try insert.step()
    }
    try database.execute("COMMIT")
  }
}

/// The schema's versions in order; `PRAGMA user_version` counts those that have been applied. Never edited, only added
/// to.
private let migrations = [
  """
  CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY, version INTEGER NOT NULL, written_at INTEGER NOT NULL, checksum INTEGER NOT NULL,
    record TEXT NOT NULL) STRICT
  """
]

private func migrate(_ database: Database) throws {
  let version = try database.integer("PRAGMA user_version")
  guard version <= migrations.count else { throw StoreError.tooNew(path: database.path, version: version) }
  for next in version..<migrations.count {
    try database.execute("BEGIN IMMEDIATE; \(migrations[next]); PRAGMA user_version = \(next + 1); COMMIT")
  }
}

private func replayAll(_ path: String, _ replay: (Record) -> Void) throws -> Int {
  let database = try Database(path)
  try migrate(database)
  let rows = try Statement("SELECT sequence, version, checksum, record FROM journal ORDER BY sequence", database)
  var last = 0
  while try rows.step() {
    let sequence = rows.integer(0)
    func damaged(_ reason: String) -> StoreError {
      .damaged(path: path, sequence: sequence, reason: reason)
    }
    guard sequence == last + 1 else { throw damaged("record \(last + 1) is missing") }
    guard rows.integer(1) <= Record.version else {
      throw StoreError.tooNew(path: path, version: rows.integer(1))
    }
    let text = rows.bytes(3)
    guard try checksum(text) == rows.integer(2) else { throw damaged("its checksum does not hold") }
    do { replay(try JSON.decode(Record.self, from: text, .fleet)) } catch {
      throw damaged("\(error)".shortened(to: 500))
    }
    last = sequence
  }
  return last
}

/// Removes records and numbers the others anew. Their texts stay as they are, so that any build that could read the
/// journal still can. A disk without room leaves it as it was.
/// - Returns: the last sequence number.
private func compact(_ path: String, _ count: Int, without places: [Int]) throws -> Int {
  let database = try Database(path)
  do {
    try database.execute("BEGIN IMMEDIATE")
    let delete = try Statement("DELETE FROM journal WHERE sequence = ?", database)
    for place in places {
      try delete.bind(1, place + 1)
      _ = try delete.step()
      delete.reset()
    }
    // By way of negative numbers, so that no number is ever taken twice.
    try database.execute(
      """
      CREATE TEMP TABLE renumbered AS
        SELECT sequence AS old, row_number() OVER (ORDER BY sequence) AS new FROM journal;
      CREATE UNIQUE INDEX temp.renumbered_old ON renumbered (old);
      UPDATE journal SET sequence = -(SELECT new FROM renumbered WHERE old = sequence);
      UPDATE journal SET sequence = -sequence;
      DROP TABLE renumbered;
      COMMIT
      """)
    return count - places.count
  } catch let error as StoreError where error.isTransient {
    try? database.execute("ROLLBACK")
    return count
  }
}

/// The first eight bytes of the record's SHA-256.
private func checksum(_ text: [UInt8]) throws -> Int {
  Int(truncatingIfNeeded: try Digest(of: text.span).prefix)
}
