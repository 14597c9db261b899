/// Hexadecimal digits, two for each byte, the highest first. They are written in lower case and read in either, or in
/// lower case alone where the same bytes must have one text.
extension FixedWidthInteger where Self: UnsignedInteger {
  /// All digits, leading zeros included.
  @inlinable public var hexDigits: String {
    var digits = [UInt8](repeating: 0, count: Self.bitWidth / 4)
    var rest = self
    for index in digits.indices.reversed() {
      let value = UInt8(truncatingIfNeeded: rest & 15)
      digits[index] = value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") - 10 + value
      rest >>= 4
    }
    return String(decoding: digits, as: UTF8.self)
  }

  /// Reads as many digits as the type holds; any other text gives nil.
  @inlinable public init?(hexDigits digits: some Collection<UInt8>, inLowerCase: Bool = false) {
    guard digits.count == Self.bitWidth / 4 else { return nil }
    var value: Self = 0
    for digit in digits {
      guard let digit = hexValue(of: digit, inLowerCase) else { return nil }
      value = value << 4 | Self(digit)
    }
    self = value
  }
}

extension [UInt8] {
  public var hexDigits: String { map(\.hexDigits).joined() }

  /// Reads two lower-case digits for each byte; any other text gives nil.
  public init?(hexDigits text: some StringProtocol) {
    let digits = Array(text.utf8)
    guard digits.count.isMultiple(of: 2) else { return nil }
    self = []
    for start in stride(from: 0, to: digits.count, by: 2) {
      guard let byte = UInt8(hexDigits: digits[start..<start + 2], inLowerCase: true) else { return nil }
      append(byte)
    }
  }
}

@usableFromInline func hexValue(of digit: UInt8, _ inLowerCase: Bool) -> UInt8? {
  switch digit {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F") where !inLowerCase: digit - UInt8(ascii: "A") + 10
  default: nil
  }
}
