import Foundation
import Testing

@testable import Platform

@Suite("How many processors a process may use")
struct ProcessorsTests {
  /// `proc` and `sys` of a machine, in a folder that goes with the test.
  private func count(_ files: [String: String]) throws -> Int {
    let root = FileManager.default.temporaryDirectory.appending(path: "greensweep-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }
    for (name, text) in files {
      let file = root.appending(path: name)
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    return Processors.available(root: root.path)
  }

  private func status(_ list: String) -> [String: String] {
    ["proc/self/status": "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t\(list)\n"]
  }

  @Test func theAffinityMaskCounts() throws {
    #expect(try count(status("0")) == 1)
    #expect(try count(status("0-3")) == 4)
    #expect(try count(status("0-3,8,10-11")) == 7)
    #expect(try count([:]) == ProcessInfo.processInfo.activeProcessorCount)
    #expect(try count(status("nonsense")) == ProcessInfo.processInfo.activeProcessorCount)
  }

  @Test func aQuotaOfTheSecondVersionCountsWhereverItIsSet() throws {
    let files = status("0-15").merging(["proc/self/cgroup": "0::/a/b\n"]) { $1 }
    func quota(_ folder: String, _ text: String) throws -> Int {
      try count(files.merging(["sys/fs/cgroup\(folder)/cpu.max": text]) { $1 })
    }
    #expect(try quota("/a/b", "200000 100000\n") == 2)
    #expect(try quota("/a", "350000 100000\n") == 3)
    #expect(try quota("", "400000 100000\n") == 4)  // A container sees its own group as the root.
    #expect(try quota("/a/b", "50000 100000\n") == 1)
    #expect(try quota("/a/b", "max 100000\n") == 16)
    #expect(try quota("/a/b", "3200000 100000\n") == 16)
    #expect(try quota("/a/b", "0 0\n") == 16)
    #expect(try quota("/other", "100000 100000\n") == 16)
  }

  @Test(arguments: ["cpu,cpuacct", "cpu"]) func aQuotaOfTheFirstVersionCounts(controllers: String) throws {
    func quota(_ text: String) throws -> Int {
      try count(
        status("0-15").merging([
          "proc/self/cgroup": "5:memory:/m\n4:\(controllers):/a\n0::/\n",
          "sys/fs/cgroup/\(controllers)/a/cpu.cfs_quota_us": text,
          "sys/fs/cgroup/\(controllers)/a/cpu.cfs_period_us": "100000\n",
        ]) { $1 })
    }
    #expect(try quota("300000\n") == 3)
    #expect(try quota("-1\n") == 16)
  }
}
