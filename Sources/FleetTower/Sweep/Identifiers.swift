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

/// What a job is, as a number: the 128-bit FNV-1a hash of the canonical text of everything that determines its result.
/// Two trials, or two sweeps, that ask for the same stage on the same inputs name the same job. Written as 32 hex
/// digits.
public struct JobKey: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  public let bits: UInt128
  public init(bits: UInt128) { self.bits = bits }
  public init(hashing canonicalText: String) { bits = contentHash(canonicalText) }

  public init?(_ hexDigits: String) {
    guard hexDigits.utf8.count == 32, let bits = UInt128(hexDigits, radix: 16) else { return nil }
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

/// The SHA-256 of an artifact's bytes, which is its name. Kept as four words (16 hex digits each), without allocation.
public struct ArtifactDigest: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  private let word0, word1, word2, word3: UInt64

  /// - Parameter hexDigits: 64 of them; anything else gives nil.
  public init?(_ hexDigits: String) { self.init(hexDigits.utf8) }

  private init?(_ digits: String.UTF8View) {
    guard digits.count == 64 else { return nil }
    var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    for (index, digit) in digits.enumerated() {
      let value: UInt64
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = UInt64(digit - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = UInt64(digit - UInt8(ascii: "a") + 10)
      default: return nil
      }
      switch index / 16 {
      case 0: words.0 = words.0 << 4 | value
      case 1: words.1 = words.1 << 4 | value
      case 2: words.2 = words.2 << 4 | value
      default: words.3 = words.3 << 4 | value
      }
    }
    (word0, word1, word2, word3) = words
  }

  public var description: String { word0.hexDigits + word1.hexDigits + word2.hexDigits + word3.hexDigits }
  public static func < (a: ArtifactDigest, b: ArtifactDigest) -> Bool {
    (a.word0, a.word1, a.word2, a.word3) < (b.word0, b.word1, b.word2, b.word3)
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let digest = ArtifactDigest(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "a digest is 64 lower-case hex digits")
    }
    self = digest
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

/// An artifact as others speak of it: its name and how many bytes it has.
public struct ArtifactReference: Hashable, Sendable, Codable {
  public var digest: ArtifactDigest
  public var byteCount: Int
  public init(digest: ArtifactDigest, byteCount: Int) {
    self.digest = digest
    self.byteCount = byteCount
  }
}

/// 128-bit FNV-1a over the UTF-8 bytes. Not against forgers (operators are trusted), but wide enough that no two
/// honest jobs ever meet.
func contentHash(_ text: String) -> UInt128 {
  var hash: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d
  for byte in text.utf8 {
    hash ^= UInt128(byte)
    hash = hash &* 0x0000_0000_0100_0000_0000_0000_0000_013b
  }
  return hash
}

extension FixedWidthInteger where Self: UnsignedInteger {
  /// All digits, leading zeros included.
  var hexDigits: String {
    var digits = [UInt8](repeating: 0, count: Self.bitWidth / 4)
    var rest = self
    for index in digits.indices.reversed() {
      let digit = UInt8(truncatingIfNeeded: rest & 15)
      digits[index] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
      rest >>= 4
    }
    return String(decoding: digits, as: UTF8.self)
  }
}
