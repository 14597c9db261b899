import Artifacts
import Fleet
import Sweep
@testable import Transport
import Wire

/// A refusal with the name of what was refused, as a log gives it with the peer's address.
struct NamedRefusal: Error, CustomStringConvertible {
  let description: String
  init(_ file: String, _ error: any Error) { description = "\(file): \(error)" }
}

/// Something that must not be; names no file, which counts as a failure.
struct Broken: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension FuzzReader {
  /// Readers of messages that arrive on connections, and of tokens.
  static let messageReaders: [FuzzReader] = [
    messages("worker-message", SampleMessages.workerMessages.map { .worker($0) }),
    messages("coordinator-message", SampleMessages.coordinatorMessages.map { .coordinator($0) }),
    messages("request", SampleMessages.requests.map { .request($0) }),
    messages("response", SampleMessages.responses.map { .response($0) }),
    messages(
      "bulk-message",
      [
        .bulkRequest(.put(SampleMessages.artifact)), .bulkRequest(.get(SampleMessages.digest, offset: 5)),
        .bulkResponse(.stored), .bulkResponse(.resume(offset: 1 << 40)), .bulkResponse(.artifact(byteCount: 7)),
        .bulkResponse(.failed(reason: "no")),
      ]),
    FuzzReader(
      name: "chunk", fileExtension: "frame",
      tokens: [[0x28, 0xb5, 0x2f, 0xfd], [1, 7, 1], [0xff, 0xff, 0xff, 0x7f]],
      seeds: [
        FuzzSeed(chunk(compressed(Array("greensweep".utf8)))),
        FuzzSeed(chunk(compressed((0..<5_000).map { UInt8(truncatingIfNeeded: $0 &* $0) }))),
        FuzzSeed(WireMessage.chunk(Chunk(offset: 9, isCompressed: false, bytes: [1, 2, 3])).frame),
        FuzzSeed(chunk(compressed([UInt8](repeating: 0, count: 64 << 20))), isSound: false),
        FuzzSeed(chunk(compressed([UInt8](repeating: 0, count: Chunk.maximumByteCount + 1))), isSound: false),
        FuzzSeed([1, 7, 1] + [UInt8](repeating: 0, count: 8), isSound: false),
      ],
      read: { bytes, file in
        do {
          guard case .chunk(let chunk) = try WireMessage(bytes) else { return }
          guard chunk.isCompressed else { return }
          let content = try ZstdDecoder().decompress(chunk.bytes.span, maximumByteCount: Chunk.maximumByteCount)
          if content.count > Chunk.maximumByteCount { throw Broken("a chunk of \(content.count) bytes") }
        } catch let error where !(error is Broken) { throw NamedRefusal(file, error) }
      }),
    FuzzReader(
      name: "frames", fileExtension: "stream",
      tokens: [
        [0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 2, 1, 3], [0xff, 0xff, 0xff, 0xff], [0, 0x10, 0, 0], [1, 1],
      ],
      seeds: [
        FuzzSeed(stream(SampleMessages.workerMessages.map { .worker($0) })),
        FuzzSeed(stream(SampleMessages.coordinatorMessages.map { .coordinator($0) })),
        FuzzSeed(stream(SampleMessages.requests.map { .request($0) })), FuzzSeed([]),
        FuzzSeed([0xff, 0xff, 0xff, 0xff, 1], isSound: false), FuzzSeed([0, 0, 0, 0], isSound: false),
      ],
      read: { bytes, file in
        do { try cut(bytes) { _ = try WireMessage($0) } } catch let error where !(error is Broken) {
          throw NamedRefusal(file, error)
        }
      }),
    FuzzReader(
      name: "token", fileExtension: "token",
      tokens: words("greensweep. .worker. .operator. expires -1 00ff 9223372036854775808 g") + [[10], [13], [0], [32]],
      seeds: [
        FuzzSeed("greensweep.worker.0123abcd." + String(repeating: "5a", count: 32) + "\n"),
        FuzzSeed("greensweep.operator.0123abcd." + String(repeating: "c3", count: 32) + "\nexpires 1700000000\n"),
        FuzzSeed("greensweep.root.0123abcd." + String(repeating: "c3", count: 32) + "\n", isSound: false),
        FuzzSeed("", isSound: false),
      ],
      read: { bytes, file in
        let entry = try TokenFolder.Entry(bytes, file: file)
        let secret = entry.token.text.split(separator: ".").last!
        if "\(entry.token)\(entry)".contains(secret) { throw Broken("printing a token shows its secret") }
        _ = entry.isExpired(at: 0)
      }),
  ]

  /// Messages of one kind: damaged as bytes, and as JSON that says other things.
  private static func messages(_ name: String, _ samples: [WireMessage]) -> FuzzReader {
    FuzzReader(
      name: name, fileExtension: "frame", tokens: messageTokens,
      seeds: samples.map { FuzzSeed($0.frame) }
        + [FuzzSeed([], isSound: false), FuzzSeed(Array(samples[0].frame.dropLast()), isSound: false)],
      read: { bytes, file in
        let message: WireMessage
        do { message = try WireMessage(bytes) } catch { throw NamedRefusal(file, error) }
        // A message that was read is written again in the same words.
        let again = try WireMessage(message.frame)
        if again.frame != message.frame {
          throw Broken("read as \(again.frame.count) bytes, not \(message.frame.count)")
        }
      }, allowance: { 64 * $0.count },
      mutate: { mutator, bytes in
        guard mutator.below(2) == 0, let payload = mutator.mutatedJSON(Array(bytes.dropFirst(2))) else {
          return mutator.mutated(bytes)
        }
        return bytes.prefix(2) + payload
      })
  }

  static let messageTokens =
    words("{ } [ ] , : \" \\ \\u0000 \\ud800 \\udc00 null true false \"nan\" \"inf\" -1 1e999 0 [[[[ {\"a\": ]]")
    + [[0], [0xff], [0xc0, 0x80], [1, 1], [1, 7], [10]]

  private static func compressed(_ bytes: [UInt8]) -> [UInt8] { try! ZstdEncoder().compress(bytes.span) }

  private static func chunk(_ bytes: [UInt8]) -> [UInt8] {
    WireMessage.chunk(Chunk(offset: 1 << 30, isCompressed: true, bytes: bytes)).frame
  }

  private static func stream(_ messages: [WireMessage]) -> [UInt8] {
    messages.flatMap { FrameArrival.header(ofFrame: $0.frame.count) + $0.frame }
  }

  /// Cuts as a connection does, whatever pieces the bytes arrive in.
  private static func cut(_ bytes: [UInt8], _ body: ([UInt8]) throws -> Void) throws {
    var arrival = FrameArrival(limit: ConnectionLimits().frameByteCount)
    var (rest, unseen) = (bytes[...], bytes[...])
    while !rest.isEmpty {
      let room = arrival.room
      guard room > 0, room <= FrameArrival.secondByteCount + bytes.count else { throw Broken("room for \(room) bytes") }
      let piece = rest.prefix(min(room, 1 + rest.count % 5_000))
      arrival.buffer += piece
      rest = rest.dropFirst(piece.count)
      switch arrival.advance() {
      case .wait: break
      case .forbidden(let count): throw TransportError.closed(peer: "peer", reason: "a frame of \(count) bytes")
      case .frame(let frame):
        let whole = FrameArrival.header(ofFrame: frame.count) + frame
        if !unseen.starts(with: whole) { throw Broken("the frame is not what arrived") }
        unseen = unseen.dropFirst(whole.count)
        try body(frame)
      }
    }
  }
}
