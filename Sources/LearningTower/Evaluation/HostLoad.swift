import Foundation
import Platform

/// How many of the host's processors others use: all processes but this one, and with steal the host of a virtual
/// machine. From Linux' `/proc/stat`.
struct HostLoad: Sendable {
  private let path: String
  private let processorSeconds: @Sendable () -> Double
  private let seconds: @Sendable () -> Double
  private var last: (all: Double, own: Double, moment: Double)

  /// - Parameters:
  ///   - root: the folder that holds `proc`.
  ///   - processorSeconds: of this process so far.
  ///   - seconds: of a clock that goes evenly.
  /// - Returns: nil where it cannot be read.
  init?(
    root: String = "", processorSeconds: @escaping @Sendable () -> Double = Processors.usedSeconds,
    seconds: @escaping @Sendable () -> Double = { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 }
  ) {
    path = "\(root)/proc/stat"
    self.processorSeconds = processorSeconds
    self.seconds = seconds
    guard let all = Self.busySeconds(path) else { return nil }
    last = (all, processorSeconds(), seconds())
  }

  /// Processors that others have used on average since the last call; never below 0.
  mutating func others() -> Double {
    guard let all = Self.busySeconds(path) else { return 0 }
    let now = (all: all, own: processorSeconds(), moment: seconds())
    defer { last = now }
    guard now.moment > last.moment else { return 0 }
    return max(0, (now.all - last.all - (now.own - last.own)) / (now.moment - last.moment))
  }

  /// The processor time of all processors in user mode, in the kernel, in interrupts, and stolen.
  private static func busySeconds(_ path: String) -> Double? {
    guard let line = (try? String(contentsOfFile: path, encoding: .utf8))?.split(separator: "\n").first else {
      return nil
    }
    let words = line.split(separator: " ")
    let ticks = words.dropFirst().compactMap { Double($0) }
    guard words.first == "cpu", ticks.count >= 8 else { return nil }
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    return (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }
}
