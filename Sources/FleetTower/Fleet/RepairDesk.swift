import Bytes
import Sweep

/// An artifact that the store does not have any more, and who is asked to bring it back.
struct Repair: Sendable {
  let artifact: ArtifactReference
  /// The workers that made it, and so most probably still have it.
  let makers: [WorkerID]
  let begunAt: Instant
  fileprivate(set) var asked: WorkerID?
  /// The workers that need not be asked again.
  fileprivate(set) var refused: Set<WorkerID> = []
}

/// The artifacts that the store lacks. Workers are asked for each, one after the other: those that made it, then
/// everybody who is there or comes within a grace.
struct RepairDesk: Sendable {
  enum Step: Sendable {
    case ask(WorkerID, ArtifactReference)
    /// Nobody has it.
    case giveUp(Digest)
  }

  private let policy: FleetPolicy
  private(set) var repairs: [Digest: Repair] = [:]
  /// The artifacts for which a worker must be asked next.
  private var queue = KeyedQueue<Digest, Int>()
  /// How many of them some worker has been asked for.
  private var askedCount = 0
  private(set) var deadlines = KeyedQueue<Deadline, Instant>()

  init(_ policy: FleetPolicy) { self.policy = policy }

  mutating func takeDeadline(upTo now: Instant) -> Deadline? { deadlines.take(upTo: now) }

  func contains(_ digest: Digest) -> Bool { repairs[digest] != nil }

  /// - Parameter isUrgent: whether somebody is asked at once, rather than whoever comes.
  mutating func begin(_ artifact: ArtifactReference, makers: [WorkerID], isUrgent: Bool, at now: Instant) {
    repairs[artifact.digest] = Repair(artifact: artifact, makers: makers, begunAt: now)
    if isUrgent { queue.set(artifact.digest, 0) }
  }

  mutating func end(_ digest: Digest) {
    if repairs.removeValue(forKey: digest)?.asked != nil { askedCount -= 1 }
    deadlines.remove(.repair(digest))
    queue.remove(digest)
  }

  /// Returns what is to be done next, until a few artifacts have been asked for at the same time.
  mutating func next(_ roster: Roster, at now: Instant) -> Step? {
    while askedCount < policy.repairLimit, let digest = queue.first?.key {
      queue.remove(digest)
      let repair = repairs[digest]!
      let end = repair.begunAt.advanced(byMilliseconds: policy.repairGraceMilliseconds)
      if let worker = candidate(for: repair, roster) {
        repairs[digest]!.asked = worker
        askedCount += 1
        deadlines.set(.repair(digest), now.advanced(byMilliseconds: policy.repairPatienceMilliseconds))
        return .ask(worker, repair.artifact)
      }
      guard now < end else { return .giveUp(digest) }
      deadlines.set(.repair(digest), end)
    }
    return nil
  }

  private func candidate(for repair: Repair, _ roster: Roster) -> WorkerID? {
    func canHelp(_ id: WorkerID) -> Bool {
      guard let worker = roster.workers[id], worker.connection != nil, !repair.refused.contains(id) else {
        return false
      }
      return worker.protocolVersion >= FleetProtocol.bringBackVersion
    }
    return repair.makers.first(where: canHelp) ?? roster.workers.keys.filter(canHelp).min()
  }

  /// The worker does not have it, or does not get it across.
  mutating func refuse(_ digest: Digest, by worker: WorkerID) {
    guard repairs[digest] != nil else { return }
    repairs[digest]!.refused.insert(worker)
    if repairs[digest]!.asked == worker { askAnother(for: digest) }
  }

  /// The worker that was asked has taken too long, or the time in which somebody might still come has passed.
  mutating func becomeDue(_ digest: Digest) {
    if let worker = repairs[digest]?.asked { repairs[digest]!.refused.insert(worker) }
    askAnother(for: digest)
  }

  /// Somebody else must be asked for what the worker was to bring.
  mutating func leave(_ worker: WorkerID) {
    for (digest, repair) in repairs.sorted(by: { $0.key < $1.key }) where repair.asked == worker {
      askAnother(for: digest)
    }
  }

  /// A worker that was not here before may have what nobody else had.
  mutating func join(_ worker: WorkerID) {
    for (digest, repair) in repairs.sorted(by: { $0.key < $1.key }) {
      repairs[digest]!.refused.remove(worker)
      if repair.asked == nil { queue.set(digest, 0) }
    }
  }

  private mutating func askAnother(for digest: Digest) {
    guard let repair = repairs[digest] else { return }
    if repair.asked != nil { askedCount -= 1 }
    repairs[digest]!.asked = nil
    deadlines.remove(.repair(digest))
    queue.set(digest, 0)
  }

  /// Returns what contradicts itself or the roster, in words.
  func validate(_ roster: Roster) -> Violations {
    var found = Violations()
    found.check(askedCount == repairs.values.count { $0.asked != nil }, "\(askedCount) repairs count as asked for")
    found.check(queue.keys.allSatisfy { repairs[$0] != nil }, "a repair that has ended is to be asked for")
    for (digest, repair) in repairs {
      guard let worker = repair.asked else { continue }
      found.check(roster.isConnected(worker), "\(worker) was asked for \(digest) and is not there")
      found.check(!queue.contains(digest), "\(digest) is asked for and to be asked for")
      found.check(deadlines.contains(.repair(digest)), "\(digest) is asked for without an end")
    }
    for deadline in deadlines.keys {
      guard case .repair(let digest) = deadline, repairs[digest] != nil else {
        found.add("\(deadline) is not the repair desk's")
        continue
      }
    }
    return found
  }
}
