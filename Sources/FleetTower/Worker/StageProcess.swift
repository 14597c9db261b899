import Artifacts
import Fleet
import Sweep
import Transport
import Wire

/// One stage in a child process: what it says on standard output are events, everything else is its log.
final class StageProcess {
  private var child: ChildProcess?
  private var log = LogTail()
  private let folder: String

  static let logFile = "stage.log"

  /// Writes `request.json` into the existing folder and starts the process.
  init(
    _ request: StageRequest, program: String, arguments: [String], environment: [String], on loop: EventLoop,
    onReport: @escaping (StageEvent) -> Void, onExit: @escaping (_ message: String) -> Void
  ) throws {
    folder = request.directory
    try Files.writeDurably(JSON.encode(request), to: folder + "/request.json")
    child = try ChildProcess(
      program, arguments: arguments + [folder], environment: environment, folder: folder, on: loop
    ) { [self] event in
      switch event {
      case .line(let line):
        if let event = try? JSON.decode(StageEvent.self, from: Array(line.utf8)) {
          onReport(event)
        } else {
          log.append(Array((line + "\n").utf8))
        }
      case .errorOutput(let bytes): log.append(bytes)
      case .exited(let ending):
        child = nil
        log.append(Array("\(ending)\n".utf8))
        try? Files.writeDurably(log.bytes, to: "\(folder)/\(Self.logFile)")
        onExit(log.lastLines(20))
      }
    }
  }

  func kill() { child?.kill() }
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
