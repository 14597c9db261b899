import Client
import Fleet
import Sweep
import Wording

/// Shows a sweep until it ends: on a terminal one live line per running job, in a pipe a line per epoch and per job
/// that has ended.
struct SweepProgress {
  private let connection: OperatorConnection
  private let sweep: String
  private let fleet: LocalFleet?
  private let start = ContinuousClock.now

  /// - Parameter fleet: that of this process, which hears of progress and may fail.
  init(_ connection: OperatorConnection, sweep: String, fleet: LocalFleet? = nil) {
    self.connection = connection
    self.sweep = sweep
    self.fleet = fleet
  }

  /// A coordinator that is away, because it is being restarted, is waited for a minute.
  /// - Throws: also when the fleet has failed.
  func followToTheEnd() async throws {
    var shownLines = 0
    var lastHeard = ContinuousClock.now
    var isAway = false
    var last: [JobKey: (state: JobPhase, epoch: Int)] = [:]
    var furthest = (jobs: 0, epochs: 0)
    var held: String?
    while true {
      try fleet?.check()
      let isPatient = ContinuousClock.now - lastHeard < .seconds(60)
      let status = try await reachableStatus(isPatient: isPatient)
      if status == nil, !isAway { printError("the coordinator does not answer; waiting for it for a minute") }
      isAway = status == nil
      if let status {
        lastHeard = ContinuousClock.now
        let reached = (status.summary.jobs.succeeded, status.jobs.reduce(0) { $0 + ($1.epochs?.epoch ?? 0) })
        if reached > furthest {
          furthest = reached
          fleet?.noteProgress()
        }
        if LiveLine.isTerminal {
          shownLines = redraw(StatusText.live(status, elapsedSeconds: elapsedSeconds), over: shownLines)
        } else {
          for line in news(status, since: &last, held: &held) { printError(line.oneLine) }
        }
        if !status.summary.state.isUnderWay { return }
      }
      try await Task.sleep(for: .seconds(1))
    }
  }

  private var elapsedSeconds: Double { (ContinuousClock.now - start) / .seconds(1) }

  /// nil where the coordinator could not be asked; its own refusals are thrown.
  private func reachableStatus(isPatient: Bool) async throws -> SweepStatus? {
    do {
      return try await connection.status(sweep)
    } catch let error as ClientError {
      throw error
    } catch  where isPatient {
      return nil
    }
  }

  private func redraw(_ lines: [String], over shown: Int) -> Int {
    var text = shown > 0 ? "\u{1b}[\(shown)A" : ""
    for line in lines { text += "\u{1b}[K\(line.oneLine)\n" }
    if shown > lines.count { text += "\u{1b}[J" }
    StandardStream.errors.write(text)
    return lines.count
  }

  private func news(
    _ status: SweepStatus, since last: inout [JobKey: (state: JobPhase, epoch: Int)], held: inout String?
  ) -> [String] {
    var lines: [String] = []
    if status.summary.held != held, let reason = status.summary.held { lines.append("held: \(reason)") }
    held = status.summary.held
    for job in status.jobs {
      let now = (state: job.state, epoch: job.epochs?.epoch ?? 0)
      let before = last.updateValue(now, forKey: job.job)
      if let epochs = job.epochs, job.state == .running, epochs.epoch != before?.epoch {
        lines.append("\(StatusText.title(job)): \(StatusText.progress(epochs))")
      }
      guard before?.state != job.state, job.state.hasEnded else { continue }
      lines.append("\(StatusText.title(job)): \(job.state)\(job.reason.map { " (\($0))" } ?? "")")
    }
    return lines
  }
}
