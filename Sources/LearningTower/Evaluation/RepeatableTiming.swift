/// How a time is measured so that measuring it again gives it again.
///
/// Passes of the network alternate with passes of a small reference network, whose time tells how fast the host is at
/// the moment: a pass beside a slow reference counts for less. Rounds while others use the host are measured again, as
/// long as patience lasts. The passes are divided into three parts; more are taken until the medians of these agree.
public struct RepeatableTiming: Sendable {
  /// The least number of passes that count.
  var passes = 100
  /// The length of the model's passes in a round.
  var roundMilliseconds = 60.0
  /// The medians of the three parts lie no further apart, as a share.
  public static let agreement = 0.03
  /// There are at most so many times `passes`, if the parts do not agree.
  var growth = 6
  /// Rounds count only while others use no more processors than that.
  public static let quietLoad = 0.2
  /// How long to wait for others to end, seconds.
  var patience = 60.0

  /// A block of the model's passes with the reference's before and after it, milliseconds.
  struct Round: Sendable {
    var passes: [Double]
    var before: Double
    var after: Double
    /// Processors that others used meanwhile.
    var others: Double

    var reference: Double { (before + after) / 2 }
  }

  /// The world that is measured.
  struct Bench {
    /// Runs one pass and returns its milliseconds.
    var model: () -> Double
    var reference: () -> Double
    /// Processors that others have used since the last call.
    var others: () -> Double
    /// Waits so many seconds.
    var pause: (Double) -> Void
  }

  func measure(_ bench: Bench) -> TimingResult {
    var rounds: [Round] = []
    var quietPasses = 0
    var (waited, pause, dropped) = (0.0, 0.25, 0)
    let block = blockSizes(bench)
    _ = bench.others()
    var before = referenceBlock(bench, block.reference)
    while true {
      _ = bench.model()  // Its data are in the cache again.
      let times = (0..<block.model).map { _ in bench.model() }
      let after = referenceBlock(bench, block.reference)
      let round = Round(passes: times, before: before, after: after, others: bench.others())
      before = after
      if round.others > Self.quietLoad, waited < patience {
        dropped += 1
        bench.pause(pause)
        waited += pause
        pause = min(2 * pause, 2)
        _ = bench.others()
        before = referenceBlock(bench, block.reference)
        continue
      }
      pause = 0.25
      rounds.append(round)
      quietPasses += times.count
      guard rounds.count >= 3, quietPasses >= passes else { continue }
      var result = TimingResult(rounds)
      if result.spread <= Self.agreement || quietPasses >= growth * passes {
        (result.droppedRounds, result.waitedSeconds) = (dropped, waited)
        return result
      }
    }
  }

  /// As many passes as fill a round, of the reference half as long; three rounds have all passes at least.
  private func blockSizes(_ bench: Bench) -> (model: Int, reference: Int) {
    func count(_ pass: () -> Double, _ milliseconds: Double) -> Int {
      let fastest = max(min(pass(), pass(), pass()), 1e-3)
      return max(1, min(Int((milliseconds / fastest).rounded()), 1_000))
    }
    return (
      min(count(bench.model, roundMilliseconds), (passes + 2) / 3),
      max(3, count(bench.reference, roundMilliseconds / 2))
    )
  }

  /// The mean of the middle half of the reference's passes; the first one does not count. Other users slow some passes
  /// down and leave others alone, in a share that a median does not show.
  private func referenceBlock(_ bench: Bench, _ count: Int) -> Double {
    _ = bench.reference()
    let sorted = (0..<count).map { _ in bench.reference() }.sorted()
    let middle = sorted[count / 4..<count - count / 4]
    return middle.reduce(0, +) / Double(middle.count)
  }
}

/// The time of a pass, corrected for the host's drift while it was measured.
struct TimingResult: Sendable, Hashable {
  /// Milliseconds.
  var median: Double
  var p95: Double
  var mean: Double
  /// How far the medians of three parts lie apart, as a share of the middle one.
  var spread: Double
  /// The reference's usual pass, which tells how fast the host was.
  var reference: Double
  /// Passes that count.
  var passes: Int
  /// Processors that others used meanwhile, on average.
  var others: Double
  var droppedRounds = 0
  var waitedSeconds = 0.0

  /// - Parameter rounds: at least three.
  init(_ rounds: [RepeatableTiming.Round]) {
    let reference = percentile(rounds.map(\.reference).sorted(), 50)
    self.reference = reference
    let corrected = rounds.map { round in
      round.passes.map { round.reference > 0 ? $0 * reference / round.reference : $0 }
    }
    let all = corrected.joined().sorted()
    median = percentile(all, 50)
    p95 = percentile(all, 95)
    mean = all.reduce(0, +) / Double(all.count)
    passes = all.count
    others = rounds.reduce(0) { $0 + $1.others } / Double(rounds.count)
    let medians = (0..<3).map { part in
      let part = corrected[part * rounds.count / 3..<(part + 1) * rounds.count / 3]
      return percentile(part.joined().sorted(), 50)
    }.sorted()
    spread = medians[1] > 0 ? (medians[2] - medians[0]) / medians[1] : 0
  }
}

/// Nearest rank: the smallest value that `percent` of the sorted values do not exceed.
func percentile(_ sorted: [Double], _ percent: Int) -> Double {
  sorted[max((sorted.count * percent + 99) / 100 - 1, 0)]
}
