/// Mistakes that a run can be made with, each of which some checker must notice: they prove that the checkers can fail.
public enum PlantedFault: String, CaseIterable, Sendable {
  /// Sends do not wait for the journal.
  case acknowledgeBeforeFsync
  /// The journal forgets that attempts began, so their numbers are given out again after a crash.
  case reuseFencingNumbers
  /// The journal forgets checkpoints.
  case forgetCheckpoints
  /// The journal forgets results.
  case forgetResults
  /// The coordinator's clock stands still: leases never expire.
  case leaseNeverExpires
  /// A new attempt starts from nothing although there is a checkpoint.
  case ignoreCheckpoint
  /// Stale attempts are not stopped, and their late results pass for the live one's.
  case noFencing
  /// A checkpoint's bytes change on their way.
  case corruptCheckpoint
  /// The store says that it has an artifact, and drops it.
  case storeLosesArtifacts
  /// Workers on one box claim to be on different ones.
  case forgetSharedBox
  /// A stage's word that its failure is final gets lost on its way.
  case forgetFinality
  /// A crash makes the coordinator forget which sweeps are paused or stopped.
  case forgetPauses
  /// All sweeps count as equally important.
  case ignorePriorities
  /// One sweep is served before its equals.
  case favourOneSweep
  /// A crash makes the coordinator forget which jobs took workers along.
  case forgiveLosses
  /// Workers of an older protocol pass for new ones.
  case ignoreVersions
  /// A job that fails ends its whole sweep.
  case oneFailureStopsAll
  /// The store hands out damaged bytes as if they were the right ones.
  case serveRottenBytes
  /// Nobody is told that the store lacks an artifact.
  case ignoreLoss
  /// Shortening the journal takes checkpoints along that are still needed.
  case compactTooMuch
  /// A crash takes the last thing along that was already on the disk.
  case loseTail
  /// A crash takes half of the transaction along that was being written.
  case tornTransactions
  /// A transaction that the disk refuses counts as written.
  case acknowledgeOnFullDisk
  /// A result that was written is written again, and counts twice.
  case countTwice
  /// A worker whose connection is gone, or that was started anew, counts as one that still has its jobs.
  case noRequeueOnDisconnect
  /// A new attempt resumes from the checkpoint before the newest.
  case resumeFromOlderCheckpoint
  /// The late result of a stale attempt passes for the live one's.
  case acceptStaleResults
  /// The newer of two processes with one identity throws the other out, although that one is alive.
  case admitTwins
  /// Workers claim to measure what their hosts cannot.
  case claimAllMetrics
  /// Workers claim a label that they do not have.
  case claimLabels
  /// A worker keeps all it could not say.
  case unboundedBuffer
  /// The coordinator hears and decides on although its disk does not keep up.
  case unboundedOutbox
  /// The coordinator's queue forgets which worker holds a job's input: nothing goes wrong but its own accounts.
  case misplaceJobs
}
