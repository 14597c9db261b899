import Fleet
import Sweep

/// What checkers get to see of a run. They know nothing of the brains' insides.
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
  case lost([ArtifactDigest])
  /// A worker's true box, whatever it says.
  case enrolled(WorkerID, box: BoxID)
  /// A worker's true protocol.
  case speaks(WorkerID, version: Int)
  /// The run is over, and every worker had long enough to finish.
  case ended
}

/// A promise that was not kept: the seed replays it.
public struct BrokenPromise: Error, Sendable, CustomStringConvertible {
  public let seed: UInt64
  public let promise: String
  public let detail: String
  /// The last things that happened before.
  public let story: [String]

  public var description: String {
    "seed \(seed) broke “\(promise)”: \(detail)\n" + story.joined(separator: "\n")
  }
}
