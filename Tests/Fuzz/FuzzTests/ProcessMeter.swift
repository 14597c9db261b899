import Foundation

/// Measures one piece of work: the processor time of the thread that does it, and the most memory that the process had
/// meanwhile beyond what it had before.
struct ProcessMeter {
  private let status: FileHandle
  private let reset: FileHandle
  private var bytesBefore = 0
  private var secondsBefore = 0.0

  init() throws {
    status = try FileHandle(forReadingFrom: URL(filePath: "/proc/self/status"))
    reset = try FileHandle(forWritingTo: URL(filePath: "/proc/self/clear_refs"))
  }

  mutating func begin() throws {
    // The process's high-water mark falls to what it has now.
    try reset.seek(toOffset: 0)
    try reset.write(contentsOf: Data("5".utf8))
    bytesBefore = try highWaterMark()
    secondsBefore = Self.threadSeconds()
  }

  /// Processor time that other threads take from this one, on a busy machine, does not count.
  func seconds() -> Double { Self.threadSeconds() - secondsBefore }

  func memoryGrowth() throws -> Int { max(try highWaterMark() - bytesBefore, 0) }

  private static func threadSeconds() -> Double {
    var time = timespec()
    // Fills the structure and keeps no pointer.
    guard unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0 else { return 0 }
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// `VmHWM:   12345 kB`
  private func highWaterMark() throws -> Int {
    try status.seek(toOffset: 0)
    let text = try status.readToEnd() ?? Data()
    guard let key = text.range(of: Data("VmHWM:".utf8)) else { throw CocoaError(.fileReadCorruptFile) }
    let digits = text[key.upperBound...].drop { $0 == 0x20 || $0 == 0x09 }.prefix { (0x30...0x39).contains($0) }
    return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) } * 1024
  }
}
