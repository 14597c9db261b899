/// Where something stands in a file; lines and columns count from 1.
public struct YAMLLocation: Sendable, Hashable {
  public var file: String
  public var line: Int
  public var column: Int

  public init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }
}

/// Why a YAML text cannot be read, or does not hold what was asked of it. Prints as `file:line: message`.
public struct YAMLError: Error, Sendable, Hashable, CustomStringConvertible {
  public var file: String
  /// Counts from 1; nil when the file as a whole is meant.
  public var line: Int?
  public var message: String

  public init(file: String, line: Int? = nil, message: String) {
    self.file = file
    self.line = line
    self.message = message
  }

  public var description: String {
    if let line { "\(file):\(line): \(message)" } else { "\(file): \(message)" }
  }
}
