/// Why a computation cannot be set up: an unavailable backend, a shape it does not take, parameters that do not fit.
public struct ComputeError: Error, Sendable, Hashable, CustomStringConvertible {
  public var message: String

  public init(_ message: String) { self.message = message }

  public var description: String { message }
}
