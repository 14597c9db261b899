/// How much a coordinator keeps of all that comes and goes, for those who watch that it stays bounded.
public struct CoordinatorBacklog: Hashable, Sendable {
  public var attemptsOfWorker: [WorkerID: Int]
  public var connections: Int
  public var boxes: Int
  public var deadlines: Int
  /// Lost artifacts that workers are asked for.
  public var repairs: Int
  /// Attempts held against jobs.
  public var losses: Int
  /// The entries of the job that has most.
  public var historyEntries: Int
}

/// How much a worker keeps for a coordinator that may be away for long.
public struct WorkerBacklog: Hashable, Sendable {
  public var attempts: Int
  /// Figures of epochs not yet acknowledged, of the attempt that has most.
  public var metrics: Int
  public var fetches: Int
  public var uploads: Int
  public var deadlines: Int
}

extension CoordinatorBrain {
  public var backlog: CoordinatorBacklog {
    CoordinatorBacklog(
      attemptsOfWorker: roster.attemptsOfWorker.mapValues(\.count), connections: roster.connectionCount,
      boxes: roster.boxes.count,
      deadlines: roster.deadlines.count + queue.deadlines.count + repairs.deadlines.count,
      repairs: repairs.repairs.count, losses: ledger.lostAttempts.count,
      historyEntries: jobs.map(\.history.count).max() ?? 0)
  }
}

extension WorkerBrain {
  public var backlog: WorkerBacklog {
    WorkerBacklog(
      attempts: attempts.count, metrics: attempts.values.map(\.metrics.count).max() ?? 0, fetches: fetches.count,
      uploads: uploads.count, deadlines: deadlines.count)
  }
}
