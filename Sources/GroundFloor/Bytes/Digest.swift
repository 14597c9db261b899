/// The SHA-256 of some bytes, which is the name of an artifact. Its text is 64 lower-case hexadecimal digits; it sorts
/// like its text and needs no memory of its own.
public struct Digest: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  /// The first 16 bytes and the last, each as a number with the most significant byte first.
  private let first, last: UInt128

  public static let byteCount = 32

  /// - Precondition: there are 32 bytes.
  public init(bytes: [UInt8]) {
    precondition(bytes.count == Self.byteCount, "a SHA-256 has 32 bytes")
    func number(_ range: Range<Int>) -> UInt128 { bytes[range].reduce(0) { $0 << 8 | UInt128($1) } }
    (first, last) = (number(0..<16), number(16..<32))
  }

  /// - Parameter hexDigits: 64 of them, in lower case; anything else gives nil.
  public init?(_ hexDigits: some StringProtocol) {
    let digits = hexDigits.utf8
    guard digits.count == 64, let first = UInt128(hexDigits: digits.prefix(32), inLowerCase: true),
      let last = UInt128(hexDigits: digits.dropFirst(32), inLowerCase: true)
    else { return nil }
    (self.first, self.last) = (first, last)
  }

  public var description: String { first.hexDigits + last.hexDigits }
  public var bytes: [UInt8] {
    [first, last].flatMap { half in
      stride(from: 120, through: 0, by: -8).map { UInt8(truncatingIfNeeded: half >> $0) }
    }
  }

  /// The first eight bytes.
  public var prefix: UInt64 { UInt64(first >> 64) }

  public static func < (a: Digest, b: Digest) -> Bool { (a.first, a.last) < (b.first, b.last) }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let digest = Digest(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "a digest is 64 lower-case hex digits")
    }
    self = digest
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
