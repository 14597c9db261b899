/// Why a file cannot be read or written.
public struct InterchangeError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The file, or what stands for one.
  public var file: String
  public var reason: String

  public init(file: String, _ reason: String) {
    self.file = file
    self.reason = reason
  }

  public var description: String { "\(file): \(reason)" }
}
