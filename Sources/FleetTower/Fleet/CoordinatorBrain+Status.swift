import Sweep

/// How things stand, for people: read-only.
extension CoordinatorBrain {
  func summary(of sweep: SweepIndex) -> SweepSummary {
    var counts = JobCounts()
    for job in sweeps[sweep].jobs { counts.add(jobs[job].state) }
    let state = state(of: sweep, counts)
    return SweepSummary(
      sweep: sweeps[sweep].id, state: state, priority: sweeps[sweep].priority,
      trials: sweeps[sweep].tree.trials.count, jobs: counts,
      held: state == .running && counts.waiting + counts.ready > 0 ? obstacle(to: sweep) : nil)
  }

  private func state(of sweep: SweepIndex, _ counts: JobCounts) -> SweepSummary.State {
    if sweeps[sweep].isCancelled { return .cancelled }
    guard counts.waiting + counts.ready + counts.leased > 0 else {
      return counts.succeeded == counts.total ? .finished : .failed
    }
    return switch sweeps[sweep].mode {
    case .active: .running
    case .paused: .paused
    case .stopped: counts.leased > 0 ? .stopping : .stopped
    }
  }

  /// - Parameter limit: of jobs; those come first that people look for.
  func status(of sweep: SweepIndex, limit: Int? = nil) -> SweepStatus {
    let tree = sweeps[sweep].tree
    let trials = trialsOfNodes(of: sweep)
    let fleets = fleets
    let nodes = limit.map { urgentNodes(of: sweep, limit: $0) } ?? Array(trials.indices)
    let statuses = nodes.map { node in
      status(ofJob: sweeps[sweep].jobs[node], node: node, in: sweep, fleets, trials: trials[node])
    }
    return SweepStatus(
      summary: summary(of: sweep), jobs: statuses, remarks: tree.submission.remarks,
      work: limit == nil ? work(of: sweep) : nil)
  }

  /// The trials that each node is part of.
  private func trialsOfNodes(of sweep: SweepIndex) -> [[TrialID]] {
    let tree = sweeps[sweep].tree
    var trials = [[TrialID]](repeating: [], count: sweeps[sweep].jobs.count)
    for (trial, nodes) in tree.nodesOfTrial.enumerated() {
      for node in nodes { trials[node].append(tree.trialIDs[trial]) }
    }
    return trials
  }

  /// nil where no stage has told its time.
  func work(of sweep: SweepIndex) -> SweepWork? {
    var work = SweepWork()
    var shares = [Double](repeating: -1, count: sweeps[sweep].jobs.count)
    for nodes in sweeps[sweep].tree.nodesOfTrial { for node in nodes { shares[node] += 1 } }
    for (node, job) in sweeps[sweep].jobs.enumerated() {
      guard let metrics = jobs[job].success?.result.metrics, let processor = metrics[StageCost.processor],
        processor.isFinite
      else { continue }
      work.wallSeconds += metrics[StageCost.wall] ?? 0
      work.processorSeconds += processor
      work.sparedProcessorSeconds += shares[node] * processor
    }
    return work.processorSeconds > 0 ? work : nil
  }

  /// - Parameter limit: of jobs.
  func report(of sweep: SweepIndex, limit: Int = 500) -> SweepReport {
    let tree = sweeps[sweep].tree
    let table = results(of: sweep)
    let front = Set(table.averaged.front.map(\.trial))
    var nodes = Set(tree.trials.indices.filter { front.contains(tree.trialIDs[$0]) }.flatMap { tree.nodesOfTrial[$0] })
    for (node, job) in sweeps[sweep].jobs.enumerated() {
      let hasFailed = jobs[job].history.contains { $0.outcome != "succeeded" && $0.outcome != "running" }
      if hasFailed || !jobs[job].state.isUnderWay && jobs[job].state != .succeeded { nodes.insert(node) }
    }
    let trials = trialsOfNodes(of: sweep)
    var status = status(of: sweep, limit: limit)
    status.work = work(of: sweep)
    return SweepReport(
      spec: tree.submission.spec, dataset: tree.submission.dataset, status: status, table: table,
      jobs: nodes.sorted().prefix(limit).map { jobReport(of: $0, in: sweep, trials: trials[$0]) },
      stages: stageReports(of: sweep), benchmarkBox: sweeps[sweep].benchmarkBox)
  }

