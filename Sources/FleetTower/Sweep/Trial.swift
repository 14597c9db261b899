/// The short, stable name of a trial: the first eight hex digits of its grid point's hash.
public struct TrialID: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  public let name: String
  public init(_ name: String) { self.name = name }
  public var description: String { name }
  public static func < (a: TrialID, b: TrialID) -> Bool { a.name < b.name }
  public init(from decoder: any Decoder) throws { name = try decoder.singleValueContainer().decode(String.self) }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(name)
  }
}

/// One point of the grid.
public struct Trial: Hashable, Sendable {
  public let id: TrialID
  public let backbone: String
  public let optimizer: String
  public let sparsityRate: Double
  public let pruneRatio: Double
  public let seed: Int
}
