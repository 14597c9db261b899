import Sweep

/// The jobs that could start, a line for each sweep, and whose turn it is.
///
/// The sweep of the highest priority goes first; among equals the one with the fewest running jobs, and among those the
/// one that has stood there longest. Within a sweep the longest remaining way goes first, and within equally long ways
/// the order is that in which they came. A job of several sweeps stands in each of their lines.
///
/// Benchmarks stand apart, because they wait for one box rather than for any slot.
struct JobQueue: Sendable {
  /// A sweep's claim to the next free slot; lesser ones go first.
  struct Turn: Comparable, Sendable {
    let priority: Int
    let running: Int
    static func < (a: Turn, b: Turn) -> Bool {
      a.priority != b.priority ? a.priority > b.priority : a.running < b.running
    }
  }

  private struct Line: Sendable {
    var jobs = KeyedQueue<Int, Int>()
    /// The same jobs once more, under the worker that already holds their parent's model.
    var held: [WorkerID: KeyedQueue<Int, Int>] = [:]
  }

  private var lines: [Int: Line] = [:]
  private var turns = KeyedQueue<Int, Turn>()
  /// Under whom a job stands in `held`.
  private var holders: [Int: WorkerID] = [:]
  private var benchmarks: [Int: KeyedQueue<Int, Int>] = [:]

  var isEmpty: Bool { lines.isEmpty }
  /// The sweep whose turn it is.
  var firstSweep: Int? { turns.first?.key }
  /// The sweeps that have benchmarks waiting, in no order.
  var benchmarkedSweeps: some Collection<Int> { benchmarks.keys }

  func first(of sweep: Int) -> Int? { lines[sweep]?.jobs.first?.key }
  func firstHeld(by worker: WorkerID, of sweep: Int) -> Int? { lines[sweep]?.held[worker]?.first?.key }
  func firstBenchmark(of sweep: Int) -> Int? { benchmarks[sweep]?.first?.key }

  /// A job that stands there already keeps its place, unless its way has become longer.
  mutating func insert(_ job: Int, of sweep: Int, remainingCost: Int, holder: WorkerID?, turn: Turn) {
    guard lines[sweep]?.jobs.priority(of: job) != -remainingCost else { return }
    if lines[sweep] == nil { turns.set(sweep, turn) }
    lines[sweep, default: Line()].jobs.set(job, -remainingCost)
    if let holder {
      lines[sweep]!.held[holder, default: KeyedQueue()].set(job, -remainingCost)
      holders[job] = holder
    }
  }

  mutating func remove(_ job: Int, of sweep: Int) {
    guard lines[sweep] != nil else { return }
    lines[sweep]!.jobs.remove(job)
    if let holder = holders[job] {
      lines[sweep]!.held[holder]?.remove(job)
      if lines[sweep]!.held[holder]?.isEmpty == true { lines[sweep]!.held[holder] = nil }
    }
    if lines[sweep]!.jobs.isEmpty { removeLine(of: sweep) }
  }

  /// To be called when the job stands in no line any more.
  mutating func forgetHolder(of job: Int) { holders[job] = nil }

  mutating func setTurn(_ sweep: Int, _ turn: Turn) { if lines[sweep] != nil { turns.set(sweep, turn) } }

  private mutating func removeLine(of sweep: Int) {
    lines[sweep] = nil
    turns.remove(sweep)
  }

  mutating func insertBenchmark(_ job: Int, of sweep: Int) { benchmarks[sweep, default: KeyedQueue()].set(job, 0) }

  mutating func removeBenchmark(_ job: Int, of sweep: Int) {
    benchmarks[sweep]?.remove(job)
    if benchmarks[sweep]?.isEmpty == true { benchmarks[sweep] = nil }
  }

  mutating func removeAll(of sweep: Int) {
    removeLine(of: sweep)
    benchmarks[sweep] = nil
  }
}

extension CoordinatorBrain {
  /// Lets the job stand in line for each active sweep that wants it, if its inputs can be had.
  mutating func enqueue(_ job: Int) {
    guard unavailableInput(of: job) == nil else { return }
    let holder = holder(of: job)
    for sweep in jobs[job].sweeps where sweeps[sweep].isActive {
      guard jobs[job].stage == .benchmark else {
        queue.insert(job, of: sweep, remainingCost: jobs[job].remainingCost, holder: holder, turn: turn(of: sweep))
        continue
      }
      if queue.firstBenchmark(of: sweep) == nil {
        deadlines.set(.benchmark(sweep: sweep), now.advanced(byMilliseconds: policy.benchmarkPatienceMilliseconds))
      }
      queue.insertBenchmark(job, of: sweep)
    }
  }

  mutating func dequeue(_ job: Int) {
    for sweep in jobs[job].sweeps {
      guard jobs[job].stage == .benchmark else {
        queue.remove(job, of: sweep)
        continue
      }
      queue.removeBenchmark(job, of: sweep)
      if queue.firstBenchmark(of: sweep) == nil { deadlines.remove(.benchmark(sweep: sweep)) }
    }
    queue.forgetHolder(of: job)
  }

  /// The sweep's jobs stand in line again.
  mutating func openLine(of sweep: Int) {
    for job in sweeps[sweep].jobs where couldStart(job) { enqueue(job) }
  }

  /// Nothing is started for the sweep any more.
  mutating func closeLine(of sweep: Int) {
    queue.removeAll(of: sweep)
    deadlines.remove(.benchmark(sweep: sweep))
  }

  /// Whether nothing but a slot and its sweep's word is missing.
  func couldStart(_ job: Int) -> Bool {
    switch jobs[job].state {
    case .ready: !deadlines.contains(.retry(job: job))
    case .leased(let number): attempts[number]?.isOrphaned == true
    case .waiting, .succeeded, .failed, .blocked, .cancelled: false
    }
  }

  func turn(of sweep: Int) -> JobQueue.Turn {
    JobQueue.Turn(priority: sweeps[sweep].priority, running: sweeps[sweep].running)
  }

  /// A job that runs counts for every sweep that wants it.
  mutating func countRunning(_ change: Int, of job: Int) {
    for sweep in jobs[job].sweeps { countRunning(change, for: sweep) }
  }

  mutating func countRunning(_ change: Int, for sweep: Int) {
    sweeps[sweep].running += change
    queue.setTurn(sweep, turn(of: sweep))
  }

  /// The worker that made the job's input and has it in its cache.
  func holder(of job: Int) -> WorkerID? { jobs[job].parent.flatMap { jobs[$0].success?.worker } }
}
