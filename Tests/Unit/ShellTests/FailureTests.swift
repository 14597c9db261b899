import Artifacts
import Client
import Coordinator
import Fleet
import Foundation
import JSON
import Sweep
import Testing
import Transport
@testable import Worker
import Wire
import Wording

/// Why stages fail, told by numbers and signals rather than by words.
@Suite struct FailureTests {
  @Test func theNumberOfASystemFailureIsKnown() throws {
    let full = try FileHandle(forWritingTo: URL(filePath: "/dev/full"))
    let error = #expect(throws: (any Error).self) { try full.write(contentsOf: Data([1])) }
    #expect(errorNumber(of: error!) == ENOSPC)
    #expect(FailureCause(of: error!) == .diskFull)
    let durable = #expect(throws: (any Error).self) { try FileDescriptor("/dev/full", .update).write([1].span) }
    #expect(FailureCause(of: durable!) == .diskFull)
    #expect(FailureCause(of: CocoaError(.fileWriteOutOfSpace)) == .diskFull)
    #expect(FailureCause(of: POSIXError(.EDQUOT)) == .diskFull)
    #expect(FailureCause(of: POSIXError(.ENOMEM)) == .outOfMemory)
    #expect(FailureCause(of: StageRefusal("no")) == .refused)
    // Words say nothing.
    #expect(FailureCause(of: WireError.unexpected(kind: "No space left on device")) == .other)
    #expect(errorNumber(of: CocoaError(.fileReadNoSuchFile)) == ENOENT)
  }

  @Test func olderPeersUnderstandFailuresAndAreUnderstood() throws {
    func read(_ text: String) throws -> StageFailure {
      try JSON.decode(StageFailure.self, from: Array(text.utf8), .fleet)
    }
    #expect(try read(#"{"message":"no"}"#).cause == .other)
    #expect(try read(#"{"message":"no","isFinal":true}"#).cause == .refused)
    #expect(try read(#"{"message":"no","isFinal":false,"cause":"disk_full"}"#).cause == .diskFull)
    #expect(try read(#"{"message":"no","isFinal":false,"cause":"struck by lightning"}"#).cause == .other)
    for cause in [FailureCause.refused, .diskFull, .outOfMemory, .other] {
      let text = String(decoding: JSON.encode(StageFailure(message: "no", cause: cause)), as: UTF8.self)
      #expect(text.contains(#""isFinal":\#(cause == .refused)"#), "an older program reads this: \(text)")
      #expect(try read(text).cause == cause)
    }
  }

  @Test func aKillForMemoryIsToldFromOthers() {
    let kill = ChildProcess.Ending.signal(Int(SIGKILL))
    func end(_ ending: ChildProcess.Ending, _ isKilledForMemory: Bool) -> StageEnd {
      StageEnd(ending, limits: StageLimits(), peakByteCount: 700 << 20, isKilledForMemory: isKilledForMemory)
    }
    let killed = end(kill, true)
    #expect(killed.cause == .outOfMemory)
    #expect(killed.words.contains("up to 700 MB") && killed.words.contains("memory ran out: make batch_size"))
    #expect(end(kill, false).cause == .other && end(kill, false).words.contains("dmesg"))
    #expect(!end(.signal(Int(SIGSEGV)), true).words.contains("ran out"))
    #expect(end(.overran(.memory(residentByteCount: 1)), false).cause == .outOfMemory)
  }

  @Test(arguments: [
    ("0::/a/b\n", "/sys/fs/cgroup/a/b/memory.events", "low 0\noom 3\noom_kill 2\n", 2),
    ("4:memory:/x\n1:cpu:/\n", "/sys/fs/cgroup/memory/x/memory.oom_control", "under_oom 0\noom_kill 5\n", 5),
    ("0::/gone\n", "/sys/fs/cgroup/memory.events", "oom_kill 7\n", 7),
    ("0::/\n", "/proc/vmstat", "pgfault 9\noom_kill 1\n", 1),
  ])
  func killsForMemoryAreCounted(_ groups: String, _ file: String, _ text: String, _ count: Int) throws {
    let folder = try TemporaryFolder()
    let root = folder.path
    for (path, text) in [("/proc/self/cgroup", groups), (file, text)] {
      try Files.createFolder(root + (path as NSString).deletingLastPathComponent)
      try Files.writeDurably(Array(text.utf8), to: root + path)
    }
    let kills = MemoryKills(root: root)
    #expect(kills.count == count)
    try Files.writeDurably(Array(text.replacing("oom_kill \(count)", with: "oom_kill 99").utf8), to: root + file)
    #expect(kills.count == 99)
    #expect(MemoryKills(root: root + "/nowhere").count == nil)
  }

  /// A stage that is killed from outside says how much memory it had.
  @Test(.timeLimit(.minutes(20))) func aKilledStageSaysWhatItUsed() async throws {
    var cluster = try Cluster()
    cluster.policy.failureLimit = 1
    let (coordinator, endpoint) = try await cluster.coordinator()
    let worker = try await cluster.worker("a", endpoint, script: "kill -KILL $$")
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client)
    _ = try await cluster.table(client, sweep)
    guard case .sweep(let status) = try await client.request(.status(sweep: sweep.name)) else {
      throw TimedOut(seconds: 0)
    }
    let reason = try #require(status.jobs.first { $0.state == .failed }?.reason)
    #expect(reason.contains("signal 9") && reason.contains("MB of memory"), "\(reason)")
    await worker.leave()
    try await withoutHanging { await worker.ended() }
    await coordinator.stop()
  }
}
