import Wording

/// Why a data set, one of its files or an image cannot be used. The message names the file (and line, where there is
/// one) and says what to do.
public struct DatasetError: SystemFailure, Sendable, Hashable, CustomStringConvertible {
  public var message: String
  public var errorNumber: Int32?
  /// Whether the bytes of an image are at fault.
  public var isDamage: Bool

  public init(_ message: String, errorNumber: Int32? = nil, isDamage: Bool = false) {
    self.message = message
    self.errorNumber = errorNumber
    self.isDamage = isDamage
  }

  public var description: String { message }
}
