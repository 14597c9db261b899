import Artifacts
import Fleet
import Glibc
import JSON
import Sweep
import Transport

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
    on loop: EventLoop, onReport: @escaping (StageEvent) -> Void,
    onExit: @escaping (_ message: String, FailureCause) -> Void
  ) throws {
    folder = request.directory
    self.limits = limits
    try Files.writeDurably(JSON.encode(request), to: folder + "/request.json")
    let memoryKills = MemoryKills()
    let killsBefore = memoryKills.count ?? 0
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
        let end = StageEnd(
          ending, limits: limits, peakByteCount: child?.peakResidentByteCount ?? 0,
          isKilledForMemory: memoryKills.count ?? 0 > killsBefore)
        log.append(Array("\(end.words)\n".utf8))
        child = nil
        try? Files.writeDurably(log.bytes, to: "\(folder)/\(Self.logFile)")
        onExit(log.lastLines(20), end.cause)
      }
    }
  }

  func kill() { child?.kill() }
}

/// How a stage's process ended; if memory or a limit was the cause, with what can be done.
struct StageEnd {
  let words: String
  let cause: FailureCause

  /// - Parameter isKilledForMemory: whether the kernel has killed somebody for memory while the stage ran.
  init(_ ending: ChildProcess.Ending, limits: StageLimits, peakByteCount: Int, isKilledForMemory: Bool) {
    let smaller = "make batch_size or image_size smaller, or give the worker fewer --slots"
    switch ending {
    case .overran(.memory):
      words =
        "\(ending) of \(limits.memoryMB ?? 0) MB: raise the stage's memory_limit_mb in the sweep file, or the worker's "
        + "--memory-limit-mb, or make batch_size or image_size smaller"
      cause = .outOfMemory
    case .overran(.time):
      words =
        "\(ending): raise the stage's time_limit_minutes in the sweep file, or the worker's --time-limit-minutes; "
        + "the next attempt goes on from the newest checkpoint"
      cause = .other
    case .signal(let signal):
      let limit = limits.memoryMB.map { " of the \($0) MB it may use" } ?? ""
      let used = "\(ending); it has used up to \(peakByteCount >> 20) MB of memory\(limit)"
      switch (signal == Int(SIGKILL), isKilledForMemory) {
      case (true, true):
        words = "\(used), and the kernel killed it because the host's or container's memory ran out: \(smaller)"
      case (true, false):
        words = "\(used). If nobody has killed it, the host's or container's memory ran out ('dmesg' tells): \(smaller)"
      case (false, _): words = used
      }
      cause = signal == Int(SIGKILL) && isKilledForMemory ? .outOfMemory : .other
    case .status:
      words = "\(ending)"
      cause = .other
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
