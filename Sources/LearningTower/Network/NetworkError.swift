/// Why a network, or parameters for it, cannot be used.
public struct NetworkError: Error, Sendable, Hashable, CustomStringConvertible {
  public var message: String

  public init(_ message: String) { self.message = message }

  public var description: String { message }
}
