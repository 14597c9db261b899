import Testing
import Transport

/// Real processes that want too much.
@Suite struct ChildLimitsTests {
  private func events(_ program: String, _ arguments: [String], _ limits: ChildLimits) async throws
    -> [ChildProcess.Event]
  {
    let shell = try LoopShell()
    let events = AsyncStream<ChildProcess.Event>.makeStream()
    try await shell.run { shell in
      _ = try ChildProcess(
        program, arguments: arguments, environment: ["PATH=/usr/bin:/bin"], folder: "/", on: shell.loop, limits: limits
      ) { event in
        events.continuation.yield(event)
        if case .exited = event { events.continuation.finish() }
      }
    }
    return try await withoutHanging {
      var all: [ChildProcess.Event] = []
      for await event in events.stream { all.append(event) }
      return all
    }
  }

  @Test func aChildBeyondItsMemoryIsKilled() async throws {
    let all = try await events(
      "/usr/bin/perl", ["-e", "$x = 'a' x 200_000_000; sleep 1000"], ChildLimits(residentByteCount: 100 << 20))
    guard case .exited(.overran(.memory(let count))) = all.last else {
      Issue.record("\(all)")
      return
    }
    #expect(count > 100 << 20)
  }

  @Test func aChildWithinItsMemoryIsLeftAlone() async throws {
    let all = try await events(
      "/usr/bin/perl", ["-e", "$x = 'a' x 20_000_000; sleep 1; print length $x"],
      ChildLimits(residentByteCount: 100 << 20, seconds: 600))
    #expect(all == [.line("20000000"), .exited(.status(0))])
  }

  /// Memory that leaps between two looks is refused by the kernel.
  @Test func aLeapIsRefused() async throws {
    let all = try await events(
      "/bin/sh", ["-c", "sleep 0.3; grep -c 'Max data size *1140850688 *1140850688' /proc/self/limits"],
      ChildLimits(residentByteCount: 64 << 20))
    #expect(all == [.line("1"), .exited(.status(0))])
  }

  @Test func aChildBeyondItsTimeIsKilledWithAllItStarted() async throws {
    let all = try await events(
      "/bin/sh", ["-c", "sleep 1000 & echo begun; sleep 1000"], ChildLimits(seconds: 0.5))
    #expect(all == [.line("begun"), .exited(.overran(.time(seconds: 0.5)))])
  }
}
