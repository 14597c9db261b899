import Foundation
import Testing

@testable import Interchange

@Suite struct EventFileTests {
  let file = EventFile(
    wallTimeSeconds: 1_700_000_000.25,
    events: [
      EventFile.Event(
        wallTimeSeconds: 1_700_000_001.5, step: 3,
        scalars: [EventFile.Scalar("train/box_loss", 0.05), EventFile.Scalar("x/lr0", 0.1)])
    ])

  @Test("The vectors of RFC 3720") func checksums() {
    #expect(CRC32C.checksum(Array(repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32C.checksum(Array(repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(CRC32C.checksum(0..<32) == 0x46DD_794E)
    #expect(CRC32C.checksum("123456789".utf8) == 0xE306_9283)
    #expect(CRC32C.checksum([]) == 0)
  }

  @Test("The bytes TensorBoard's own writer gives") func bytes() {
    let reference =
      "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe9"
      + "3200000000000000241956ec0900006040fc54d94110032a250a150a0e747261696e2f626f785f6c6f737315cdcc4c3d"
      + "0a0c0a05782f6c723015cdcccc3d8fc1e655"
    #expect(file.encoded.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == reference)
  }

  @Test func aLogIsReadBack() throws {
    var longer = file
    longer.events.append(EventFile.Event(wallTimeSeconds: 0, step: -1, scalars: []))
    longer.events.append(EventFile.Event(wallTimeSeconds: 2, step: .max, scalars: [EventFile.Scalar("é", -1e-30)]))
    #expect(try EventFile(decoding: longer.encoded, name: "log") == longer)
  }

  @Test("A crash may cut the last record anywhere; a wrong bit ends the log before it") func damage() throws {
    let bytes = file.encoded
    let headerCount = EventFile(wallTimeSeconds: file.wallTimeSeconds).encoded.count
    for count in bytes.indices {
      let cut = try? EventFile(decoding: Array(bytes.prefix(count)), name: "log")
      #expect(cut?.events == (count < headerCount ? nil : []), "\(count) bytes")
    }
    for position in bytes.indices {
      var damaged = bytes
      damaged[position] ^= 0x10
      #expect((try? EventFile(decoding: damaged, name: "log"))?.events != file.events)
    }
  }
}
