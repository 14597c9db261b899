import Sweep

/// The jobs that could start: the longest remaining way first, and within equally long ways in the order they came.
///
/// Benchmarks stand apart, by sweep, because they wait for one box rather than for any slot.
struct JobQueue: Sendable {
  private var jobs = KeyedQueue<Int, Int>()
  /// The same jobs once more, under the worker that already holds their parent's model.
  private var held: [WorkerID: KeyedQueue<Int, Int>] = [:]
  private var benchmarks: [Int: KeyedQueue<Int, Int>] = [:]

  var isEmpty: Bool { jobs.isEmpty }
  /// The most urgent job that is no benchmark.
  var first: Int? { jobs.first?.key }
  /// The sweeps that have benchmarks waiting, in order.
  var benchmarkedSweeps: [Int] { benchmarks.keys.sorted() }

  func contains(_ job: Int) -> Bool { jobs.contains(job) }
  func firstHeld(by worker: WorkerID) -> Int? { held[worker]?.first?.key }
  func firstBenchmark(of sweep: Int) -> Int? { benchmarks[sweep]?.first?.key }

  mutating func insert(_ job: Int, remainingCost: Int, holder: WorkerID?) {
    jobs.set(job, -remainingCost)
    if let holder { held[holder, default: KeyedQueue()].set(job, -remainingCost) }
  }

  mutating func remove(_ job: Int, holder: WorkerID?) {
    jobs.remove(job)
    guard let holder else { return }
    held[holder]?.remove(job)
    if held[holder]?.isEmpty == true { held[holder] = nil }
  }

  mutating func insertBenchmark(_ job: Int, of sweep: Int) { benchmarks[sweep, default: KeyedQueue()].set(job, 0) }

  mutating func removeBenchmark(_ job: Int, of sweep: Int) {
    benchmarks[sweep]?.remove(job)
    if benchmarks[sweep]?.isEmpty == true { benchmarks[sweep] = nil }
  }
}

extension CoordinatorBrain {
  mutating func enqueue(_ job: Int) {
    if jobs[job].stage == .benchmark {
      if queue.firstBenchmark(of: jobs[job].sweep) == nil {
        let patience = now.advanced(byMilliseconds: policy.benchmarkPatienceMilliseconds)
        deadlines.set(.benchmark(sweep: jobs[job].sweep), patience)
      }
      queue.insertBenchmark(job, of: jobs[job].sweep)
    } else {
      queue.insert(job, remainingCost: jobs[job].remainingCost, holder: holder(of: job))
    }
  }

  mutating func dequeue(_ job: Int) {
    if jobs[job].stage == .benchmark {
      queue.removeBenchmark(job, of: jobs[job].sweep)
      if queue.firstBenchmark(of: jobs[job].sweep) == nil { deadlines.remove(.benchmark(sweep: jobs[job].sweep)) }
    } else {
      queue.remove(job, holder: holder(of: job))
    }
  }

  /// The worker that made the job's input and has it in its cache.
  func holder(of job: Int) -> WorkerID? { jobs[job].parent.flatMap { jobs[$0].success?.worker } }
}
