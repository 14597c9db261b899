/// Why a plan cannot be made or applied.
public struct PruningError: Error, Sendable, Hashable, CustomStringConvertible {
  public var message: String

  init(_ message: String) { self.message = message }

  public var description: String { message }
}
