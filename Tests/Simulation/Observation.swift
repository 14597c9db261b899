import Bytes
import Fleet
import Sweep

/// An event of a run that checkers see. They know nothing of the brains' insides.
enum Observation: Sendable {
  /// These records are on the coordinator's disk, and stay there.
  case durable([Record])
  /// Left the coordinator for a worker.
  case said(CoordinatorMessage, to: WorkerID)
  /// Left the coordinator for an operator.
  case answered(OperatorResponse)
  /// The coordinator has lost all but its disk.
  case crashed
  /// The store has lost these, and the coordinator is told so.
  /// - Parameter unwritten: attempts that were decided before, and are not written yet.
  case lost([Digest], unwritten: Set<AttemptNumber>)
  /// A worker's true box and labels, whatever it says.
  case enrolled(WorkerID, box: BoxID, slots: Int, labels: [String: String])
  /// A worker's true protocol.
  case speaks(WorkerID, version: Int)
  /// A worker's true metrics, as it says hello; nil where it does not say.
  case announces(WorkerID, metrics: [String]?)
  /// A process is welcomed.
  /// - Parameter otherSilence: milliseconds for which another process with this identity had said nothing on a
  ///   connection that stood; nil where there was none.
  case welcomed(WorkerID, otherSilence: Int64?)
  /// How much a brain keeps; for the coordinator, with what waits for its disk.
  case keeps(CoordinatorBacklog, waiting: Int)
  case holds(WorkerID, WorkerBacklog)
  /// Somebody looks, in peace.
  case looked(at: Int64, canRun: Bool)
  /// The run has taken too long.
  case outOfPatience(unfinished: String)
  /// A sweep's table at the end, and the right one.
  case results(ResultTable, expected: ResultTable)
  /// The run is over, and every worker had long enough to finish.
  case ended
}
