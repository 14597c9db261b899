import Bytes
import Fleet
import Sweep

/// Jobs and sweeps as the journal tells them, with as little of the brain's thinking as possible.
struct ObservedJobs: Sendable {
  private struct Node: Sendable {
    let sources: [JobKey]
    let isBenchmark: Bool
    var sweeps: [SweepID]
  }

  private struct SweepState: Sendable {
    var isSubmitted = false
    var mode = SweepMode.active
    var priority = 0
    var placement = SweepPlacement()
    var isActive: Bool { isSubmitted && mode == .active }
  }

  private var nodes: [JobKey: Node] = [:]
  private var labels: [WorkerID: [String: String]] = [:]
  private var sweeps: [SweepID: SweepState] = [:]
  private let submitted: [SweepID: SweepSpec]
  private var datasets: [JobKey: Digest] = [:]
  private let jobsOfSweep: [SweepID: [JobKey]]
  private var live: [AttemptNumber: JobKey] = [:]
  private var running: Set<JobKey> = []
  private var done: Set<JobKey> = []
  private var givenUp: Set<JobKey> = []
  /// They may be pausing after a failure or too many fruitless attempts, which the journal does not tell.
  private var failedBefore: Set<JobKey> = []
  private var fruitless: [JobKey: Int] = [:]
  /// The jobs whose inputs were lost since they last began, and may not be there yet, which the journal does not tell.
  private var heldUp: Set<JobKey> = []
  /// Attempts that were decided before what they need was lost, though written after it.
  private var decidedBefore: Set<AttemptNumber> = []
  private var models: [JobKey: Digest] = [:]
  private var checkpoints: [JobKey: Digest] = [:]

  init(_ trees: [StageTree]) {
    submitted = Dictionary(uniqueKeysWithValues: trees.map { ($0.sweep, $0.submission.spec) })
    jobsOfSweep = Dictionary(uniqueKeysWithValues: trees.map { ($0.sweep, $0.nodes.map(\.key)) })
    for tree in trees {
      sweeps[tree.sweep] = SweepState()
      for node in tree.nodes {
        datasets[node.key] = tree.submission.dataset.digest
        let known = nodes[node.key]?.sweeps ?? []
        nodes[node.key] = Node(
          sources: node.sources.map { tree.nodes[$0].key }, isBenchmark: node.stage == .benchmark,
          sweeps: known + [tree.sweep])
      }
    }
  }

  mutating func observe(_ record: Record) {
    switch record {
    case .sweepSubmitted(let id, let submission):
      sweeps[id]!.isSubmitted = true
      sweeps[id]!.mode = .active
      if let priority = submitted[id]!.priority { sweeps[id]!.priority = priority }
      sweeps[id]!.placement = submission.spec.placement
      for job in jobsOfSweep[id]! where givenUp.remove(job) != nil { failedBefore.remove(job) }
    case .sweepCancelled(let id):
      sweeps[id]!.isSubmitted = false
      for (attempt, job) in live where !isWanted(job) { end(attempt) }
    case .sweepSteered(let id, let mode): sweeps[id]!.mode = mode
    case .sweepPrioritized(let id, let priority): sweeps[id]!.priority = priority
    case .sweepPlaced(let id, let placement): sweeps[id]!.placement = placement
    case .attemptStarted(let attempt, let job, _, _):
      live[attempt] = job
      running.insert(job)
      if decidedBefore.remove(attempt) == nil { heldUp.remove(job) }
    case .attemptEnded(let attempt, let job, let outcome):
      end(attempt)
      fruitless[job, default: 0] += 1
      if case .failed = outcome { failedBefore.insert(job) }
      if fruitless[job]! >= FleetPolicy().failureLimit { failedBefore.insert(job) }
    case .jobSucceeded(let attempt, let job, _, let result):
      end(attempt)
      done.insert(job)
      models[job] = result.artifact(.model)?.digest
    case .checkpointStored(_, let job, let checkpoint): checkpoints[job] = checkpoint.artifact.digest
    case .artifactsLost(let artifacts):
      // The jobs that are needed run again; only the brain knows which ones they are.
      let lost = done.filter { models[$0].map(artifacts.contains) == true }
      done.subtract(lost)
      heldUp.formUnion(lost)
    case .jobFailed(let job, _): givenUp.insert(job)
    case .jobsRetried(let jobs):
      givenUp.subtract(jobs)
      failedBefore.subtract(jobs)
    case .benchmarkBoxChosen(let id, _): for job in jobsOfSweep[id]! where nodes[job]!.isBenchmark { done.remove(job) }
    default: break
    }
  }

  mutating func lose(_ digests: [Digest], unwritten: Set<AttemptNumber>) {
    let lost = Set(digests)
    decidedBefore.formUnion(unwritten)
    for (job, node) in nodes {
      let needed = [datasets[job], checkpoints[job]] + node.sources.map { models[$0] }
      if needed.contains(where: { $0.map(lost.contains) == true }) { heldUp.insert(job) }
    }
  }

