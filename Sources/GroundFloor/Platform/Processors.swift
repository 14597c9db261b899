import Foundation

/// How many processors this process may use, which on a shared machine are fewer than there are.
public enum Processors {
  /// As many as the affinity mask names (`taskset`, `cpuset`), and no more than the quota of the control group pays for
  /// (`docker --cpus`, systemd's `CPUQuota`). Threads beyond the quota would be halted with all others at each barrier,
  /// so a fraction is rounded down.
  public static let available = available(root: "")

  /// The processor time that all threads of this process have used so far, in seconds.
  public static func usedSeconds() -> Double { Double(clock()) / Double(CLOCKS_PER_SEC) }

  /// - Parameter root: the folder that holds `proc` and `sys`.
  static func available(root: String) -> Int {
    let allowed = allowed(root: root) ?? ProcessInfo.processInfo.activeProcessorCount
    return max(1, min(allowed, quota(root: root).map { Int($0) } ?? allowed))
  }

  /// The number of processors in the list that `sched_getaffinity` gives, such as `0-3,8`.
  private static func allowed(root: String) -> Int? {
    let lines = text("\(root)/proc/self/status")?.split(separator: "\n") ?? []
    guard let list = lines.first(where: { $0.hasPrefix("Cpus_allowed_list:") })?.split(separator: ":").last else {
      return nil
    }
    let counts = list.split(separator: ",").map { range -> Int in
      let ends = range.split(separator: "-").map { Int($0.trimmingCharacters(in: .whitespaces)) }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, first <= last else { return 0 }
      return last - first + 1
    }
    let sum = counts.reduce(0, +)
    return sum > 0 ? sum : nil
  }

  /// The smallest quota in processors of this process's control group and of those around it; nil for none.
  /// - Parameter root: the folder that holds `proc` and `sys`.
  private static func quota(root: String) -> Double? {
    let groups = text("\(root)/proc/self/cgroup")?.split(separator: "\n") ?? []
    var quotas: [Double] = []
    for group in groups {
      // `0::/path` in version 2, `4:cpu,cpuacct:/path` in version 1.
      let fields = group.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
      guard fields.count == 3 else { continue }
      let isUnified = fields[0] == "0" && fields[1].isEmpty
      guard isUnified || fields[1].split(separator: ",").contains("cpu") else { continue }
      let mounts = isUnified ? ["", "/unified"] : ["/\(fields[1])", "/cpu"]
      for mount in mounts {
        for folder in foldersUpwards(fields[2]) {
          let path = "\(root)/sys/fs/cgroup\(mount)\(folder)"
          if let quota = isUnified ? unifiedQuota(path) : separateQuota(path) { quotas.append(quota) }
        }
      }
    }
    return quotas.min()
  }

  /// `/a/b`, `/a` and the empty path. In a container, where the outer folders are hidden, the last one is its own.
  private static func foldersUpwards(_ path: String) -> [String] {
    let parts = path.split(separator: "/").filter { $0 != ".." }
    return (0...parts.count).reversed().map { count in parts.prefix(count).map { "/\($0)" }.joined() }
  }

  /// `cpu.max`: quota and period in microseconds, or `max`.
  private static func unifiedQuota(_ folder: String) -> Double? {
    let words = text("\(folder)/cpu.max")?.split(whereSeparator: \.isWhitespace).map { Double($0) } ?? []
    guard words.count == 2, let quota = words[0], let period = words[1], quota > 0, period > 0 else { return nil }
    return quota / period
  }

  /// -1 stands for no quota.
  private static func separateQuota(_ folder: String) -> Double? {
    func number(_ name: String) -> Double? {
      text("\(folder)/cpu.\(name)").flatMap { Double($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
    }
    guard let quota = number("cfs_quota_us"), let period = number("cfs_period_us"), quota > 0, period > 0 else {
      return nil
    }
    return quota / period
  }

  private static func text(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
}
