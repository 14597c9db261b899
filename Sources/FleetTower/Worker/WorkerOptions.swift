import Artifacts
import Foundation
import Sweep
import Transport
import Wording

/// How a worker is set up.
public struct WorkerOptions: Sendable {
  public var coordinator: Endpoint
  public var token: Token
  /// Holds the worker's name, its artifacts and the folders of running stages; made when missing. One worker at a time.
  public var folder: String
  public var slots = 1
  /// Compute threads of each stage.
  public var threads = 1
  /// `onednn` or `openblas`; nil takes the machine's default.
  public var backend: String?
  /// The worker's name for people.
  public var name = ProcessInfo.processInfo.hostName
  public var labels: [String: String] = [:]
  /// The metrics that this host can measure.
  public var metrics = Objective.Metric.allCases
  /// The program that runs a stage, and its arguments before the stage's folder.
  public var stageProgram = "/proc/self/exe"
  public var stageArguments = ["stage"]
  /// The most that each job may use, whatever its sweep allows.
  public var stageLimits = StageLimits()
  /// Artifacts and unpacked data sets are forgotten, the longest unused first, beyond this.
  public var cacheByteCount = 20 << 30
  /// The worker leaves after so long without a job; nil lets it wait for ever.
  public var idleExitSeconds: Double?
  /// The worker has handed everything back and left by then; nil lets it stay.
  public var until: Date?
  public var limits = ConnectionLimits()
  /// Takes the daemon's own words, a line at a time.
  public var log: @Sendable (String) -> Void = { _ in }

  public init(coordinator: Endpoint, token: Token, folder: String) {
    self.coordinator = coordinator
    self.token = token
    self.folder = folder
  }
}

/// Why a worker cannot begin.
public enum WorkerError: Error, CustomStringConvertible {
  case folderInUse(String)
  /// - Parameter name: of something in it.
  case foreignFolder(String, name: String)

  public var description: String {
    switch self {
    case .folderInUse(let folder):
      "another worker runs on \(folder): give this one a --cache folder of its own"
    case .foreignFolder(let folder, let name):
      "\(folder) has ‘\(name.shortened())’ in it and is not a worker's folder: give --cache an empty folder, or a "
        + "worker's"
    }
  }
}
