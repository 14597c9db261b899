import Bytes
import Sweep
import Wording

/// The requests of operators. Reading costs as much as the answer is long; only these requests ever scan a sweep.
extension CoordinatorBrain {
  mutating func answer(_ request: OperatorRequest, from connection: ConnectionID, missing: [Digest]) {
    emit(.respond(response(to: request, missing: missing), to: connection))
  }

  private mutating func response(to request: OperatorRequest, missing: [Digest]) -> OperatorResponse {
    do {
      if let response = try readingOrRefusal(request) { return response }
      switch request {
      case .submit(let submission): return try submit(submission, missing)
      case .drain(let name, let isDraining): return try drain(name, isDraining)
      case .cancel(let name): return try cancel(findSweep(name))
      case .steer(let name, let mode): return try steer(findSweep(name), to: mode)
      case .prioritize(let name, let priority): return try prioritize(findSweep(name), priority)
      case .retry(let target): return try retry(target)
      case .store: return .refused(reason: "there is no store here")  // Shells that have one answer themselves.
      case .status, .results, .report, .workers, .logs, .pull: preconditionFailure("reading was answered above")
      }
    } catch {
      return .refused(reason: error.reason)
    }
  }

  /// Returns the answer to a request that changes nothing; nil for the others.
  func readingOrRefusal(_ request: OperatorRequest) throws(Refusal) -> OperatorResponse? {
    switch request {
    case .status(nil): return .sweeps(sweeps.indices.map(summary))
    case .status(let name?): return .sweep(status(of: try findSweep(name)))
    case .results(let name, let objectives): return .results(try table(of: findSweep(name), judgedBy: objectives))
    case .report(let name): return .report(report(of: try findSweep(name)))
    case .workers: return .workers(roster.workers.keys.sorted().map(status))
    case .logs(let key): return .logs(history(of: try findJob(key)))
    case .pull(let name): return try pull(name)
    case .submit, .drain, .cancel, .steer, .prioritize, .retry, .store: return nil
    }
  }

  private func table(of sweep: SweepIndex, judgedBy objectives: [Objective]?) throws(Refusal) -> ResultTable {
    guard let objectives else { return results(of: sweep) }
    guard (1...MessageBounds.objectives).contains(objectives.count) else {
      throw Refusal("name 1 to \(MessageBounds.objectives) objectives")
    }
    return results(of: sweep, judgedBy: objectives)
  }

  private mutating func submit(
    _ submission: SweepSubmission, _ missing: [Digest]
  ) throws(Refusal) -> OperatorResponse {
    if let problem = submission.problem { throw Refusal(problem) }
    guard missing.isEmpty else { return .artifactsMissing(missing) }
    for artifact in submission.artifacts { artifactStored(artifact.digest) }
    let id = submission.sweepID
    if let known = ledger.sweepOfID[id], !sweeps[known].isCancelled {
      if let priority = submission.spec.priority { setPriority(of: known, priority) }
      let limits = submission.spec.limits ?? [:]
      if sweeps[known].limits != limits { decide(.sweepLimited(sweep: id, limits: limits)) }
      let placement = submission.spec.placement
      if sweeps[known].placement != placement {
        decide(.sweepPlaced(sweep: id, placement: placement))
        refreshMeasurability(of: known)
      }
      return .submitted(sweep: id, isNew: false, notice: obstacle(to: known))
    }
    decide(.sweepSubmitted(sweep: id, submission: submission))
    let sweep = ledger.sweepOfID[id]!
    refreshMeasurability(of: sweep)
    return .submitted(sweep: id, isNew: true, notice: obstacle(to: sweep))
  }

  private mutating func drain(_ name: String, _ isDraining: Bool) throws(Refusal) -> OperatorResponse {
    let worker = try findWorker(name)
    if ledger.drainedWorkers.contains(worker) != isDraining {
      decide(.workerDrained(worker: worker, isDraining: isDraining))
      tell(worker, .drain(isDraining: isDraining))
    }
    let count = roster.attempts(of: worker).count
    return .done(
      message: isDraining
        ? "\(worker) takes nothing new and still has \(counted(count, "job"))" : "\(worker) takes jobs again")
  }

  private mutating func cancel(_ sweep: SweepIndex) throws(Refusal) -> OperatorResponse {
    guard !sweeps[sweep].isCancelled else { return .done(message: "\(sweeps[sweep].id) was cancelled before") }
    // The workers are told first, since the record ends the attempts.
    for job in sweeps[sweep].jobs where jobs[job].sweeps == [sweep] {
      if case .leased(let number) = jobs[job].state {
        tell(ledger.attempts[number]!.worker, .cancelAttempt(attempt: number, reason: .cancelled))
      }
    }
    decide(.sweepCancelled(sweep: sweeps[sweep].id))
    takeBackPausedJobs(of: sweep)
    return .done(message: "\(sweeps[sweep].id) is cancelled; submitting it again goes on where it stopped")
  }

