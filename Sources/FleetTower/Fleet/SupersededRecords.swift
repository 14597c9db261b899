import Sweep

/// Finds the records of a journal that later ones supersede: replaying the rest gives the same brain.
///
/// A job shows the figures of its last epoch and resumes from its last checkpoint, so that each epoch and checkpoint
/// makes the one before superfluous; a result makes the job's checkpoints so. Nothing that `apply` does in between
/// looks at them, but for one thing: an attempt that may still bring a result was promised the checkpoint it began
/// with, whose record therefore stays. A checkpoint also forgives the losses and fruitless attempts before it; a later
/// checkpoint or the result forgives the same ones. All other records stay.
public struct SupersededRecords: Sendable {
  private struct Latest: Sendable {
    var epoch: Int?
    var checkpoint: Int?
  }

  private var latest: [JobKey: Latest] = [:]
  /// By live attempt: the record of the checkpoint it began with.
  private var promised: [AttemptNumber: Int] = [:]
  private var candidates: [Int] = []
  private var count = 0

  public init() {}

  /// Called with every record, in order.
  public mutating func observe(_ record: Record) {
    switch record {
    case .epochFinished(_, let job, _):
      if let former = latest[job]?.epoch { candidates.append(former) }
      latest[job, default: Latest()].epoch = count
    case .checkpointStored(_, let job, _):
      supersedeCheckpoint(of: job)
      latest[job, default: Latest()].checkpoint = count
    case .attemptStarted(let attempt, let job, _, _): promised[attempt] = latest[job]?.checkpoint
    case .attemptEnded(let attempt, _, _): promised[attempt] = nil
    case .jobSucceeded(let attempt, let job, _, _):
      promised[attempt] = nil
      supersedeCheckpoint(of: job)
    default: break
    }
    count += 1
  }

  private mutating func supersedeCheckpoint(of job: JobKey) {
    if let former = latest[job]?.checkpoint { candidates.append(former) }
    latest[job]?.checkpoint = nil
  }

  /// Their places, counted from 0, in order.
  public var places: [Int] { Set(candidates).subtracting(promised.values).sorted() }

  /// The journal without them.
  public static func removed(from records: [Record]) -> [Record] {
    var superseded = SupersededRecords()
    for record in records { superseded.observe(record) }
    let places = Set(superseded.places)
    return records.indices.filter { !places.contains($0) }.map { records[$0] }
  }
}
