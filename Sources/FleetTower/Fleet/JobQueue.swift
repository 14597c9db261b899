import Sweep

/// The jobs that could start, a line for each sweep, and whose turn it is.
///
/// The sweep of the highest priority goes first; among equals the one with the fewest running jobs, and among those the
/// one that has stood there longest. Sweeps with different placements have turns of their own, because a slot that is
/// free for some of them need not be for others; among equals of these the older sweep goes first. Within a sweep the
/// longest remaining way goes first, and within equally long ways the order is that in which they came. A job of
/// several sweeps stands in each of their lines.
///
/// Benchmarks stand apart, because they wait for one host rather than for any slot. Jobs that pause stand nowhere.
struct JobQueue: Sendable {
  /// When a sweep gets the next free slot; lesser ones go first.
  struct Turn: Hashable, Comparable, Sendable {
    let priority: Int
    let running: Int
    static func < (a: Turn, b: Turn) -> Bool {
      a.priority != b.priority ? a.priority > b.priority : a.running < b.running
    }
  }

  /// A sweep's claim to free slots: on which workers, and when.
  struct Claim: Hashable, Sendable {
    let placement: SweepPlacement
    let turn: Turn
  }

  /// The queue's account of a job.
  struct Entry: Hashable, Sendable {
    /// The sweeps in whose lines it stands; never none.
    let sweeps: [SweepIndex]
    let isBenchmark: Bool
    let remainingCost: Int
    /// The worker that made its input and has it in its cache.
    let holder: WorkerID?
  }

  private struct Line: Sendable {
    var placement: SweepPlacement
    var jobs = KeyedQueue<JobIndex, Int>()
    /// The same jobs once more, under the worker that holds their input.
    var held: [WorkerID: KeyedQueue<JobIndex, Int>] = [:]
  }

  private let benchmarkPatienceMilliseconds: Int64
  private(set) var entries: [JobIndex: Entry] = [:]
  private var lines: [SweepIndex: Line] = [:]
  /// By placement; none is empty but that of sweeps to which all workers are alike.
  private var turns = [SweepPlacement(): KeyedQueue<SweepIndex, Turn>()]
  private var benchmarks: [SweepIndex: KeyedQueue<JobIndex, Int>] = [:]
  private(set) var deadlines = KeyedQueue<Deadline, Instant>()

  init(_ policy: FleetPolicy) { benchmarkPatienceMilliseconds = policy.benchmarkPatienceMilliseconds }

  mutating func takeDeadline(upTo now: Instant) -> Deadline? { deadlines.take(upTo: now) }

  /// The placements of the sweeps that wait for slots.
  var placements: some Collection<SweepPlacement> { turns.keys }

  /// The sweep whose turn it is, among those with a placement for which this holds.
  func firstSweep(where isServed: (SweepPlacement) -> Bool) -> SweepIndex? {
    var first: (key: SweepIndex, priority: Turn)?
    for (placement, sweeps) in turns {
      guard let next = sweeps.first, isServed(placement) else { continue }
      if let first, (first.priority, first.key) < (next.priority, next.key) { continue }
      first = next
    }
    return first?.key
  }

  /// The sweeps that have benchmarks waiting, in no order.
  var benchmarkedSweeps: some Collection<SweepIndex> { benchmarks.keys }

  func first(of sweep: SweepIndex) -> JobIndex? { lines[sweep]?.jobs.first?.key }
  func firstHeld(by worker: WorkerID, of sweep: SweepIndex) -> JobIndex? { lines[sweep]?.held[worker]?.first?.key }
  func firstBenchmark(of sweep: SweepIndex) -> JobIndex? { benchmarks[sweep]?.first?.key }
  /// Whether a benchmark of the sweep waits that has not waited for long yet.
  func isPatient(_ sweep: SweepIndex) -> Bool { deadlines.contains(.benchmark(sweep)) }

  /// - Parameter claim: those of the entry's sweeps.
  mutating func set(_ job: JobIndex, _ entry: Entry, claim: (SweepIndex) -> Claim, at now: Instant) {
    let former = entries[job]
    guard former != entry else { return }
    // A job keeps its place in a line unless its way, or who holds its input, has changed.
    let isAlike = former?.remainingCost == entry.remainingCost && former?.holder == entry.holder
    if let former { for sweep in former.sweeps where !(isAlike && entry.sweeps.contains(sweep)) { leave(job, sweep) } }
    entries[job] = entry
    for sweep in entry.sweeps where !(isAlike && former!.sweeps.contains(sweep)) { join(job, sweep, entry, claim, now) }
  }

  mutating func remove(_ job: JobIndex) {
    guard let former = entries[job] else { return }
    for sweep in former.sweeps { leave(job, sweep) }
    entries[job] = nil
  }

  mutating func setClaim(_ sweep: SweepIndex, _ claim: Claim) {
    guard let former = lines[sweep]?.placement else { return }
    if former != claim.placement {
      leaveTurn(sweep, former)
      lines[sweep]!.placement = claim.placement
    }
    turns[claim.placement, default: KeyedQueue()].set(sweep, claim.turn)
  }

