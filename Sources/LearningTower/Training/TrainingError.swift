/// Why a training run, a hyper-parameter file or a checkpoint cannot be used.
public struct TrainingError: Error, Sendable, Hashable, CustomStringConvertible {
  public var message: String
  /// Whether what was asked for makes no sense, so that it fails wherever it is tried.
  public var isWrongRequest: Bool

  public init(_ message: String, isWrongRequest: Bool = false) {
    self.message = message
    self.isWrongRequest = isWrongRequest
  }

  public var description: String { message }
}