  private func jobReport(of node: Int, in sweep: SweepIndex, trials: [TrialID]) -> SweepReport.Job {
    let index = sweeps[sweep].jobs[node]
    let job = jobs[index]
    return SweepReport.Job(
      job: job.key, stage: job.stage, title: sweeps[sweep].tree.title(of: node), state: job.state.phase,
      reason: reason(of: index), worker: job.success.map { shownName(of: $0.worker) },
      box: job.success.flatMap { roster.workers[$0.worker]?.box },
      trials: Array(trials.prefix(100)),
      metrics: job.success?.result.metrics ?? [:], artifacts: job.success?.result.artifacts ?? [:],
      attempts: job.history)
  }

  /// The finished jobs of each stage on each worker.
  private func stageReports(of sweep: SweepIndex) -> [SweepReport.StageWork] {
    var found: [Stage: [String: SweepReport.StageWork]] = [:]
    for job in sweeps[sweep].jobs.map({ jobs[$0] }) {
      guard let success = job.success else { continue }
      let worker = shownName(of: success.worker)
      var work = found[job.stage]?[worker] ?? SweepReport.StageWork(stage: job.stage, worker: worker)
      work.jobs += 1
      work.wallSeconds += success.result.metrics[StageCost.wall] ?? 0
      work.processorSeconds += success.result.metrics[StageCost.processor] ?? 0
      found[job.stage, default: [:]][worker] = work
    }
    return found.sorted { $0.key < $1.key }.flatMap { $0.value.sorted { $0.key < $1.key }.map(\.value) }
  }

  private func urgentNodes(of sweep: SweepIndex, limit: Int) -> [Int] {
    var nodes = [[Int]](repeating: [], count: 4)
    for (node, job) in sweeps[sweep].jobs.enumerated() {
      let rank =
        switch jobs[job].state {
        case .leased: 0
        case .failed: 1
        case .ready, .waiting, .blocked: 2
        case .succeeded, .cancelled: 3
        }
      if nodes[rank].count < limit { nodes[rank].append(node) }
    }
    return Array(nodes.joined().prefix(limit))
  }

  private func status(ofJob index: JobIndex, node: Int, in sweep: SweepIndex, _ fleets: Fleets, trials: [TrialID])
    -> JobStatus
  {
    let job = jobs[index]
    let wait = wait(of: index, fleets)
    var worker: String?
    if case .leased(let number) = job.state {
      worker = ledger.attempts[number].map { shownName(of: $0.worker) }
    }
    return JobStatus(
      job: job.key, stage: job.stage, title: sweeps[sweep].tree.title(of: node), state: job.state.phase,
      reason: reason(of: index) ?? wait?.text, waitsFor: wait?.cause, retryInSeconds: wait?.seconds, worker: worker,
      attempts: job.attemptCount, epochs: job.epochs, trials: trials)
  }

  /// The worker's name, with its identity where another worker has the same name.
  private func shownName(of id: WorkerID) -> String {
    guard let name = roster.workers[id]?.name else { return id.name }
    return roster.workers.values.contains { $0.name == name && $0.id != id } ? "\(name) (\(id))" : name
  }

  func status(of id: WorkerID) -> WorkerStatus {
    let worker = roster.workers[id]!
    return WorkerStatus(
      worker: id, name: worker.name, box: worker.box, slots: worker.slots, isConnected: worker.connection != nil,
      isDraining: worker.isLeaving || worker.isDrained,
      jobs: roster.attempts(of: id).map { jobs[ledger.attempts[$0]!.job].key })
  }

  func history(of job: JobIndex) -> JobHistory {
    JobHistory(job: jobs[job].key, stage: jobs[job].stage, entries: jobs[job].history)
  }

  // MARK: - Results

