import Foundation
import Network
import Randomness
import Synchronization
import Testing

/// Hands a reader one damaged file after the other.
struct Fuzzer {
  struct Report: CustomStringConvertible {
    var reader: String
    var seed: UInt64
    var accepted = 0
    var refused = 0
    var seconds = 0.0
    var slowestSeconds = 0.0
    var slowestCase = 0
    /// The most of any case.
    var memoryGrowth = 0
    var largestCase = 0

    var description: String {
      """
      fuzz \(reader): \(accepted + refused) cases from seed \(seed) in \(Int(seconds)) s: \(accepted) read, \(refused) \
      refused; at most \(Int(slowestSeconds * 1000)) ms (case \(slowestCase)) and \(memoryGrowth >> 20) MB \
      (case \(largestCase))
      """
    }
  }

  /// The processor time that one case may take in a debug build.
  static let timeLimitSeconds = 2.0
  /// After so long, on however busy a machine, a case is taken to hang.
  static let hangSeconds = 100.0
  /// After so many a run ends.
  static let maximumFailures = 10
  /// The memory that a reader may take besides twice the file: for tables that libraries make, and an error's text.
  static let memoryAllowance = 8 << 20

  let reader: FuzzReader
  let settings: FuzzSettings

  init(_ reader: FuzzReader, _ settings: FuzzSettings) {
    self.reader = reader
    self.settings = settings
  }

  func run() throws -> Report {
    var report = Report(reader: reader.name, seed: settings.seed)
    let watchdog = Watchdog(reader: reader.name, seed: settings.seed)
    defer { watchdog.stop() }
    let trace = settings.traceFile.flatMap { path -> FileHandle? in
      _ = FileManager.default.createFile(atPath: path, contents: nil)
      return FileHandle(forWritingAtPath: path)
    }
    var meter = try ProcessMeter()
    let start = ContinuousClock.now
    let cases = settings.onlyCase.map { $0..<($0 + 1) } ?? 0..<settings.count
    var failures = 0
    func fail(_ index: Int, _ what: String) {
      failures += 1
      Issue.record("\(reader.name), seed \(settings.seed), case \(index): \(what)")
    }
    for index in cases where failures < Self.maximumFailures {
      if let trace {
        try trace.seek(toOffset: 0)
        try trace.write(contentsOf: Data("\(index)\n".utf8))
      }
      let bytes = bytes(ofCase: index)
      if settings.onlyCase != nil {
        let path = FileManager.default.temporaryDirectory.appending(path: "fuzz-case-\(reader.fileName)").path
        try Data(bytes).write(to: URL(filePath: path))
        print("\(reader.name): case \(index) of seed \(settings.seed): \(bytes.count) bytes, in \(path)")
      }
      try meter.begin()
      watchdog.begin(case: index)
      do {
        try reader.read(bytes, reader.fileName)
        report.accepted += 1
      } catch {
        report.refused += 1
        if settings.onlyCase != nil { print(error) }
        if let complaint = Self.complaint(about: error, reader) { fail(index, complaint) }
      }
      watchdog.end()
      let seconds = meter.seconds()
      if seconds > report.slowestSeconds { (report.slowestSeconds, report.slowestCase) = (seconds, index) }
      if seconds > Self.timeLimitSeconds { fail(index, "took \(seconds) s") }
      guard settings.isAlone else { continue }
      let growth = try meter.memoryGrowth()
      if growth > report.memoryGrowth { (report.memoryGrowth, report.largestCase) = (growth, index) }
      let allowed = Self.memoryAllowance + 2 * bytes.count + reader.allowance(bytes)
      if growth > allowed { fail(index, "took \(growth) bytes for a file of \(bytes.count)") }
    }
    report.seconds = (ContinuousClock.now - start) / .seconds(1)
    return report
  }

  /// First the seeds as they are.
  func bytes(ofCase index: Int) -> [UInt8] {
    if reader.seeds.indices.contains(index) { return reader.seeds[index].wrap(reader.seeds[index].content) }
    let random = SplitMix64(seed: settings.seed, stream: "\(reader.name) \(index)")
    var mutator = Mutator(random: random, tokens: reader.tokens, others: reader.seeds.map(\.content))
    // Damage to what is sound reaches furthest.
    let small = reader.seeds.filter { $0.content.count < 1 << 16 }
    let sound = small.filter(\.isSound)
    let seed = mutator.below(8) > 0 ? sound[mutator.below(sound.count)] : small[mutator.below(small.count)]
    var bytes = seed.wrap(reader.mutate(&mutator, seed.content))
    if mutator.below(4) == 0 { bytes = reader.mutate(&mutator, bytes) }
    return bytes
  }

  /// Returns the fault of a refusal, which has to name the file and a reason, briefly; nil if there is none.
  static func complaint(about error: any Error, _ reader: FuzzReader) -> String? {
    let text = "\(error)"
    guard text.contains(reader.fileName) else { return "the refusal does not name the file: \(text.prefix(500))" }
    guard text.count > reader.fileName.count + 10 else { return "the refusal gives no reason: \(text)" }
    guard text.utf8.count < 8192 else { return "the refusal has \(text.utf8.count) bytes: \(text.prefix(500))…" }
    return nil
  }
}

/// Ends the process, saying why, when one case takes far too long: a test that waits for a hang would wait for ever.
private final class Watchdog: Sendable {
  private let state = Mutex((case: 0, start: ContinuousClock.now, isRunning: false, isOver: false))

  init(reader: String, seed: UInt64) {
    Thread.detachNewThread { [self] in
      while !state.withLock({ $0.isOver }) {
        Thread.sleep(forTimeInterval: 1)
        let (index, start, isRunning, _) = state.withLock { $0 }
        if isRunning, ContinuousClock.now - start > .seconds(Fuzzer.hangSeconds) {
          fatalError("\(reader), seed \(seed), case \(index): has not ended after \(Fuzzer.hangSeconds) s")
        }
      }
    }
  }

  func begin(case index: Int) {
    state.withLock { $0 = (index, ContinuousClock.now, true, false) }
  }

  func end() { state.withLock { $0.isRunning = false } }
  func stop() { state.withLock { $0.isOver = true } }
}
