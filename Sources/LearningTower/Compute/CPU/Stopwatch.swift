internal import CKernels

/// The nanoseconds that the steps of a program have taken in each lane. The clock is read once a step.
///
/// Between the beginning of a stage and its end a lane does steps or waits for the others; while a step runs for all
/// lanes, the others wait as well. So the times of a lane, waiting included, sum up to those of the runs.
@safe final class Stopwatch {
  private let lanes: Int
  private let steps: Int
  /// A row for each lane: the times of the steps, that of waiting, and the last reading of the clock.
  private let rows: UnsafeMutablePointer<Int>

  init(_ program: Program) {
    (lanes, steps) = (program.lanes.count, program.steps.count)
    unsafe rows = .allocate(capacity: lanes * (steps + 2))
    unsafe rows.initialize(repeating: 0, count: lanes * (steps + 2))
  }

  deinit { unsafe rows.deallocate() }

  private func row(_ lane: Int) -> UnsafeMutablePointer<Int> { unsafe rows + lane * (steps + 2) }

  /// Called before the lanes of a stage begin.
  func begin() {
    let now = ck_nanoseconds()
    for lane in 0..<lanes { unsafe row(lane)[steps + 1] = now }
  }

  /// Called by a lane after a step; with nil when it has waited.
  func lap(_ lane: Int, _ step: Int?) {
    let (row, now) = unsafe (row(lane), ck_nanoseconds())
    unsafe row[step ?? steps] += now - row[steps + 1]
    unsafe row[steps + 1] = now
  }

  /// Called when all lanes have ended a stage.
  func join() { for lane in 0..<lanes { lap(lane, nil) } }

  /// The seconds of each lane in a step, or waiting if there is none.
  func seconds(_ step: Int?) -> [Double] { (0..<lanes).map { unsafe Double(row($0)[step ?? steps]) / 1e9 } }
}
