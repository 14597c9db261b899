import Network
import Randomness

/// Damages files as chance, malice and broken disks do.
struct Mutator {
  var random: SplitMix64
  /// Byte sequences that mean something in the format.
  let tokens: [[UInt8]]
  /// Files to take pieces from.
  let others: [[UInt8]]

  static let maximumBytes = 1 << 21

  mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(max(bound, 1))) }

  /// A few changes; one file in a thousand is blown up.
  mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<(1 + min(below(8), below(8), below(8))) { change(&bytes) }
    if below(1000) == 0 { inflate(&bytes) }
    if bytes.count > Self.maximumBytes { bytes.removeLast(bytes.count - Self.maximumBytes) }
    return bytes
  }

  private mutating func change(_ bytes: inout [UInt8]) {
    guard !bytes.isEmpty else {
      bytes = tokens[below(tokens.count)]
      return
    }
    let position = below(bytes.count)
    switch below(13) {
    case 0: bytes.removeLast(below(bytes.count + 1))
    case 1, 2: bytes[position] ^= 1 << UInt8(below(8))
    case 3: bytes[position] = [0, 1, 0x7f, 0x80, 0xff, UInt8(below(256))][below(6)]
    case 4: bytes.removeSubrange(range(from: position, in: bytes))
    case 5: bytes.insert(contentsOf: bytes[range(from: position, in: bytes)], at: below(bytes.count))
    case 6: bytes.insert(contentsOf: tokens[below(tokens.count)], at: position)
    case 7:
      let token = tokens[below(tokens.count)]
      bytes.replaceSubrange(position..<min(position + token.count, bytes.count), with: token)
    case 8: splice(&bytes, at: position)
    case 9: writeInteger(&bytes, at: position)
    case 10, 11: writeNumber(&bytes, from: position)
    default:
      let piece = bytes[range(from: position, in: bytes)].prefix(16)
      for _ in 0..<below(200) { bytes.insert(contentsOf: piece, at: position) }
    }
  }

  private mutating func range(from position: Int, in bytes: [UInt8]) -> Range<Int> {
    position..<min(bytes.count, position + 1 + below([4, 16, 64, bytes.count][below(4)]))
  }

  private mutating func splice(_ bytes: inout [UInt8], at position: Int) {
    let other = others[below(others.count)]
    guard !other.isEmpty else { return }
    let start = below(other.count)
    bytes.replaceSubrange(range(from: position, in: bytes), with: other[range(from: start, in: other)])
  }

  /// A length or an offset set to something extreme.
  private mutating func writeInteger(_ bytes: inout [UInt8], at position: Int) {
    let near = UInt64(max(bytes.count + below(17) - 8, 0))
    let values: [UInt64] = [
      0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 1 << 40, 1 << 62,
      .max >> 1, 1 << 63, .max, near,
    ]
    let (value, width, isLittle) = (values[below(values.count)], [2, 4, 8][below(3)], below(2) == 0)
    for byte in 0..<width where position + byte < bytes.count {
      bytes[position + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (isLittle ? byte : width - 1 - byte)))
    }
  }

  /// A number in a text replaced by another.
  private mutating func writeNumber(_ bytes: inout [UInt8], from position: Int) {
    func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    guard let start = bytes[position...].firstIndex(where: isDigit) else { return }
    let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
    let numbers = [
      "0", "1", "-1", "2", "3", "7", "65536", "1000000", "2147483647", "4294967296", "9223372036854775807",
      "9223372036854775808", "-9223372036854775808", "99999999999999999999999", "1e308", "1e999", "-0", "0.5", "NaN",
      "null", "true", "1e-400", "00012", "\(below(1000))",
    ]
    bytes.replaceSubrange(start..<end, with: numbers[below(numbers.count)].utf8)
  }

  /// A piece repeated until the file is large: what nests, nests deeply.
  private mutating func inflate(_ bytes: inout [UInt8]) {
    let position = below(bytes.count + 1)
    var piece = tokens[below(tokens.count)]
    if below(2) == 0, position < bytes.count { piece = Array(bytes[range(from: position, in: bytes)]) }
    guard !piece.isEmpty else { return }
    let wanted = 1 << (12 + below(9))
    var middle: [UInt8] = []
    while middle.count < wanted { middle += piece }
    bytes.insert(contentsOf: middle, at: position)
  }
}
