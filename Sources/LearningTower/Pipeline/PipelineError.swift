import Network
import Settings
import Wording

/// Why a stage or a command could not do its work.
public struct PipelineError: SystemFailure, Sendable, Hashable, CustomStringConvertible {
  public var message: String
  /// Whether what was asked for makes no sense, so that it fails wherever it is tried.
  public var isWrongRequest: Bool
  public var errorNumber: Int32?

  public init(_ message: String, isWrongRequest: Bool = false, errorNumber: Int32? = nil) {
    self.message = message
    self.isWrongRequest = isWrongRequest
    self.errorNumber = errorNumber
  }

  public var description: String { message }
}

/// - Throws: `PipelineError` that names the nearest sizes, unless the side is a multiple of the network's stride, both
///   in pixels.
func requireImageSize(_ size: Int, stride: Int) throws(PipelineError) {
  if let problem = imageSizeProblem(size, stride: stride) { throw PipelineError(problem, isWrongRequest: true) }
}

func require<Value>(_ setting: Setting<Value>, _ value: Value) throws(PipelineError) {
  if let problem = setting.problem(value) { throw PipelineError(problem, isWrongRequest: true) }
}