  /// - Parameter objectives: those to judge by; nil: the sweep's own.
  func results(of sweep: SweepIndex, judgedBy objectives: [Objective]? = nil) -> ResultTable {
    let tree = sweeps[sweep].tree
    let objectives = objectives ?? tree.submission.spec.objectives
    var vain: [TrialID] = []
    var rows = tree.trials.indices.map { trial in
      let path = tree.nodesOfTrial[trial].map { sweeps[sweep].jobs[$0] }
      var metrics: [String: Double] = [:]
      var kinds: [String: String] = [:]
      for job in path.map({ jobs[$0] }) {
        let measured = (job.success?.result.metrics ?? [:]).filter { name, _ in
          !StageCost.names.contains(name)
            && (!job.stage.makesModel || Objective.Metric(rawValue: name)?.stages.contains(job.stage) == true)
        }
        metrics.merge(measured) { _, later in later }
        kinds.merge(job.success?.result.kinds ?? [:]) { _, later in later }
      }
      if path.contains(where: { jobs[$0].success?.result.metrics[SparsifyMetric.effect] == 0 }) {
        vain.append(tree.trialIDs[trial])
      }
      if !path.contains(where: { jobs[$0].stage == .prune }) { metrics[Objective.Metric.map50Cut.rawValue] = nil }
      var row = ResultTable.Row(
        trial: tree.trialIDs[trial], point: tree.trials[trial].point, metrics: metrics,
        state: state(of: path.map { jobs[$0] }))
      if !kinds.isEmpty { row.kinds = kinds }
      if row.state.hasEnded, objectives.contains(where: { row.value(of: $0) == nil }) {
        row.missing = Dictionary(
          objectives.map(\.metric).filter { metrics[$0.rawValue] == nil }
            .map { ($0.rawValue, absence(of: $0, on: path)) }, uniquingKeysWith: { first, _ in first })
      }
      return row
    }
    rows.correctDrift()
    let remarks = (tree.submission.remarks ?? []) + tree.submission.spec.remarks(onVainSparsityIn: vain)
    return ResultTable(
      sweep: sweeps[sweep].id, objectives: objectives, rows: rows, remarks: remarks.isEmpty ? nil : remarks)
  }

  /// Why a trial that has ended has no value of the metric.
  private func absence(of metric: Objective.Metric, on path: [JobIndex]) -> String {
    guard let job = path.last(where: { metric.stages.contains(jobs[$0].stage) }) else {
      return "no stage of theirs measures it"
    }
    let stage = jobs[job].stage.rawValue
    switch jobs[job].state {
    case .succeeded:
      return metric.isBenchmarked
        ? "the host that ran their \(stage) cannot measure it" : "their \(stage) does not give it"
    case .failed, .blocked:
      // The words of one job would make a reason of each.
      let failed = failedAncestor(of: job) ?? job
      return
        "their \(jobs[failed].stage.rawValue) has failed ('greensweep status \(sweeps[jobs[job].sweep].id)' says why)"
    case .cancelled: return "their \(stage) was cancelled"
    case .waiting, .ready, .leased: return "their \(stage) has not run"
    }
  }

  private func state(of path: [Job]) -> TrialState {
    if path.allSatisfy({ $0.state == .succeeded }) { return .done }
    if path.contains(where: { if case .failed = $0.state { true } else { $0.state == .blocked } }) { return .failed }
    if path.contains(where: { $0.state == .cancelled }) { return .cancelled }
    return path.contains { $0.attemptCount > 0 } ? .running : .waiting
  }
}

extension Job.State {
  var phase: JobPhase {
    switch self {
    case .waiting: .waiting
    case .ready: .ready
    case .leased: .running
    case .succeeded: .succeeded
    case .failed: .failed
    case .blocked: .blocked
    case .cancelled: .cancelled
    }
  }
}

extension JobCounts {
  mutating func add(_ state: Job.State) {
    switch state {
    case .waiting: waiting += 1
    case .ready: ready += 1
    case .leased: leased += 1
    case .succeeded: succeeded += 1
    case .failed: failed += 1
    case .blocked: blocked += 1
    case .cancelled: cancelled += 1
    }
  }
}
