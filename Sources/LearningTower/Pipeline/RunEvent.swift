import Training

/// The events that a run of epochs reports while it runs.
public enum RunEvent: Sendable, Hashable {
  /// Something that a reader of the results must know, such as images left out, or how much of given weights fits.
  case remark(String)
  /// - epochs: how many the run has in all; 0 where there are none.
  /// - completedEpochs: how many the checkpoint it goes on from had done.
  case started(epochs: Int, completedEpochs: Int)
  case epoch(EpochSummary, EpochTiming, of: Int)
  /// A file from which the run can go on, complete when the event comes.
  case checkpoint(path: String, epoch: Int)
}
