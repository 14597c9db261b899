internal import CKernels

/// Nanoseconds that the steps of a program have taken, in each lane: two readings of the clock a step.
///
/// Between the beginning of a stage and its end a lane does steps or waits for the others; while a step runs for all
/// lanes, the others wait as well. So the times of a lane, waiting included, sum up to those of the runs.
@safe final class Stopwatch {
  /// A lane's times: the last one is that of waiting.
  @safe final class Lane {
    fileprivate let times: UnsafeMutableBufferPointer<Int>
    fileprivate var last = 0

    init(steps: Int) {
      unsafe times = .allocate(capacity: steps + 1)
      unsafe times.initialize(repeating: 0)
    }
    deinit { unsafe times.deallocate() }
  }

  private let lanes: [Lane]
  private var begun = 0

  init(_ program: Program) { lanes = program.lanes.map { _ in Lane(steps: program.steps.count) } }

  /// Called before the lanes of a stage begin.
  func begin() {
    begun = ck_nanoseconds()
    for lane in lanes { lane.last = begun }
  }

  /// Called by a lane when it begins.
  func start(_ lane: Int) { wait(lanes[lane], until: ck_nanoseconds()) }

  /// Called by a lane after a step.
  func lap(_ lane: Int, step: Int) {
    let (lane, now) = (lanes[lane], ck_nanoseconds())
    unsafe lane.times[step] += now - lane.last
    lane.last = now
  }

  /// Called when all lanes have ended a stage.
  func join() {
    let now = ck_nanoseconds()
    for lane in lanes { wait(lane, until: now) }
  }

  private func wait(_ lane: Lane, until now: Int) {
    unsafe lane.times[lane.times.count - 1] += now - lane.last
    lane.last = now
  }

  /// Seconds of each lane in a step, or waiting if there is none.
  func seconds(_ step: Int?) -> [Double] {
    lanes.map { lane in unsafe Double(lane.times[step ?? lane.times.count - 1]) / 1e9 }
  }
}
