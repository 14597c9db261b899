import Bytes
import Fleet
import Sweep

/// States one promise. `observe` returns what is wrong, or nil.
protocol Checker: Sendable {
  var promise: String { get }
  mutating func observe(_ observation: Observation) -> String?
}

/// Which jobs somebody wants, told from the journal: attempts at others end with the cancellation.
struct WantedJobs: Sendable {
  private let jobs: [SweepID: Set<JobKey>]
  let benchmarks: [SweepID: Set<JobKey>]
  private var active: Set<SweepID> = []

  init(_ trees: [StageTree]) {
    jobs = Dictionary(uniqueKeysWithValues: trees.map { ($0.sweep, Set($0.nodes.map(\.key))) })
    benchmarks = Dictionary(
      uniqueKeysWithValues: trees.map { ($0.sweep, Set($0.nodes.filter { $0.stage == .benchmark }.map(\.key))) })
  }

  mutating func observe(_ record: Record) {
    if case .sweepSubmitted(let sweep, _) = record { active.insert(sweep) }
    if case .sweepCancelled(let sweep) = record { active.remove(sweep) }
  }

  func contains(_ job: JobKey) -> Bool { active.contains { jobs[$0]!.contains(job) } }
  func isBenchmark(_ job: JobKey) -> Bool { benchmarks.values.contains { $0.contains(job) } }
}

/// Everything that was acknowledged is on the disk, also after a crash.
struct NothingAcknowledgedIsLost: Checker {
  let promise = "nothing acknowledged is lost"

  private enum Fact: Hashable {
    case sweep(SweepID)
    case epoch(AttemptNumber, Int)
    case checkpoint(AttemptNumber, Int)
    case end(AttemptNumber)
  }
  private var durable: Set<Fact> = []
  private var acknowledged: Set<Fact> = []

  mutating func observe(_ observation: Observation) -> String? {
    switch observation {
    case .durable(let records): for record in records { remember(record) }
    case .said(.metricsAcknowledged(let attempt, let epoch), _): acknowledged.insert(.epoch(attempt, epoch))
    case .said(.checkpointAcknowledged(let attempt, let epoch), _): acknowledged.insert(.checkpoint(attempt, epoch))
    case .said(.attemptAcknowledged(let attempt, accepted: true), _): acknowledged.insert(.end(attempt))
    case .answered(.submitted(let sweep, _, _)): acknowledged.insert(.sweep(sweep))
    case .crashed, .ended:
      for fact in acknowledged.subtracting(durable) where !isOutdated(fact) { return "\(fact) is not in the journal" }
      acknowledged = []
    default: break
    }
    return nil
  }

  private mutating func remember(_ record: Record) {
    switch record {
    case .sweepSubmitted(let sweep, _): durable.insert(.sweep(sweep))
    case .epochFinished(let attempt, _, let metrics): durable.insert(.epoch(attempt, metrics.epoch))
    case .checkpointStored(let attempt, _, let checkpoint): durable.insert(.checkpoint(attempt, checkpoint.epoch))
    case .jobSucceeded(let attempt, _, _, _), .attemptEnded(let attempt, _, _): durable.insert(.end(attempt))
    default: break
    }
  }

  /// An older epoch is acknowledged without being written, when a newer one is on the disk.
  private func isOutdated(_ fact: Fact) -> Bool {
    switch fact {
    case .epoch(let attempt, let epoch):
      durable.contains { if case .epoch(attempt, let newer) = $0 { newer > epoch } else { false } }
    case .checkpoint(let attempt, let epoch):
      durable.contains { if case .checkpoint(attempt, let newer) = $0 { newer > epoch } else { false } }
    case .sweep, .end: false
    }
  }
}

/// A job is done once, by the attempt that was live.
struct OneResultPerJob: Checker {
  let promise = "one accepted result per job"
  private var done: [JobKey: AttemptNumber] = [:]
  private var models: [JobKey: Digest] = [:]
  private let benchmarks: [SweepID: Set<JobKey>]

  init(trees: [StageTree]) { benchmarks = WantedJobs(trees).benchmarks }

