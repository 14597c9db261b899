/// A message of protocol buffers as a value: numbered fields in order. Every message knows the length of its encoding,
/// so that one pass writes the whole tree and large contents are copied once.
struct ProtobufMessage: Sendable {
  private enum Value {
    case integer(Int)
    case float(Float)
    case double(Double)
    case bytes([UInt8])
    case message(ProtobufMessage)
  }

  private var fields: [(number: Int, value: Value)] = []
  private(set) var byteCount = 0

  /// A varint: `int32`, `int64` or an enumeration.
  mutating func append(_ number: Int, _ integer: Int) {
    fields.append((number, .integer(integer)))
    byteCount += varintCount(number << 3) + varintCount(integer)
  }

  mutating func append(_ number: Int, _ float: Float) {
    fields.append((number, .float(float)))
    byteCount += varintCount(number << 3) + 4
  }

  mutating func append(_ number: Int, _ double: Double) {
    fields.append((number, .double(double)))
    byteCount += varintCount(number << 3) + 8
  }

  mutating func append(_ number: Int, _ bytes: [UInt8]) {
    fields.append((number, .bytes(bytes)))
    byteCount += varintCount(number << 3) + varintCount(bytes.count) + bytes.count
  }

  mutating func append(_ number: Int, _ text: String) { append(number, Array(text.utf8)) }

  mutating func append(_ number: Int, _ message: ProtobufMessage) {
    fields.append((number, .message(message)))
    byteCount += varintCount(number << 3) + varintCount(message.byteCount) + message.byteCount
  }

  var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount)
    write(to: &bytes)
    return bytes
  }

  private func write(to bytes: inout [UInt8]) {
    for (number, value) in fields {
      switch value {
      case .integer(let integer):
        appendVarint(number << 3, to: &bytes)
        appendVarint(integer, to: &bytes)
      case .float(let float):
        appendVarint(number << 3 | 5, to: &bytes)
        for byte in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: float.bitPattern >> UInt32(8 * byte))) }
      case .double(let double):
        appendVarint(number << 3 | 1, to: &bytes)
        for byte in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: double.bitPattern >> UInt64(8 * byte))) }
      case .bytes(let content):
        appendVarint(number << 3 | 2, to: &bytes)
        appendVarint(content.count, to: &bytes)
        bytes += content
      case .message(let message):
        appendVarint(number << 3 | 2, to: &bytes)
        appendVarint(message.byteCount, to: &bytes)
        message.write(to: &bytes)
      }
    }
  }
}

/// Seven bits a byte, the lowest first; the top bit says that more follow. Negative numbers take ten bytes.
private func appendVarint(_ value: Int, to bytes: inout [UInt8]) {
  var rest = UInt64(bitPattern: Int64(value))
  while rest >= 0x80 {
    bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
    rest >>= 7
  }
  bytes.append(UInt8(truncatingIfNeeded: rest))
}

private func varintCount(_ value: Int) -> Int {
  max(1, (70 - UInt64(bitPattern: Int64(value)).leadingZeroBitCount) / 7)
}
