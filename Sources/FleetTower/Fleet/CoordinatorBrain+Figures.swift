import Sweep

/// The fleet in figures, for monitors.
public struct FleetFigures: Hashable, Sendable {
  public var sweeps: [SweepSummary.State: Int] = [:]
  /// Each once, however many sweeps share it.
  public var jobs = JobCounts()
  public var connectedWorkers = 0
  /// The workers that are draining, among those connected.
  public var drainingWorkers = 0
  public var absentWorkers = 0
  /// On workers that take jobs.
  public var slots = 0
  public var freeSlots = 0
  /// Ever started; the newest fencing number.
  public var startedAttempts: UInt64 = 0
  public var failedAttempts = 0
  public var lostAttempts = 0
}

extension CoordinatorBrain {
  public var figures: FleetFigures {
    var figures = roster.figures()
    for sweep in sweeps.indices { figures.sweeps[summary(of: sweep).state, default: 0] += 1 }
    for job in jobs { figures.jobs.add(job.state) }
    figures.startedAttempts = ledger.lastAttempt
    (figures.failedAttempts, figures.lostAttempts) = (ledger.failedAttemptCount, ledger.lostAttemptCount)
    return figures
  }

  /// Returns the answer to a request that changes nothing; nil for the others.
  public func reading(_ request: OperatorRequest) -> OperatorResponse? {
    do throws(Refusal) { return try readingOrRefusal(request) } catch { return .refused(reason: error.reason) }
  }

  /// Some jobs of a sweep, those first that people look for: running, failed, then what waits.
  public func glance(at sweep: String, limit: Int) -> SweepStatus? {
    guard let sweep = try? findSweep(sweep) else { return nil }
    return status(of: sweep, limit: limit)
  }
}
