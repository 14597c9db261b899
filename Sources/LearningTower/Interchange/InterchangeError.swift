import Wording

/// Why a file cannot be read or written.
public struct InterchangeError: SystemFailure, Sendable, Hashable, CustomStringConvertible {
  /// The file, or what stands for one.
  public var file: String
  public var reason: String
  public var errorNumber: Int32?

  /// - Parameter reason: shortened where what it names from the file is endless.
  public init(file: String, _ reason: String, errorNumber: Int32? = nil) {
    self.file = file
    self.reason = reason.shortened(to: 1_000)
    self.errorNumber = errorNumber
  }

  public var description: String { "\(file): \(reason)" }
}
