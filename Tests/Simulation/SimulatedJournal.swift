import Fleet

/// The coordinator's disk as `Journal` and SQLite's write-ahead log use it: all that waits becomes one transaction, the
/// next one begins when it is through, and after a crash a transaction is there wholly or not at all.
struct SimulatedJournal: Sendable {
  /// The durable records.
  private(set) var records: [Record] = []
  /// Being written.
  private(set) var transaction: [Record] = []
  private var waiting: [Record] = []
  /// There is no room until then: nothing can be written, and no artifact be stored.
  var fullUntil: Int64 = 0
  /// Writes fail until then, for another reason.
  var failingUntil: Int64 = 0
  /// The brain that the first `replayed` records lead to. Replaying is a fold: a restart need only add what is new.
  private var replica: CoordinatorBrain
  private var replayed = 0

  init(policy: FleetPolicy) { replica = CoordinatorBrain(policy: policy) }

  func isFull(at now: Int64) -> Bool { now < fullUntil }
  func canWrite(at now: Int64) -> Bool { now >= fullUntil && now >= failingUntil }

  /// The attempts that are decided and not durable yet.
  var unwrittenAttempts: Set<AttemptNumber> {
    var attempts: Set<AttemptNumber> = []
    for case .attemptStarted(let attempt, _, _, _) in transaction + waiting { attempts.insert(attempt) }
    return attempts
  }

  mutating func append(_ records: [Record]) { waiting += records }

  /// - Returns: whether there is something to write and nothing being written.
  mutating func beginTransaction() -> Bool {
    guard transaction.isEmpty, !waiting.isEmpty else { return false }
    swap(&transaction, &waiting)
    return true
  }

  /// Makes the transaction durable, except for what a planted fault leaves out.
  mutating func commit(_ isKept: (Record) -> Bool = { _ in true }) -> [Record] {
    let kept = transaction.filter(isKept)
    records += kept
    transaction = []
    return kept
  }

  /// Forgets the records that are not durable.
  mutating func crash() {
    transaction = []
    waiting = []
  }

  /// - Returns: the brain as the records make it.
  mutating func replay() -> CoordinatorBrain {
    for record in records[replayed...] { replica.replay(record) }
    replayed = records.count
    return replica
  }

  /// A planted fault: what is written next is half of it.
  mutating func tearTransaction() { transaction.removeLast((transaction.count + 1) / 2) }

  /// Lets a planted fault change the disk.
  mutating func damage(_ change: (inout [Record]) -> Void) {
    change(&records)
    replica = CoordinatorBrain(policy: replica.policy)
    replayed = 0
  }
}
