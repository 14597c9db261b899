import Fleet
import Sweep

/// One line for each thing that is written or said, naming attempts and jobs as checkers do.
extension Record {
  var words: String {
    switch self {
    case .sweepSubmitted(let sweep, _): "\(sweep) is submitted"
    case .sweepCancelled(let sweep): "\(sweep) is cancelled"
    case .sweepSteered(let sweep, let mode): "\(sweep) is \(mode)"
    case .sweepPrioritized(let sweep, let priority): "\(sweep) has priority \(priority)"
    case .sweepLimited(let sweep, _): "\(sweep) has other limits"
    case .sweepPlaced(let sweep, let placement): "\(sweep) requires \(placement.requires)"
    case .attemptStarted(let attempt, let job, let worker, let box):
      "\(attempt) starts at \(job.short) on \(worker), \(box)"
    case .epochFinished(let attempt, let job, let metrics):
      "\(attempt) at \(job.short) has finished epoch \(metrics.epoch)"
    case .checkpointStored(let attempt, let job, let checkpoint):
      "\(attempt) at \(job.short) has stored its checkpoint of epoch \(checkpoint.epoch)"
    case .attemptEnded(let attempt, let job, .failed(let failure)):
      "\(attempt) at \(job.short) failed: \(failure.message)"
    case .attemptEnded(let attempt, let job, let outcome): "\(attempt) at \(job.short) is \(outcome)"
    case .attemptSurvived(let attempt, let job): "\(attempt) at \(job.short) was not lost after all"
    case .jobSucceeded(let attempt, let job, let worker, _): "\(attempt) at \(job.short) on \(worker) has succeeded"
    case .jobFailed(let job, let reason): "\(job.short) is given up: \(reason)"
    case .jobsRetried(let jobs): "to be tried again: \(jobs.map(\.short).joined(separator: ", "))"
    case .workerDrained(let worker, let isDraining): "\(worker) is \(isDraining ? "drained" : "used again")"
    case .artifactsLost(let artifacts): "\(artifacts.count) artifacts are lost"
    case .artifactRestored: "a lost artifact is back"
    case .benchmarkBoxChosen(let sweep, let box): "\(sweep) is measured on \(box)"
    }
  }
}

extension CoordinatorMessage {
  var words: String {
    switch self {
    case .welcome(let welcome): "welcome, abandon \(welcome.abandon)"
    case .refused(let reason): "refused: \(reason)"
    case .assign(let assignment):
      "run \(assignment.attempt) at \(assignment.job.short) (\(assignment.stage))"
        + (assignment.input(.resume) == nil ? "" : " from its checkpoint")
    case .cancelAttempt(let attempt, let reason): "drop \(attempt), \(reason)"
    case .handBack(let attempt): "hand \(attempt) back"
    case .heartbeatAcknowledged: "heard you"
    case .metricsAcknowledged(let attempt, let epoch): "epoch \(epoch) of \(attempt) is written"
    case .checkpointAcknowledged(let attempt, let epoch): "the checkpoint of \(attempt) at epoch \(epoch) is written"
    case .attemptAcknowledged(let attempt, let accepted): "the end of \(attempt) is \(accepted ? "written" : "refused")"
    case .artifactsMissing(let attempt, let digests): "\(digests.count) artifacts of \(attempt) are missing"
    case .bringBack: "bring back what is lost"
    case .drain(let isDraining): isDraining ? "take nothing new" : "take jobs again"
    }
  }
}

extension WorkerMessage {
  var words: String {
    switch self {
    case .hello(let hello): "hello, I hold \(hello.attempts)"
    case .heartbeat(let attempts, _): "I live and hold \(attempts)"
    case .epochMetrics(let attempt, let metrics): "\(attempt) has finished epoch \(metrics.epoch)"
    case .checkpointStored(let attempt, let checkpoint):
      "the checkpoint of \(attempt) at epoch \(checkpoint.epoch) is up"
    case .attemptFinished(let attempt, _): "\(attempt) has finished"
    case .attemptFailed(let attempt, let failure): "\(attempt) has failed: \(failure.message)"
    case .attemptReturned(let attempt): "\(attempt) is handed back"
    case .broughtBack: "what was lost is back"
    case .cannotBringBack: "what was lost is not here"
    case .goodbye: "goodbye"
    }
  }
}