  mutating func observe(_ observation: Observation) -> String? {
    guard case .durable(let records) = observation else { return nil }
    for record in records {
      switch record {
      case .attemptStarted(let attempt, let job, _, _):
        if let other = done[job] { return "\(attempt) started at \(job.short), which \(other) had finished" }
      case .jobSucceeded(let attempt, let job, _, let result):
        if let other = done.updateValue(attempt, forKey: job) {
          return "\(attempt) finished \(job.short), which \(other) had finished"
        }
        models[job] = result.artifact(.model)?.digest
      // Lost models are made again.
      case .artifactsLost(let artifacts): done = done.filter { models[$0.key].map(artifacts.contains) != true }
      // Measured again, on another box.
      case .benchmarkBoxChosen(let sweep, _): for job in benchmarks[sweep]! { done[job] = nil }
      default: break
      }
    }
    return nil
  }
}

/// Fencing: numbers only grow; a job has one live attempt; only that attempt's own result counts.
struct NoStaleResults: Checker {
  let promise = "no result from a stale attempt"
  private let attemptOfLog: @Sendable (Digest) -> UInt64?

  private var last = AttemptNumber(0)
  private var live: [JobKey: AttemptNumber] = [:]
  private var models: [JobKey: Digest] = [:]
  private var wanted: WantedJobs
  /// Sent to a worker: then the number must not mean anything else, ever.
  private var heard: [AttemptNumber: JobKey] = [:]

  init(trees: [StageTree], attemptOfLog: @escaping @Sendable (Digest) -> UInt64?) {
    wanted = WantedJobs(trees)
    self.attemptOfLog = attemptOfLog
  }

  mutating func observe(_ observation: Observation) -> String? {
    switch observation {
    case .durable(let records):
      for record in records { if let problem = check(record) { return problem } }
    case .said(.assign(let assignment), _):
      if let job = heard.updateValue(assignment.job, forKey: assignment.attempt), job != assignment.job {
        return "attempt \(assignment.attempt) was \(job.short) and is now \(assignment.job.short)"
      }
    default: break
    }
    return nil
  }

  private mutating func check(_ record: Record) -> String? {
    wanted.observe(record)
    switch record {
    case .attemptStarted(let attempt, let job, _, _):
      if attempt <= last { return "attempt \(attempt) came after \(last)" }
      if let other = live[job] { return "\(attempt) started at \(job.short) while \(other) was live" }
      last = attempt
      live[job] = attempt
    case .attemptEnded(let attempt, let job, _):
      if live[job] != attempt { return "\(attempt) ended at \(job.short) and was not live" }
      live[job] = nil
    case .jobSucceeded(let attempt, let job, _, let result):
      if live[job] != attempt { return "\(attempt) finished \(job.short) and was not its live attempt" }
      if let log = result.artifact(.log), attemptOfLog(log.digest) != attempt.value {
        return "the result of \(attempt) at \(job.short) was made by another attempt"
      }
      live[job] = nil
      if let model = result.artifact(.model)?.digest {
        if let former = models.updateValue(model, forKey: job), former != model {
          return "\(attempt) at \(job.short) came to another model than the attempt before"
        }
      }
    case .sweepCancelled: live = live.filter { wanted.contains($0.key) }
    default: break
    }
    return nil
  }
}

/// A new attempt goes on from the newest checkpoint that was acknowledged for its job.
struct ResumesFromNewestCheckpoint: Checker {
  let promise = "a resumed stage starts at the newest acknowledged checkpoint"

  private var jobs: [AttemptNumber: JobKey] = [:]
  private var stored: [JobKey: Checkpoint] = [:]
  private var acknowledged: [JobKey: Int] = [:]