  /// Forgets the attempts that were not written: they are gone, and their numbers are given again.
  mutating func crash() { decidedBefore = [] }

  private mutating func end(_ attempt: AttemptNumber) {
    if let job = live.removeValue(forKey: attempt) { running.remove(job) }
  }

  private func isWanted(_ job: JobKey) -> Bool { nodes[job]!.sweeps.contains { sweeps[$0]!.isSubmitted } }

  func isBenchmark(_ job: JobKey) -> Bool { nodes[job]!.isBenchmark }

  mutating func enroll(_ worker: WorkerID, _ labels: [String: String]) { self.labels[worker] = labels }

  /// The sweeps that want the job and may start it.
  func activeSweeps(of job: JobKey) -> [SweepID] { nodes[job]!.sweeps.filter { sweeps[$0]!.isActive } }

  /// The sweeps that want the job and may start it on the worker.
  func activeSweeps(of job: JobKey, on worker: WorkerID) -> [SweepID] {
    activeSweeps(of: job).filter { sweeps[$0]!.placement.admits(labels[worker]!) }
  }

  func priority(of sweep: SweepID) -> Int { sweeps[sweep]!.priority }

  func runningCount(of sweep: SweepID) -> Int { jobsOfSweep[sweep]!.count(where: running.contains) }

  /// No worker may be there that can measure the sweep's objectives.
  private func mayBeHeld(_ sweep: SweepID) -> Bool {
    submitted[sweep]!.objectives.contains { $0.metric == .energyJ }
  }

  /// Jobs that any free slot could take at this moment. (Not all: those that may be pausing or held are left out.)
  var ready: [JobKey] {
    nodes.keys.filter { job in
      !running.contains(job) && !done.contains(job) && !givenUp.contains(job) && !failedBefore.contains(job)
        && !heldUp.contains(job) && !nodes[job]!.isBenchmark && nodes[job]!.sources.allSatisfy(done.contains)
        && !activeSweeps(of: job).isEmpty && !activeSweeps(of: job).contains(where: mayBeHeld)
    }
  }
}

/// Nothing starts that only paused, stopped or cancelled sweeps want.
struct PausedSweepsStartNothing: Checker {
  let promise = "a paused or stopped sweep starts nothing"
  private var jobs: ObservedJobs

  init(trees: [StageTree]) { jobs = ObservedJobs(trees) }

  mutating func observe(_ observation: Observation) -> String? {
    guard case .durable(let records) = observation else { return nil }
    for record in records {
      if case .attemptStarted(let attempt, let job, _, _) = record, jobs.activeSweeps(of: job).isEmpty {
        return "\(attempt) started at \(job.short), which no active sweep wants"
      }
      jobs.observe(record)
    }
    return nil
  }
}

/// Checks that jobs are given only to workers that a sweep which wants them admits.
struct RequirementsAreMet: Checker {
  let promise = "no attempt is given to a worker that lacks a required label"
  private var jobs: ObservedJobs

  init(trees: [StageTree]) { jobs = ObservedJobs(trees) }

  mutating func observe(_ observation: Observation) -> String? {
    if case .enrolled(let worker, _, _, let labels) = observation { jobs.enroll(worker, labels) }
    guard case .durable(let records) = observation else { return nil }
    for record in records {
      if case .attemptStarted(let attempt, let job, let worker, _) = record,
        jobs.activeSweeps(of: job, on: worker).isEmpty
      {
        return "\(attempt) started at \(job.short) on \(worker), whose labels none of its sweeps admits"
      }
      jobs.observe(record)
    }
    return nil
  }
}

/// Checks which job gets a free slot.
struct SlotsGoWhereTheyShould: Checker {
  let promise = "higher priority goes first, and sweeps of equal priority share the slots"
  private var jobs: ObservedJobs

  init(trees: [StageTree]) { jobs = ObservedJobs(trees) }

  mutating func observe(_ observation: Observation) -> String? {
    switch observation {
    case .lost(let digests, let unwritten): jobs.lose(digests, unwritten: unwritten)
    case .crashed: jobs.crash()
    case .enrolled(let worker, _, _, let labels): jobs.enroll(worker, labels)
    default: break
    }
    guard case .durable(let records) = observation else { return nil }
    for record in records {
      if case .attemptStarted(let attempt, let job, let worker, _) = record, let problem = problem(attempt, job, worker)
      {
        return problem
      }
      jobs.observe(record)
    }
    return nil
  }

