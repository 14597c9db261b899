/// The members of a zip archive that are stored without compression, as PyTorch writes them.
struct ZipArchive {
  /// What every zip archive of at least one member starts with.
  static let signature: [UInt8] = [0x50, 0x4b, 0x03, 0x04]

  let file: String
  let bytes: [UInt8]
  private var members: [String: Member] = [:]

  private struct Member {
    var method: Int
    var checksum: UInt32
    var storedCount: Int
    var count: Int
    var headerOffset: Int
  }

  /// Reads the central directory. Nothing is copied yet.
  init(_ bytes: [UInt8], file: String) throws(InterchangeError) {
    self.bytes = bytes
    self.file = file
    // The end record is 22 bytes and a comment of at most 65535.
    let earliest = max(0, bytes.count - 22 - 0xffff)
    guard bytes.count >= 22,
      let end = stride(from: bytes.count - 22, through: earliest, by: -1).first(where: { word($0) == 0x0605_4b50 })
    else { throw fail("no zip archive, or cut short: it has no directory") }
    let count = half(end + 10)
    var position = Int(word(end + 16))
    guard count != 0xffff, position != 0xffff_ffff else { throw fail("a zip archive of 4 GB or more is not read") }
    for _ in 0..<count {
      guard position + 46 <= bytes.count, word(position) == 0x0201_4b50 else { throw fail("its directory is damaged") }
      let (nameCount, extraCount, commentCount) = (half(position + 28), half(position + 30), half(position + 32))
      let next = position + 46 + nameCount + extraCount + commentCount
      guard next <= bytes.count else { throw fail("its directory is cut short") }
      let name = String(decoding: bytes[(position + 46)..<(position + 46 + nameCount)], as: UTF8.self)
      members[name] = Member(
        method: half(position + 10), checksum: word(position + 16), storedCount: Int(word(position + 20)),
        count: Int(word(position + 24)), headerOffset: Int(word(position + 42)))
      position = next
    }
  }

  var names: [String] { members.keys.sorted() }

  /// A member's bytes in the archive, checked against its checksum.
  func contents(_ name: String) throws(InterchangeError) -> ArraySlice<UInt8> {
    guard let member = members[name] else { throw fail("has no member \(name)") }
    guard member.method == 0, member.storedCount == member.count else {
      throw fail("member \(name) is compressed, which PyTorch never does")
    }
    let header = member.headerOffset
    guard header + 30 <= bytes.count, word(header) == 0x0403_4b50 else { throw fail("member \(name) has no header") }
    let start = header + 30 + half(header + 26) + half(header + 28)
    guard start + member.count <= bytes.count else { throw fail("member \(name) is cut short") }
    let contents = bytes[start..<(start + member.count)]
    guard checksum(contents) == member.checksum else { throw fail("member \(name) does not match its checksum") }
    return contents
  }

  private func half(_ position: Int) -> Int { Int(bytes[position]) | Int(bytes[position + 1]) << 8 }

  private func word(_ position: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: half(position)) | UInt32(truncatingIfNeeded: half(position + 2)) << 16
  }

  private func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, reason) }
}

/// CRC-32 of ISO 3309, as in zip.
func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
  var table = Array(repeating: UInt32(0), count: 256)
  for index in table.indices {
    var value = UInt32(index)
    for _ in 0..<8 { value = value & 1 == 1 ? 0xedb8_8320 ^ (value >> 1) : value >> 1 }
    table[index] = value
  }
  var value: UInt32 = 0xffff_ffff
  for byte in bytes { value = table[Int(UInt8(truncatingIfNeeded: value) ^ byte)] ^ (value >> 8) }
  return ~value
}
