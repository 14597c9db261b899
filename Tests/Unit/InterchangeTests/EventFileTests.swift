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

  @Test("The bytes TensorBoard's own writer gives for a histogram") func histogramBytes() throws {
    let reference =
      "73000000000000000d737cc80900006040fc54d94110032a660a0c0a05782f6c723015cdcccc3d0a560a01732a510900000000000008c0"
      + "11000000000000f03f1900000000000014402100000000000010c02900000000000020403210000000000000f0bf000000000000f03f"
      + "3a10000000000000004000000000000008404b004a03"
    let event = EventFile.Event(
      wallTimeSeconds: 1_700_000_001.5, step: 3, scalars: [EventFile.Scalar("x/lr0", 0.1)],
      histograms: [EventFile.Histogram("s", lowest: -3, upperEdges: [-1, 1], counts: [2, 3])])
    #expect(event.record.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == reference)
  }

  @Test func aLogIsReadBack() throws {
    var longer = file
    longer.events[0].histograms = [
      EventFile.Histogram("scores", lowest: -3, upperEdges: [-1, 0, 1], counts: [2, 0, 3]),
      EventFile.Histogram("none", lowest: 0, upperEdges: [], counts: []),
    ]
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

  @Test("Records of any content, with good checksums, are read or end the log") func hostileRecords() throws {
    let header = EventFile(wallTimeSeconds: 0).encoded
    var file = file
    file.events[0].histograms = [EventFile.Histogram("s", lowest: -3, upperEdges: [-1, 1], counts: [2, 3])]
    let content = [UInt8](file.encoded[(header.count + 12)...].dropLast(4))
    var state: UInt64 = 1
    func random(below limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
    for _ in 0..<20_000 {
      var mutated = content
      for _ in 0...random(below: 3) { mutated[random(below: mutated.count)] = UInt8(random(below: 256)) }
      mutated.removeLast(random(below: 4))
      let length = (0..<8).map { UInt8(truncatingIfNeeded: mutated.count >> (8 * $0)) }
      let frame = length + masked(length) + mutated + masked(mutated)
      let log = try EventFile(decoding: header + frame, name: "log")
      #expect(
        log.events.count <= 1 && log.events.allSatisfy { $0.scalars.count + $0.histograms.count <= mutated.count })
    }
    let endless = Array(repeating: UInt8.max, count: 12)
    #expect(throws: InterchangeError.self) { try EventFile(decoding: endless, name: "log") }
  }

  private func masked(_ bytes: [UInt8]) -> [UInt8] {
    let checksum = CRC32C.masked(bytes)
    return (0..<4).map { UInt8(truncatingIfNeeded: checksum >> (8 * UInt32($0))) }
  }
}
