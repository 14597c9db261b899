import Wording

/// The members of a zip archive that are stored without compression, as PyTorch writes them, also of one beyond 4 GB
/// (zip64).
struct ZipArchive {
  /// The first bytes of every zip archive of at least one member.
  static let signature: [UInt8] = [0x50, 0x4b, 0x03, 0x04]

  let file: String
  let bytes: [UInt8]
  private var members: [String: Member] = [:]

  private struct Member {
    var method: Int
    /// 0 if none was taken: PyTorch can be told to save the time (`set_crc32_options`).
    var checksum: UInt32
    var storedCount: Int
    var count: Int
    var headerOffset: Int
  }

  /// Reads the central directory. Nothing is copied yet.
  init(_ bytes: [UInt8], file: String) throws(InterchangeError) {
    self.bytes = bytes
    self.file = file
    var (position, count) = try directory()
    while count > 0 {
      guard position + 46 <= bytes.count, word(position) == 0x0201_4b50 else { throw fail("its directory is damaged") }
      let (nameCount, extraCount, commentCount) = (half(position + 28), half(position + 30), half(position + 32))
      let next = position + 46 + nameCount + extraCount + commentCount
      guard next <= bytes.count else { throw fail("its directory is cut short") }
      let name = String(decoding: bytes[(position + 46)..<(position + 46 + nameCount)], as: UTF8.self)
      var sizes = [word(position + 24), word(position + 20), word(position + 42)].map(Int.init)
      try widen(&sizes, extra: (position + 46 + nameCount)..<(position + 46 + nameCount + extraCount), of: name)
      members[name] = Member(
        method: half(position + 10), checksum: word(position + 16), storedCount: sizes[1], count: sizes[0],
        headerOffset: sizes[2])
      position = next
      count -= 1
    }
  }

  var names: [String] { members.keys.sorted() }

  /// Returns a member's bytes in the archive, checked against its checksum.
  func contents(_ name: String) throws(InterchangeError) -> ArraySlice<UInt8> {
    guard let member = members[name] else { throw fail("has no member \(name.shortened())") }
    guard member.method == 0, member.storedCount == member.count else {
      throw fail(
        "its member \(name.shortened()) is compressed, which torch.save never does: the file has been packed anew; "
          + "unpack it and pack it with 'zip -0 -r', or take the original")
    }
    let header = member.headerOffset
    guard header <= bytes.count - 30, word(header) == 0x0403_4b50 else {
      throw fail("its member \(name.shortened()) has no header")
    }
    let start = header + 30 + half(header + 26) + half(header + 28)
    guard start <= bytes.count, member.count <= bytes.count - start else {
      throw fail("its member \(name.shortened()) is cut short")
    }
    let contents = bytes[start..<(start + member.count)]
    guard member.checksum == 0 || checksum(contents) == member.checksum else {
      throw fail("its member \(name.shortened()) does not match its checksum: fetch the file again")
    }
    return contents
  }

  /// Returns where the central directory starts and how many members it has, from the record at the archive's end.
  private func directory() throws(InterchangeError) -> (position: Int, count: Int) {
    // The end record is 22 bytes and a comment of at most 65535.
    let earliest = max(0, bytes.count - 22 - 0xffff)
    guard bytes.count >= 22,
      let end = stride(from: bytes.count - 22, through: earliest, by: -1).first(where: { word($0) == 0x0605_4b50 })
    else { throw fail("is a zip archive that is cut short (its directory, at the end, is missing): fetch it again") }
    let (position, count) = (Int(word(end + 16)), half(end + 10))
    guard position == 0xffff_ffff || count == 0xffff else { return (position, count) }
    // In zip64 a locator stands before the end record and says where the true one is.
    guard end >= 20, word(end - 20) == 0x0706_4b50, let record = long(end - 12), record <= bytes.count - 56,
      word(record) == 0x0606_4b50, let position = long(record + 48), let count = long(record + 32),
      position <= bytes.count, count <= bytes.count / 46
    else { throw fail("its directory is damaged") }
    return (position, count)
  }

  /// Replaces sizes and offsets that do not fit 32 bits by those of the extra field 1, which has them in this order.
  private func widen(_ sizes: inout [Int], extra: Range<Int>, of name: String) throws(InterchangeError) {
    guard sizes.contains(0xffff_ffff) else { return }
    func damaged() -> InterchangeError { fail("its member \(name.shortened()) has no size") }
    var field = extra.lowerBound
    while field + 4 <= extra.upperBound, half(field) != 1 { field += 4 + half(field + 2) }
    guard field + 4 <= extra.upperBound else { throw damaged() }
    let end = min(extra.upperBound, field + 4 + half(field + 2))
    field += 4
    for index in sizes.indices where sizes[index] == 0xffff_ffff {
      guard field + 8 <= end, let size = long(field) else { throw damaged() }
      sizes[index] = size
      field += 8
    }
  }

  private func half(_ position: Int) -> Int { Int(bytes[position]) | Int(bytes[position + 1]) << 8 }

  private func word(_ position: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: half(position)) | UInt32(truncatingIfNeeded: half(position + 2)) << 16
  }

  /// Returns nil for what no file can have.
  private func long(_ position: Int) -> Int? {
    let (low, high) = (Int(word(position)), Int(word(position + 4)))
    return high < 1 << 16 ? high << 32 | low : nil
  }

  private func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, reason) }
}

/// CRC-32 of ISO 3309, as in zip.
func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
  var value: UInt32 = 0xffff_ffff
  for byte in bytes { value = checksumTable[Int(UInt8(truncatingIfNeeded: value) ^ byte)] ^ (value >> 8) }
  return ~value
}

private let checksumTable: [UInt32] = (0..<256).map { byte in
  (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ (value >> 1) : value >> 1 }
}
