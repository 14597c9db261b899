import Bytes

/// A name as a type of its own, written as plain text.
public protocol Name: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  var name: String { get }
  init(_ name: String)
}

extension Name {
  public var description: String { name }
  public static func < (a: Self, b: Self) -> Bool { a.name < b.name }
  public init(from decoder: any Decoder) throws { self.init(try decoder.singleValueContainer().decode(String.self)) }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(name)
  }
}

/// The name of one submitted grid: the spec's own name and a few digits of its content, such as `campus-1f3a9c04`.
/// Submitting the same spec with the same data gives the same name, which makes submitting idempotent.
public struct SweepID: Name {
  public let name: String
  public init(_ name: String) { self.name = name }
}

/// The identity of a job: the 128-bit FNV-1a hash of the canonical text of everything that determines its result. Two
/// trials, or two sweeps, that ask for the same stage on the same inputs name the same job. Written as 32 hex digits.
public struct JobKey: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  public let bits: UInt128
  public init(bits: UInt128) { self.bits = bits }
  public init(hashing canonicalText: String) { bits = FNV1a.hash128(canonicalText.utf8) }

  public init?(_ hexDigits: String) {
    guard let bits = UInt128(hexDigits: hexDigits.utf8) else { return nil }
    self.bits = bits
  }

  public var description: String { bits.hexDigits }
  /// The first eight digits, which people type; a command that finds several keys with the same start asks for more.
  public var short: String { String(description.prefix(8)) }
  public static func < (a: JobKey, b: JobKey) -> Bool { a.bits < b.bits }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let key = JobKey(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "a job key is 32 hex digits")
    }
    self = key
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

/// The name of an artifact and its length in bytes.
public struct ArtifactReference: Hashable, Sendable, Codable {
  public var digest: Digest
  public var byteCount: Int
  public init(digest: Digest, byteCount: Int) {
    self.digest = digest
    self.byteCount = byteCount
  }
}
