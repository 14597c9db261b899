/// The actions that the coordinator's shell may not do yet: they wait, in order, for the records that were decided
/// before them.
///
/// While the journal cannot be written, everything waits. So that this does not grow without bound, a shell whose
/// journal stalls, or whose outbox `isOverfull` because writing takes too long, lets go of all connections and takes
/// new ones only when all `isWritten`: to its workers the coordinator is then away, and they keep their pending
/// messages and send them again.
public struct Outbox<Action: Sendable>: Sendable {
  /// Records and actions that may wait at once.
  public let limit: Int
  /// The numbers of the newest record decided, and of the newest that is on the disk.
  public private(set) var decided: Int
  public private(set) var durable: Int
  private var waiting: [(record: Int, action: Action)] = []

  public init(durable: Int = 0, limit: Int) {
    self.limit = limit
    self.decided = durable
    self.durable = durable
  }

  public var count: Int { waiting.count + decided - durable }
  public var isOverfull: Bool { count > limit }
  public var isWritten: Bool { decided == durable }

  public mutating func decide(through record: Int) { decided = record }

  /// - Returns: whether the action need not wait. Otherwise `reachDisk` will hand it out.
  public mutating func admit(_ action: Action) -> Bool {
    if isWritten && waiting.isEmpty { return true }
    waiting.append((decided, action))
    return false
  }

  /// - Returns: what needs to wait no longer.
  public mutating func reachDisk(through record: Int) -> [Action] {
    durable = record
    // Records are numbered upwards, so that those on the disk come first.
    let end = waiting.firstIndex { $0.record > record } ?? waiting.endIndex
    defer { waiting.removeFirst(end) }
    return waiting[..<end].map(\.action)
  }

  /// Lets go of what need not be done any more.
  public mutating func keep(where isWanted: (Action) -> Bool) { waiting.removeAll { !isWanted($0.action) } }

  /// - Returns: what waited.
  @discardableResult
  public mutating func removeAll() -> [Action] {
    defer { waiting = [] }
    return waiting.map(\.action)
  }
}
