import Artifacts
import Foundation
import Transport

/// A folder that lives as long as the test.
final class TemporaryFolder: Sendable {
  let path = NSTemporaryDirectory() + "greensweep-" + UUID().uuidString
  init() throws { try Files.createFolder(path) }
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Runs closures on an event loop of its own, as a shell would.
actor LoopShell {
  let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }
  init() throws { loop = try EventLoop(name: "test") }

  func run<Result: Sendable>(
    _ body: @Sendable (isolated LoopShell) async throws -> Result
  ) async rethrows -> Result { try await body(self) }
}

/// Fails instead of hanging. The limit is generous, because all tests share as many threads as there are processors,
/// and some compute for minutes.
func withoutHanging<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
  let seconds = 600.0
  return try await withThrowingTaskGroup(of: Result.self) { group in
    group.addTask(operation: body)
    group.addTask {
      try await Task.sleep(for: .seconds(seconds))
      throw TimedOut(seconds: seconds)
    }
    defer { group.cancelAll() }
    return try await group.next()!
  }
}

struct TimedOut: Error { let seconds: Double }
