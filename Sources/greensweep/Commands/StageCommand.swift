import Foundation
import JSON
import Platform
import Sweep
import Wording

extension Command {
  /// The command that a worker starts for each job. It reads `DIR/request.json`, prints one event in JSON per line,
  /// ends when its standard input closes: that is how it dies with its worker.
  static let stage = Command(
    name: "stage", summary: "run one stage in a process of its own", positionals: ["DIR"], isInternal: true
  ) { arguments in
    exitWhenStandardInputCloses()
    let start = ContinuousClock.now
    let request = try stageRequest(in: arguments.positionals[0])
    func report(_ event: StageEvent) throws {
      var event = event
      if case .finished(var output) = event {
        output.metrics[StageCost.wall] = (ContinuousClock.now - start) / .seconds(1)
        output.metrics[StageCost.processor] = Processors.usedSeconds()
        event = .finished(output)
      }
      try FileHandle.standardOutput.write(contentsOf: JSON.encode(event) + [UInt8(ascii: "\n")])
    }
    do {
      try PipelineStageRunner().run(request, report: report)
    } catch {
      try report(.failed(message: error.words, cause: error.isWrongCall ? .refused : FailureCause(of: error)))
      throw error
    }
  }

  private static func stageRequest(in directory: String) throws -> StageRequest {
    let path = URL(filePath: directory).appending(path: "request.json")
    do {
      return try JSON.decode(StageRequest.self, from: Data(contentsOf: path), .fleet)
    } catch {
      throw UsageError("stage: \(path.path) is not a stage request: \(error.words)")
    }
  }

  private static func exitWhenStandardInputCloses() {
    Thread.detachNewThread {
      while let data = try? FileHandle.standardInput.read(upToCount: 4096), !data.isEmpty {}
      exit(1)
    }
  }
}
