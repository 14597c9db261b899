import Artifacts

/// Counts the processes that the kernel has killed because memory ran out.
public struct MemoryKills: Sendable {
  private let file: String?

  /// Looks for the counter of this process's control group, which a container's limit concerns; without one, for that
  /// of the whole host.
  /// - Parameter root: where the system's files are found.
  public init(root: String = "") {
    let lines = Self.text(root + "/proc/self/cgroup").split(separator: "\n")
    let groups = lines.compactMap { line -> String? in
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { return nil }
      let path = fields[2] == "/" ? "" : String(fields[2])
      if fields[1].isEmpty { return "/sys/fs/cgroup\(path)/memory.events" }
      return fields[1].split(separator: ",").contains("memory")
        ? "/sys/fs/cgroup/memory\(path)/memory.oom_control" : nil
    }
    // Within a container the group may be mounted as the root.
    let mounted = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control", "/proc/vmstat"]
    file = (groups + mounted).map { root + $0 }.first { Self.count(in: $0) != nil }
  }

  /// How many there were so far; nil where nobody counts.
  public var count: Int? { file.flatMap(Self.count) }

  private static func count(in file: String) -> Int? {
    let line = text(file).split(separator: "\n").first { $0.hasPrefix("oom_kill ") }
    return line.flatMap { Int($0.dropFirst("oom_kill ".count)) }
  }

  /// The kernel makes up such a file when it is read; reading waits for nothing.
  private static func text(_ file: String) -> String {
    guard let file = try? FileDescriptor(file, .read), let bytes = try? file.read(upToCount: 64 << 10) else {
      return ""
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
