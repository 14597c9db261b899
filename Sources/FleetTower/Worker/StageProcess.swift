import Artifacts
import Fleet
import JSON
import Sweep
import Transport
import Wire

/// One stage in a child process: what it says on standard output are events, everything else is its log.
final class StageProcess {
  private var child: ChildProcess?
  private var log = LogTail()
  private let folder: String
  private let limits: StageLimits

  static let logFile = "stage.log"

  /// Writes `request.json` into the existing folder and starts the process.
  init(
    _ request: StageRequest, limits: StageLimits, program: String, arguments: [String], environment: [String],
    on loop: EventLoop, onReport: @escaping (StageEvent) -> Void, onExit: @escaping (_ message: String) -> Void
  ) throws {
    folder = request.directory
    self.limits = limits
    try Files.writeDurably(JSON.encode(request), to: folder + "/request.json")
    child = try ChildProcess(
      program, arguments: arguments + [folder], environment: environment, folder: folder, on: loop,
      limits: ChildLimits(
        residentByteCount: limits.memoryMB.map { $0 << 20 }, seconds: limits.timeMinutes.map { $0 * 60 })
    ) { [self] event in
      switch event {
      case .line(let line):
        if let event = try? JSON.decode(StageEvent.self, from: Array(line.utf8), .fleet) {
          onReport(event)
        } else {
          log.append(Array((line + "\n").utf8))
        }
      case .errorOutput(let bytes): log.append(bytes)
      case .exited(let ending):
        log.append(Array("\(words(for: ending))\n".utf8))
        child = nil
        try? Files.writeDurably(log.bytes, to: "\(folder)/\(Self.logFile)")
        onExit(log.lastLines(20))
      }
    }
  }

  func kill() { child?.kill() }

  /// How it ended; if a limit was the cause, which one and what can be done.
  private func words(for ending: ChildProcess.Ending) -> String {
    switch ending {
    case .overran(.memory):
      return
        "\(ending) of \(limits.memoryMB ?? 0) MB: raise the stage's memory_limit_mb in the sweep file, or the worker's "
        + "--memory-limit-mb, or make batch_size or image_size smaller"
    case .overran(.time):
      return "\(ending): raise the stage's time_limit_minutes in the sweep file, or the worker's --time-limit-minutes; "
        + "the next attempt goes on from the newest checkpoint"
    case .signal:
      guard let limit = limits.memoryMB, let peak = child?.peakResidentByteCount else { return "\(ending)" }
      return "\(ending); of the \(limit) MB of memory it may use, \(peak >> 20) MB were seen in use"
    case .status: return "\(ending)"
    }
  }
}

/// The last part of what a process has printed.
struct LogTail {
  private static let byteCountLimit = 256 << 10
  private(set) var bytes: [UInt8] = []

  mutating func append(_ more: [UInt8]) {
    bytes += more
    // Cut only now and then, so that a talkative process does not cost a copy per line.
    if bytes.count > 2 * Self.byteCountLimit { bytes.removeFirst(bytes.count - Self.byteCountLimit) }
  }

  func lastLines(_ count: Int) -> String {
    let lines = bytes.split(separator: UInt8(ascii: "\n")).suffix(count)
    return lines.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\n")
  }
}
