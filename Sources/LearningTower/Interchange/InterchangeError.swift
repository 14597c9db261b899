import Wording

/// Why a file cannot be read or written.
public struct InterchangeError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The file, or what stands for one.
  public var file: String
  public var reason: String

  /// - Parameter reason: shortened where what it names from the file is endless.
  public init(file: String, _ reason: String) {
    self.file = file
    self.reason = reason.shortened(to: 1_000)
  }

  public var description: String { "\(file): \(reason)" }
}