  private mutating func leaveTurn(_ sweep: SweepIndex, _ placement: SweepPlacement) {
    turns[placement]!.remove(sweep)
    if turns[placement]!.isEmpty, !placement.isEmpty { turns[placement] = nil }
  }

  private mutating func join(
    _ job: JobIndex, _ sweep: SweepIndex, _ entry: Entry, _ claim: (SweepIndex) -> Claim, _ now: Instant
  ) {
    guard !entry.isBenchmark else {
      if benchmarks[sweep] == nil {
        deadlines.set(.benchmark(sweep), now.advanced(byMilliseconds: benchmarkPatienceMilliseconds))
      }
      return benchmarks[sweep, default: KeyedQueue()].set(job, 0)
    }
    if lines[sweep] == nil {
      let claim = claim(sweep)
      lines[sweep] = Line(placement: claim.placement)
      setClaim(sweep, claim)
    }
    lines[sweep]!.jobs.set(job, -entry.remainingCost)
    if let holder = entry.holder { lines[sweep]!.held[holder, default: KeyedQueue()].set(job, -entry.remainingCost) }
  }

  /// Called while the job's former entry is still there.
  private mutating func leave(_ job: JobIndex, _ sweep: SweepIndex) {
    guard !entries[job]!.isBenchmark else {
      benchmarks[sweep]!.remove(job)
      if benchmarks[sweep]!.isEmpty {
        benchmarks[sweep] = nil
        deadlines.remove(.benchmark(sweep))
      }
      return
    }
    lines[sweep]!.jobs.remove(job)
    if let holder = entries[job]!.holder {
      lines[sweep]!.held[holder]?.remove(job)
      if lines[sweep]!.held[holder]?.isEmpty == true { lines[sweep]!.held[holder] = nil }
    }
    if lines[sweep]!.jobs.isEmpty { leaveTurn(sweep, lines.removeValue(forKey: sweep)!.placement) }
  }
}

// MARK: - Pauses

extension JobQueue {
  /// Keeps the job from the queue for a while.
  mutating func pause(_ job: JobIndex, until moment: Instant) {
    remove(job)
    deadlines.set(.retry(job), moment)
  }

  mutating func endPause(of job: JobIndex) { deadlines.remove(.retry(job)) }
  func endOfPause(of job: JobIndex) -> Instant? { deadlines.priority(of: .retry(job)) }
  func isPausing(_ job: JobIndex) -> Bool { deadlines.contains(.retry(job)) }
}

// MARK: - Whether it is right

extension JobQueue {
  /// Returns what contradicts itself or these claims, in words.
  func validate(claim: (SweepIndex) -> Claim) -> Violations {
    var found = Violations()
    var (standing, held) = (0, 0)
    for (job, entry) in entries {
      found.check(!isPausing(job), "\(job) pauses and stands in line")
      for sweep in entry.sweeps {
        standing += 1
        guard !entry.isBenchmark else {
          found.check(benchmarks[sweep]?.contains(job) == true, "\(job) is missing among the benchmarks of \(sweep)")
          continue
        }
        let line = lines[sweep]
        found.check(line?.jobs.priority(of: job) == -entry.remainingCost, "\(job) is misplaced in the line of \(sweep)")
        guard let holder = entry.holder else { continue }
        held += 1
        let place = line?.held[holder]?.priority(of: job)
        found.check(place == -entry.remainingCost, "\(job) is misplaced among what \(holder) holds of \(sweep)")
      }
    }
    let lined = lines.values.reduce(0) { $0 + $1.jobs.count } + benchmarks.values.reduce(0) { $0 + $1.count }
    found.check(lined == standing, "\(lined) places in lines are taken, not \(standing)")
    let shelved = lines.values.reduce(0) { $0 + $1.held.values.reduce(0) { $0 + $1.count } }
    found.check(shelved == held, "\(shelved) jobs are listed with who holds their input, not \(held)")
    let turnCount = turns.values.reduce(0) { $0 + $1.count }
    found.check(turnCount == lines.count, "\(turnCount) sweeps have a turn, not \(lines.count)")
    found.check(turns.allSatisfy { $0.key.isEmpty || !$0.value.isEmpty }, "the turns of a former placement are kept")
    for (sweep, line) in lines {
      found.check(
        !line.jobs.isEmpty && line.held.values.allSatisfy { !$0.isEmpty }, "an empty line of \(sweep) is kept")
      let turn = turns[line.placement]?.priority(of: sweep)
      found.check(turn == claim(sweep).turn, "\(sweep) has the turn of a former number of jobs")
      found.check(line.placement == claim(sweep).placement, "\(sweep) waits for the workers of a former placement")
    }
    found.check(benchmarks.values.allSatisfy { !$0.isEmpty }, "an empty line of benchmarks is kept")
    for deadline in deadlines.keys {
      switch deadline {
      case .retry: break
      case .benchmark(let sweep): found.check(benchmarks[sweep] != nil, "\(sweep) waits for no benchmark")
      case .lease, .silence, .forget, .box, .repair: found.add("\(deadline) is not the queue's")
      }
    }
    return found
  }

  /// Breaks an index, so that it can be shown that `validate` notices.
  mutating func misplace() {
    for sweep in lines.keys { lines[sweep]!.held = [:] }
  }
}
