import Foundation

/// How long a thread has waited for a processor while others used them all, from Linux' `schedstat`. A host that runs
/// nothing else gives 0. Threads that help it are not watched: what they wait after their work is done holds up nobody.
struct RunDelay {
  private let file: FileHandle
  private var last: Double

  /// - Parameter path: the calling thread's figures, unless told otherwise.
  /// - Returns: nil where the kernel does not tell.
  init?(path: String = "/proc/thread-self/schedstat") {
    guard let file = FileHandle(forReadingAtPath: path), let now = Self.seconds(file) else { return nil }
    self.file = file
    last = now
  }

  /// Seconds since the last call.
  mutating func secondsSinceLastReading() -> Double {
    guard let now = Self.seconds(file) else { return 0 }
    defer { last = now }
    return max(0, now - last)
  }

  /// Time on a processor, time in line for one, turns; nanoseconds.
  private static func seconds(_ file: FileHandle) -> Double? {
    guard (try? file.seek(toOffset: 0)) != nil, let data = try? file.read(upToCount: 128) else { return nil }
    let words = String(decoding: data, as: UTF8.self).split(separator: " ")
    return words.count >= 2 ? Double(words[1]).map { $0 / 1e9 } : nil
  }
}
