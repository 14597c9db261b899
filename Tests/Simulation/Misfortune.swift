/// A misfortune that can happen at any moment. They are drawn from these cases, so that a kind comes as often as it is
/// listed.
enum Misfortune: CaseIterable, Sendable {
  // The coordinator's process and disk.
  case coordinatorCrashes
  /// At its next commit: the transaction is torn.
  case coordinatorCrashesWriting
  /// At its next commit: all is written, and not all is sent.
  case coordinatorCrashesSending
  case coordinatorDiskIsFull, coordinatorWritesFail
  // Its store.
  case artifactRots, artifactRotsToo, storeIsVerified
  // A worker's box.
  case workerCrashes, workerCrashesToo
  case workerFreezes, workerIsSuspended
  case workerIsCutOff
  case connectionBreaks, connectionBreaksToo
  case workerDiskIsFull
  case workerIsAskedToLeave
  case workerIsGone
  case clockLeaps, clockFallsBack
  // People.
  case drain, cancel, steer, steerToo, prioritize, retry
}