  private mutating func retry(_ target: String) throws(Refusal) -> OperatorResponse {
    let candidates: [JobIndex]
    if let sweep = try? findSweep(target) {
      guard !sweeps[sweep].isCancelled else { throw Refusal("\(sweeps[sweep].id) is cancelled: submit it again") }
      candidates = sweeps[sweep].jobs
    } else {
      candidates = [try findJob(target)]
    }
    let failed = candidates.filter { job in
      if case .failed = jobs[job].state { !jobs[job].sweeps.isEmpty } else { false }
    }
    guard !failed.isEmpty else { return .done(message: "nothing of \(target) has failed") }
    decide(.jobsRetried(jobs: failed.map { jobs[$0].key }))
    let held = candidates.allSatisfy { !isWantedNow($0) } ? " once the sweep is resumed" : ""
    return .done(message: "\(counted(failed.count, "job")) to start anew\(held), with everything that waits")
  }

  private func pull(_ name: String) throws(Refusal) -> OperatorResponse {
    let (sweep, trial) = try findTrial(name)
    let tree = sweeps[sweep].tree
    let job = jobs[sweeps[sweep].jobs[tree.modelNode(ofTrial: trial)]]
    guard let result = job.success?.result else {
      throw Refusal("trial \(tree.trialIDs[trial]) has no model yet: its \(job.stage.rawValue) is \(job.state.phase)")
    }
    if let model = result.artifact(.model), isUnavailable(model.digest) {
      throw Refusal(
        "the store has lost the model of trial \(tree.trialIDs[trial]): ask again when a worker has brought it back or "
          + "it was made again")
    }
    return .artifacts(trial: tree.trialIDs[trial], model: job.key, artifacts: result.artifacts)
  }
}

// MARK: - Names people type

/// A request that cannot be granted, in words.
struct Refusal: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

extension CoordinatorBrain {
  private func only<T>(_ found: [T], _ kind: String, _ name: String) throws(Refusal) -> T {
    if found.count == 1 { return found[0] }
    throw Refusal(
      found.isEmpty ? "there is no \(kind) \(name)" : "\(found.count) \(kind)s begin with \(name): write more of it")
  }

  /// By its full name, or by a beginning that no other sweep shares; the latest of those with just that spec name.
  func findSweep(_ name: String) throws(Refusal) -> SweepIndex {
    if let exact = ledger.sweepOfID[SweepID(name)] { return exact }
    if let latest = sweeps.lastIndex(where: { $0.tree.submission.spec.name == name }) { return latest }
    return try only(sweeps.indices.filter { sweeps[$0].id.name.hasPrefix(name) }, "sweep", name)
  }

  func findJob(_ key: String) throws(Refusal) -> JobIndex {
    if let exact = JobKey(key).flatMap({ ledger.jobOfKey[$0] }) { return exact }
    return try only(key.isEmpty ? [] : jobs.indices.filter { jobs[$0].key.description.hasPrefix(key) }, "job", key)
  }

  func findWorker(_ name: String) throws(Refusal) -> WorkerID {
    if roster.workers[WorkerID(name)] != nil || ledger.drainedWorkers.contains(WorkerID(name)) { return WorkerID(name) }
    let namesakes = roster.workers.values.filter { $0.name == name }.map(\.id).sorted()
    if namesakes.count > 1 {
      throw Refusal("\(namesakes.count) workers are called \(name): use an id that 'greensweep workers' shows")
    }
    if let namesake = namesakes.first { return namesake }
    return try only(roster.workers.keys.filter { $0.name.hasPrefix(name) }, "worker", name)
  }

  /// The name of a trial, or `SWEEP/TRIAL` where several sweeps have it.
  func findTrial(_ name: String) throws(Refusal) -> (sweep: SweepIndex, trial: Int) {
    let parts = name.split(separator: "/", maxSplits: 1).map(String.init)
    let candidates = parts.count == 2 ? [try findSweep(parts[0])] : Array(sweeps.indices)
    guard let prefix = parts.last else { throw Refusal("name a trial") }
    var found: [(sweep: SweepIndex, trial: Int)] = []
    for sweep in candidates {
      let ids = sweeps[sweep].tree.trialIDs
      found += ids.indices.filter { ids[$0].name.hasPrefix(prefix) }.map { (sweep, $0) }
    }
    // The same grid point in several sweeps: the latest is meant.
    if Set(found.map { sweeps[$0.sweep].tree.trialIDs[$0.trial] }).count == 1 { return found.last! }
    return try only(found, "trial", name)
  }
}
