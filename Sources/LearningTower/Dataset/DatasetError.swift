/// Why a data set, one of its files or an image cannot be used. The message names the file (and line, where there is
/// one) and says what to do.
public struct DatasetError: Error, Sendable, Hashable, CustomStringConvertible {
  public var message: String

  public init(_ message: String) { self.message = message }

  public var description: String { message }
}
