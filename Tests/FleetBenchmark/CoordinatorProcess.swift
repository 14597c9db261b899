import Foundation
import Glibc

/// A real coordinator in a process and a folder of its own.
final class CoordinatorProcess {
  let folder: String
  private(set) var port: UInt16 = 0
  private(set) var startSeconds = 0.0
  private let binary: String
  private var process = Process()

  init(binary: String, folder: String) throws {
    self.binary = binary
    self.folder = folder
    try start()
  }

  /// Kills it, and starts another one on its folder.
  func restart() throws {
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    process = Process()
    try start()
  }

  private func start() throws {
    let start = ContinuousClock.now
    process.executableURL = URL(fileURLWithPath: binary)
    process.arguments = ["coordinator", "--data", folder, "--listen", "127.0.0.1:0"]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    var text = ""
    while !text.contains("listening on ") || !text.hasSuffix("\n") {
      let part = output.fileHandleForReading.availableData
      guard !part.isEmpty else { throw Failure("the coordinator ended: \(text)") }
      text += String(decoding: part, as: UTF8.self)
    }
    startSeconds = (ContinuousClock.now - start) / .seconds(1)
    let line = text.split(separator: "\n").first { $0.contains("listening on ") } ?? ""
    let address = line.split(separator: "listening on ").last?.prefix { $0 != "," && $0 != " " } ?? ""
    guard let port = UInt16(address.split(separator: ":").last ?? "") else { throw Failure("no port in \(line)") }
    self.port = port
    // Its later output must not fill the pipe.
    output.fileHandleForReading.readabilityHandler = { _ = $0.availableData }
  }

  /// Megabytes in memory: now, and at most so far.
  var memoryMB: (now: Double, peak: Double) {
    let status = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)) ?? ""
    func value(_ key: String) -> Double {
      let line = status.split(separator: "\n").first { $0.hasPrefix(key) } ?? ""
      return (Double(line.split(whereSeparator: \.isWhitespace).dropFirst().first ?? "") ?? .nan) / 1024
    }
    return (value("VmRSS:"), value("VmHWM:"))
  }

  /// Seconds of processor time, of all its threads.
  var processorSeconds: Double {
    let text = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8)) ?? ""
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return .nan }
    return (user + system) / Double(sysconf(CInt(_SC_CLK_TCK)))
  }

  func stop() {
    process.terminate()
    process.waitUntilExit()
  }
}
