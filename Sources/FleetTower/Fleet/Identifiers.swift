import Sweep

/// A worker daemon, by the name it drew once and keeps in its cache folder.
public struct WorkerID: Name {
  public let name: String
  public init(_ name: String) { self.name = name }
}

/// A machine. Several workers may share one; benchmarks have it to themselves.
public struct BoxID: Name {
  public let name: String
  public init(_ name: String) { self.name = name }
}

/// The fencing number: every attempt of every job gets the next one, and it is journalled before anyone hears of it, so
/// no number is ever used twice and of two attempts at a job the greater number is the newer.
public struct AttemptNumber: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  public let value: UInt64
  public init(_ value: UInt64) { self.value = value }
  public var description: String { "#\(value)" }
  public static func < (a: AttemptNumber, b: AttemptNumber) -> Bool { a.value < b.value }
  public init(from decoder: any Decoder) throws { value = try decoder.singleValueContainer().decode(UInt64.self) }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(value)
  }
}

/// A connection as the coordinator's shell numbers them; never reused within a process.
public struct ConnectionID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let value: UInt64
  public init(_ value: UInt64) { self.value = value }
  public var description: String { "connection \(value)" }
  public static func < (a: ConnectionID, b: ConnectionID) -> Bool { a.value < b.value }
}
