import Fleet
import Sweep

/// In peace, whatever could run is run.
struct ReadyJobsRun: Checker {
  let promise = "every ready job is eventually run while a willing worker lives"

  /// Longer than any stage, any pause and a benchmark's wait for its box.
  private static let patienceMilliseconds: Int64 = 90_000

  private var jobs: ObservedJobs
  /// When something was last written, nothing was ready, or nobody was there.
  private var lastProgress: Int64 = 0
  private var hasProgressed = false

  init(trees: [StageTree]) { jobs = ObservedJobs(trees) }

  mutating func observe(_ observation: Observation) -> String? {
    switch observation {
    case .durable(let records):
      for record in records { jobs.observe(record) }
      hasProgressed = true
    case .looked(let now, let canRun):
      defer { hasProgressed = false }
      if hasProgressed || !canRun { lastProgress = now }
      guard now > lastProgress + Self.patienceMilliseconds else { return nil }
      return jobs.ready.min().map { "\($0.short) has been ready since \(lastProgress) ms, and nothing happens" }
    case .outOfPatience(let unfinished): return "unfinished long after the last misfortune: \(unfinished)"
    default: break
    }
    return nil
  }
}

/// Checks that the result is the one that a single computer would have come to.
struct FrontIsRight: Checker {
  let promise = "the front equals the one computed from scratch"

  mutating func observe(_ observation: Observation) -> String? {
    guard case .results(let found, let expected) = observation, found != expected else { return nil }
    return "\(found.sweep): expected\n\(expected.terminalText)found\n\(found.terminalText)"
  }
}
