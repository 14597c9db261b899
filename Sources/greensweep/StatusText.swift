import Fleet
import Sweep
import Wording

/// The texts that people read about sweeps, jobs and workers. Pure: values in, text out.
enum StatusText {
  static func overview(_ sweeps: [SweepSummary]) -> String {
    guard !sweeps.isEmpty else { return "no sweeps" }
    let header = ["sweep", "state", "priority", "trials", "done", "running", "ready", "waiting", "failed"]
    let rows = sweeps.map { sweep in
      let jobs = sweep.jobs
      return [sweep.sweep.name, state(of: sweep), "\(sweep.priority ?? 0)", "\(sweep.trials)"]
        + [jobs.succeeded, jobs.leased, jobs.ready, jobs.waiting + jobs.blocked, jobs.failed].map(String.init)
    }
    let held = sweeps.compactMap { sweep in sweep.held.map { "\(sweep.sweep) is held: \($0)".oneLine } }
    return ([textTable([header] + rows, rightAligned: [2, 3, 4, 5, 6, 7, 8])] + held).joined(separator: "\n")
  }

  private static func state(of sweep: SweepSummary) -> String { sweep.held == nil ? sweep.state.rawValue : "held" }

  static func jobs(_ status: SweepStatus) -> String {
    let header = ["job", "stage", "of", "state", "worker", "tries", "progress"]
    let rows = status.jobs.map { job in
      [
        job.job.short, job.stage.rawValue, job.title, job.state.rawValue, job.worker ?? "", "\(job.attempts)",
        job.reason ?? (job.state == .running ? job.epochs.map(progress) : nil) ?? "",
      ]
    }
    let remarks = (status.remarks ?? []).map { "\n\($0.oneLine)" }.joined()
    let work = status.work.map { "\n" + words(of: $0) } ?? ""
    return overview([status.summary]) + work + remarks + "\n\n" + textTable([header] + rows, rightAligned: [5])
  }

  private static func words(of work: SweepWork) -> String {
    let spared =
      work.sparedProcessorSeconds > 0 ? "; sharing spared \(work.sparedProcessorSeconds.shownAsDuration)" : ""
    return "work: \(work.wallSeconds.shownAsDuration) of stages, \(work.processorSeconds.shownAsDuration) of processor "
      + "time\(spared)"
  }

  static func workers(_ workers: [WorkerStatus]) -> String {
    guard !workers.isEmpty else { return "no workers" }
    let rows = workers.map { worker in
      let state = worker.isConnected ? (worker.isDraining ? "draining" : "connected") : "away"
      return [
        worker.name, worker.worker.name, state, "\(worker.jobs.count) of \(worker.slots)",
        worker.jobs.map(\.short).joined(separator: " "),
      ]
    }
    return textTable([["worker", "id", "state", "slots in use", "jobs"]] + rows)
  }

  /// One line for the whole and one per running job.
  static func live(_ status: SweepStatus, elapsedSeconds: Double) -> [String] {
    let jobs = status.summary.jobs
    let failed = jobs.failed > 0 ? ", \(jobs.failed) failed" : ""
    let done = "\(jobs.succeeded) of \(counted(jobs.total, "job")) done"
    let state = Self.state(of: status.summary)
    let words = state == SweepSummary.State.running.rawValue ? "" : " (\(state))"
    let head = "\(status.summary.sweep)\(words): \(done)\(failed), \(elapsedSeconds.shownAsDuration)"
    let running = status.jobs.filter { $0.state == .running }
    return [head] + (status.summary.held.map { ["  \($0)"] } ?? [])
      + running.map { "  \(title($0)): \($0.epochs.map(progress) ?? "starting")  (\($0.worker ?? "?"))" }
  }

  static func title(_ job: JobStatus) -> String { "\(job.stage.rawValue) \(job.title)" }

  static func progress(_ epochs: EpochMetrics) -> String {
    let losses = ["box_loss", "objectness_loss", "class_loss"].compactMap { epochs.values[$0] }
    var words = ["epoch \(epochs.epoch)/\(epochs.epochs)", "loss \(losses.reduce(0, +).shown(4))"]
    if let map50 = epochs.values["map50"] { words.append("mAP50 \(map50.shown(3))") }
    if let fading = epochs.fading { words.append(fading) }
    let remaining = epochs.seconds * (Double(epochs.epochs) - Double(epochs.epoch))
    words.append("ETA \(remaining.shownAsDuration)")
    return words.joined(separator: "  ")
  }
}