  private func problem(_ attempt: AttemptNumber, _ job: JobKey, _ worker: WorkerID) -> String? {
    func sweeps(of job: JobKey) -> [SweepID] { jobs.activeSweeps(of: job, on: worker) }
    guard let priority = sweeps(of: job).map(jobs.priority(of:)).max() else { return nil }
    let mine = sweeps(of: job).filter { jobs.priority(of: $0) == priority }
    let running = mine.map { jobs.runningCount(of: $0) }.min() ?? 0
    for other in jobs.ready where other != job {
      guard let others = sweeps(of: other).map(jobs.priority(of:)).max() else { continue }
      if others > priority {
        return "\(attempt) started at \(job.short) (\(priority)) while \(other.short) (\(others)) was ready"
      }
      guard others == priority, !jobs.isBenchmark(job) else { continue }
      for sweep in sweeps(of: other) where jobs.priority(of: sweep) == priority && !mine.contains(sweep) {
        let waiting = jobs.runningCount(of: sweep)
        if waiting < running {
          return "\(attempt) started at \(job.short) of \(mine) (\(running) running), not \(sweep) (\(waiting) running)"
        }
      }
    }
    return nil
  }
}

/// A job that takes worker after worker along is set aside.
struct PoisonIsSetAside: Checker {
  let promise = "a job that keeps taking its workers along is set aside"
  private let limit: Int
  private let jobsOfSweep: [SweepID: [JobKey]]
  private var losses: [JobKey: Set<AttemptNumber>] = [:]

  init(trees: [StageTree], limit: Int) {
    self.limit = limit
    jobsOfSweep = Dictionary(uniqueKeysWithValues: trees.map { ($0.sweep, $0.nodes.map(\.key)) })
  }

  mutating func observe(_ observation: Observation) -> String? {
    guard case .durable(let records) = observation else { return nil }
    for record in records {
      switch record {
      case .attemptEnded(let attempt, let job, .lost): losses[job, default: []].insert(attempt)
      case .attemptSurvived(let attempt, let job): losses[job]?.remove(attempt)
      case .checkpointStored(_, let job, _), .jobSucceeded(_, let job, _, _): losses[job] = nil
      case .jobsRetried(let jobs): for job in jobs { losses[job] = nil }
      case .sweepSubmitted(let sweep, _): for job in jobsOfSweep[sweep]! { losses[job] = nil }
      case .attemptStarted(let attempt, let job, _, _):
        let count = losses[job]?.count ?? 0
        if count >= limit { return "\(attempt) started at \(job.short), with which \(count) workers had vanished" }
      default: break
      }
    }
    return nil
  }
}

/// The newer of two processes with one identity waits until the other has fallen silent.
struct TwinsDoNotFight: Checker {
  let promise = "a process is not thrown out by another one with its identity while it is heard"
  private let patience: Int64

  init(patience: Int64) { self.patience = patience }

  mutating func observe(_ observation: Observation) -> String? {
    guard case .welcomed(let worker, let silence?) = observation, silence < patience else { return nil }
    return "\(worker) was welcomed from another process, \(silence) ms after it was last heard"
  }
}

/// Nothing starts that only sweeps want whose objectives nobody can measure.
struct UnmeasurableSweepsStartNothing: Checker {
  let promise = "a sweep starts nothing while no worker can measure its objectives"
  private var jobs: ObservedJobs
  private let needs: [SweepID: [String]]
  private var metrics: [WorkerID: [String]?] = [:]

  init(trees: [StageTree]) {
    jobs = ObservedJobs(trees)
    needs = Dictionary(
      uniqueKeysWithValues: trees.map { tree in
        (tree.sweep, tree.submission.spec.objectives.map(\.metric.rawValue))
      })
  }

  mutating func observe(_ observation: Observation) -> String? {
    switch observation {
    case .announces(let worker, let metrics): self.metrics[worker] = .some(metrics)
    case .crashed: metrics = [:]
    case .durable(let records):
      for record in records {
        if case .attemptStarted(let attempt, let job, _, _) = record, !metrics.isEmpty,
          jobs.activeSweeps(of: job).allSatisfy({ !isMeasurable($0) })
        {
          return "\(attempt) started at \(job.short), which nobody can measure"
        }
        jobs.observe(record)
      }
    default: break
    }
    return nil
  }

  private func isMeasurable(_ sweep: SweepID) -> Bool {
    needs[sweep]!.allSatisfy { need in metrics.values.contains { $0?.contains(need) ?? true } }
  }
}

/// A peer that speaks an older protocol hears nothing it does not know.
struct OldWorkersAreSpared: Checker {
  let promise = "a worker is told only what its protocol has"
  private var versions: [WorkerID: Int] = [:]

  mutating func observe(_ observation: Observation) -> String? {
    switch observation {
    case .speaks(let worker, let version): versions[worker] = version
    case .said(.handBack(let attempt), let worker):
      if versions[worker]! < 2 { return "\(worker) was told to hand \(attempt) back" }
    case .said(.bringBack(let artifact), let worker):
      if versions[worker]! < 3 { return "\(worker) was asked for \(artifact.digest)" }
    default: break
    }
    return nil
  }
}
