import Foundation

/// How long this process' threads have waited for a processor while others used them all, from Linux'
/// `/proc/self/task/*/schedstat`. A host that runs nothing else gives 0.
struct RunDelay {
  private let files: [FileHandle]
  private var last: [Double]

  /// - Parameter folder: that of the threads; those that are there now are watched.
  /// - Returns: nil where the kernel does not tell.
  init?(folder: String = "/proc/self/task") {
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    files = threads.compactMap { FileHandle(forReadingAtPath: "\(folder)/\($0)/schedstat") }
    last = files.map { Self.seconds($0) ?? 0 }
    guard !files.isEmpty, files.contains(where: { Self.seconds($0) != nil }) else { return nil }
  }

  /// Seconds since the last call by which the slowest thread was held up: passes of a network end when its last thread
  /// does.
  mutating func secondsSinceLastReading() -> Double {
    var most = 0.0
    for (index, file) in files.enumerated() {
      guard let now = Self.seconds(file) else { continue }  // The thread has ended.
      most = max(most, now - last[index])
      last[index] = now
    }
    return most
  }

  /// Time on a processor, time in line for one, turns; nanoseconds.
  private static func seconds(_ file: FileHandle) -> Double? {
    guard (try? file.seek(toOffset: 0)) != nil, let data = try? file.read(upToCount: 128) else { return nil }
    let words = String(decoding: data, as: UTF8.self).split(separator: " ")
    return words.count >= 2 ? Double(words[1]).map { $0 / 1e9 } : nil
  }
}
