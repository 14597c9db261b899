import Dispatch
import Foundation
import Simulation
import Synchronization

/// Runs the simulated cluster from many seeds on all cores, and stops at the first promise that is broken.
///
/// `simulate [--seeds N] [--first SEED] [--threads N] [--fault NAME|all]`
///
/// With a planted fault: the first seed that catches it. With `all`: how many seeds it takes for each.
@main
struct Simulate {
  static func main() {
    do {
      let options = try Options(CommandLine.arguments.dropFirst())
      exit(run(options) ? 0 : 1)
    } catch {
      FileHandle.standardError.write(Data("simulate: \(error)\n".utf8))
      exit(2)
    }
  }

  /// - Returns: whether what was expected happened: no broken promise, or each planted fault's.
  private static func run(_ options: Options) -> Bool {
    guard !options.faults.isEmpty else { return keepsPromises(options) }
    let uncaught = options.faults.filter { !catches($0, options) }
    if !uncaught.isEmpty { print("unnoticed in \(options.seeds) seeds: \(uncaught.map(\.rawValue))") }
    return uncaught.isEmpty
  }

  private static func keepsPromises(_ options: Options) -> Bool {
    let clock = ContinuousClock()
    let start = clock.now
    let outcome = runSeeds(options, fault: nil)
    if let (_, broken) = outcome.earliest {
      print(broken.explained())
      return false
    }
    let seconds = Int((clock.now - start) / .seconds(1))
    let total = outcome.total
    let counts = "\(total.happenings) happenings, \(total.attempts) attempts, "
    let crashes =
      "\(total.coordinatorCrashes) coordinator crashes, \(total.stalls) stalls, \(total.workerCrashes) worker crashes"
    print("\(outcome.done) seeds in \(seconds) s: " + counts + crashes)
    print("every promise was kept")
    return true
  }

  private static func catches(_ fault: PlantedFault, _ options: Options) -> Bool {
    guard let (offset, broken) = runSeeds(options, fault: fault).earliest else { return false }
    if options.faults.count == 1 { print(broken.explained()) }
    print("\(fault.rawValue) broke “\(broken.promise)” within \(offset + 1) seeds")
    return true
  }

  private static func runSeeds(_ options: Options, fault: PlantedFault?) -> Progress {
    let progress = Mutex(Progress())
    DispatchQueue.concurrentPerform(iterations: options.threads) { _ in
      while let offset = progress.withLock({ $0.take(of: options.seeds) }) {
        do throws(BrokenPromise) {
          let report = try SimulatedCluster.run(seed: options.first + offset, fault: fault)
          progress.withLock { $0.finish(report) }
        } catch {
          progress.withLock { $0.broken(error, offset) }
        }
        let done = progress.withLock { $0.done }
        if done.isMultiple(of: 10_000), done > 0 { say("\(done) of \(options.seeds) seeds") }
      }
    }
    return progress.withLock { $0 }
  }

  private static func say(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }
}

/// The work that the threads have done so far.
private struct Progress {
  private var next: UInt64 = 0
  private(set) var done: UInt64 = 0
  private(set) var total = SimulatedCluster.Report()
  /// The failure of the lowest seed: which one it is does not depend on the threads, as all below it are finished too.
  private(set) var earliest: (offset: UInt64, broken: BrokenPromise)?

  mutating func take(of seeds: UInt64) -> UInt64? {
    guard next < seeds, earliest == nil else { return nil }
    defer { next += 1 }
    return next
  }

  mutating func finish(_ report: SimulatedCluster.Report) {
    done += 1
    total.happenings += report.happenings
    total.attempts += report.attempts
    total.coordinatorCrashes += report.coordinatorCrashes
    total.workerCrashes += report.workerCrashes
    total.stalls += report.stalls
  }

  mutating func broken(_ promise: BrokenPromise, _ offset: UInt64) {
    if let earliest, earliest.offset < offset { return }
    earliest = (offset, promise)
  }
}

private struct Options {
  var seeds: UInt64 = 1_000
  var first: UInt64 = 0
  var threads = ProcessInfo.processInfo.activeProcessorCount
  /// The planted faults that must be caught, one after the other.
  var faults: [PlantedFault] = []

  struct Mistake: Error, CustomStringConvertible {
    let description: String
  }

  init(_ arguments: ArraySlice<String>) throws {
    var rest = arguments
    while let option = rest.popFirst() {
      guard let value = rest.popFirst() else { throw Mistake(description: "\(option) needs a value") }
      switch option {
      case "--seeds": seeds = try number(value, option)
      case "--first": first = try number(value, option)
      case "--threads": threads = Int(try number(value, option)).clamped(to: 1...1_024)
      case "--fault":
        if value == "all" {
          faults = PlantedFault.allCases
          continue
        }
        let names = PlantedFault.allCases.map(\.rawValue).joined(separator: ", ")
        guard let known = PlantedFault(rawValue: value) else {
          throw Mistake(description: "there is no fault \(value); there are \(names)")
        }
        faults = [known]
      default: throw Mistake(description: "unknown option \(option); there are --seeds, --first, --threads, --fault")
      }
    }
  }

  private func number(_ text: String, _ option: String) throws -> UInt64 {
    guard let value = UInt64(text), value <= 1 << 48 else {
      throw Mistake(description: "\(option): \(text) is not a whole number")
    }
    return value
  }
}

extension Int {
  fileprivate func clamped(to range: ClosedRange<Int>) -> Int {
    Swift.min(Swift.max(self, range.lowerBound), range.upperBound)
  }
}