  mutating func observe(_ observation: Observation) -> String? {
    switch observation {
    case .durable(let records):
      for record in records {
        if case .checkpointStored(_, let job, let checkpoint) = record { stored[job] = checkpoint }
        if case .artifactsLost(let artifacts) = record { forget(artifacts) }
        // A job that is done has none; if its model is lost, it begins anew.
        if case .jobSucceeded(_, let job, _, _) = record { (stored[job], acknowledged[job]) = (nil, nil) }
      }
    case .said(.checkpointAcknowledged(let attempt, let epoch), _):
      guard let job = jobs[attempt] else { return nil }
      acknowledged[job] = max(acknowledged[job] ?? 0, epoch)
    case .said(.assign(let assignment), _):
      jobs[assignment.attempt] = assignment.job
      let expected = stored[assignment.job]
      guard (expected?.epoch ?? 0) >= acknowledged[assignment.job] ?? 0 else {
        return "the checkpoint of \(assignment.job.short) at epoch \(acknowledged[assignment.job]!) is gone"
      }
      guard assignment.input(.resume) == expected?.artifact else {
        return "\(assignment.attempt) at \(assignment.job.short) does not resume from epoch \(expected?.epoch ?? 0)"
      }
    default: break
    }
    return nil
  }

  private mutating func forget(_ lost: [Digest]) {
    for (job, checkpoint) in stored where lost.contains(checkpoint.artifact.digest) {
      stored[job] = nil
      acknowledged[job] = nil
    }
  }
}

/// Latencies of a sweep come from one box, which runs nothing else meanwhile.
struct BenchmarksRunAlone: Checker {
  let promise = "benchmarks run alone, and all of a sweep on one box"

  private var boxes: [WorkerID: BoxID] = [:]
  private var wanted: WantedJobs
  private var running: [AttemptNumber: (job: JobKey, box: BoxID)] = [:]

  private var measured: [JobKey: BoxID] = [:]

  init(trees: [StageTree]) { wanted = WantedJobs(trees) }

  mutating func observe(_ observation: Observation) -> String? {
    switch observation {
    case .enrolled(let worker, let box, _, _): boxes[worker] = box
    case .durable(let records):
      for record in records { if let problem = check(record) { return problem } }
    default: break
    }
    return nil
  }

  private mutating func check(_ record: Record) -> String? {
    wanted.observe(record)
    switch record {
    case .attemptStarted(let attempt, let job, let worker, _):
      let box = boxes[worker]!
      for other in running.values where other.box == box {
        if wanted.isBenchmark(job) || wanted.isBenchmark(other.job) {
          return "\(job.short) and \(other.job.short), one of them a benchmark, run together on \(box)"
        }
      }
      running[attempt] = (job, box)
    case .attemptEnded(let attempt, _, _): running[attempt] = nil
    case .jobSucceeded(let attempt, let job, _, _):
      if wanted.isBenchmark(job), let box = running[attempt]?.box { measured[job] = box }
      running[attempt] = nil
    case .sweepCancelled: running = running.filter { wanted.contains($0.value.job) }
    case .benchmarkBoxChosen(let sweep, _): for job in wanted.benchmarks[sweep]! { measured[job] = nil }
    default: break
    }
    for jobs in wanted.benchmarks.values where Set(jobs.compactMap { measured[$0] }).count > 1 {
      return "benchmarks of one sweep were measured on several boxes"
    }
    return nil
  }
}

/// A stage that says that it cannot be done is not tried again, unless somebody asks for it anew.
struct RefusalsAreFinal: Checker {
  let promise = "a final failure is not retried"

  /// The message of stages that refuse, whatever becomes of the mark beside it.
  static let words = "it cannot be done"

  private let jobs: [SweepID: Set<JobKey>]
  private var refused: Set<JobKey> = []

  init(trees: [StageTree]) {
    jobs = Dictionary(uniqueKeysWithValues: trees.map { ($0.sweep, Set($0.nodes.map(\.key))) })
  }

  mutating func observe(_ observation: Observation) -> String? {
    guard case .durable(let records) = observation else { return nil }
    for record in records {
      switch record {
      case .attemptEnded(_, let job, .failed(let failure)) where failure.message == Self.words: refused.insert(job)
      case .attemptStarted(let attempt, let job, _, _) where refused.contains(job):
        return "\(attempt) started at \(job.short), which had refused"
      case .jobsRetried(let jobs): refused.subtract(jobs)
      case .sweepSubmitted(let sweep, _): refused.subtract(jobs[sweep]!)
      default: break
      }
    }
    return nil
  }
}
