/// Why a training run, a hyper-parameter file or a checkpoint cannot be used.
public struct TrainingError: Error, Sendable, Hashable, CustomStringConvertible {
  public var message: String

  public init(_ message: String) { self.message = message }

  public var description: String { message }
}
