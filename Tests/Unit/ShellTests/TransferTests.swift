import Artifacts
import Bytes
import Foundation
import Randomness
import Sweep
import Testing
@testable import Transfer
import Transport
import Wire

extension LoopShell {
  /// A coordinator reduced to its bulk service.
  /// - Parameter cuts: after so long each connection is cut.
  func serveBulk(_ folder: ArtifactFolder, _ token: Token, reserve: Int = 0, cuts: Duration? = nil) throws -> Endpoint {
    // As patient as `withoutHanging`: tests that compute may keep the tasks of both ends waiting.
    var limits = ConnectionLimits()
    limits.idleSeconds = 600
    let listener = try Listener(
      at: Endpoint(host: "127.0.0.1", port: 0), on: loop, keyring: Keyring([token]), limits: limits
    ) { [self] connection in
      let stream = FrameStream(connection)
      Task { await serveBulk(stream, folder, reserve) }
      if let cuts { _ = Transport.Timer(on: loop, after: cuts) { stream.abort("cut") } }
    }
    return Endpoint(host: "127.0.0.1", port: listener.address.port)
  }

  private func serveBulk(_ stream: FrameStream, _ folder: ArtifactFolder, _ reserve: Int) async {
    guard case .bulkRequest(let request) = try? WireMessage(try await stream.next()) else { return }
    await BulkService(folder, reserveByteCount: reserve).serve(stream, first: request)
  }

  /// Sends the first chunks of an upload and then vanishes.
  func beginUpload(_ path: String, _ reference: ArtifactReference, chunks: Int, to endpoint: Endpoint, _ token: Token)
    async throws -> Int
  {
    let stream = try await Transfer.dial(endpoint, token, on: loop)
    try await stream.send(WireMessage.bulkRequest(.put(reference)).frame)
    guard case .bulkResponse(.resume(let offset)) = try WireMessage(try await stream.next()) else { return -1 }
    let source = try ArtifactSource(path, from: offset)
    for chunk in try await source.next().prefix(chunks) { try await stream.send(WireMessage.chunk(chunk).frame) }
    // Long enough for the chunks to have arrived.
    try await Task.sleep(for: .milliseconds(300))
    stream.abort("cut")
    return offset
  }

  func sendDamaged(_ path: String, _ reference: ArtifactReference, to endpoint: Endpoint, _ token: Token) async throws {
    let stream = try await Transfer.dial(endpoint, token, on: loop)
    try await stream.send(WireMessage.bulkRequest(.put(reference)).frame)
    _ = try await stream.next()
    let source = try ArtifactSource(path, from: 0)
    while case let chunks = try await source.next(), !chunks.isEmpty {
      for chunk in chunks {
        var bytes = Array(chunk.bytes)
        bytes[bytes.count / 2] ^= 1
        let damaged = Chunk(offset: chunk.offset, isCompressed: chunk.isCompressed, bytes: bytes)
        try await stream.send(WireMessage.chunk(damaged).frame)
      }
    }
    let answer = try WireMessage(try await stream.next())
    guard case .bulkResponse(.failed) = answer else { throw TransferError.protocolViolation("\(answer)") }
  }
}

@Suite struct TransferTests {
  let temporary: TemporaryFolder
  let store: ArtifactFolder
  let server: LoopShell
  let token: Token

  init() throws {
    temporary = try TemporaryFolder()
    store = try ArtifactFolder(temporary.path + "/store")
    server = try LoopShell()
    token = try Token(role: .worker)
  }

  /// Half noise, half text.
  func file(byteCount: Int) throws -> (path: String, reference: ArtifactReference, bytes: [UInt8]) {
    var random = SplitMix64(seed: UInt64(byteCount))
    let bytes = (0..<byteCount).map { index in
      index < byteCount / 2 ? UInt8(truncatingIfNeeded: random.next()) : UInt8(index / 1000 % 256)
    }
    let path = temporary.path + "/file-\(byteCount)"
    try Files.writeDurably(bytes, to: path)
    return (path, ArtifactReference(digest: try Digest(of: bytes.span), byteCount: byteCount), bytes)
  }

  @Test(arguments: [0, 1, 256 << 10, 256 << 10 + 1, 5_000_000])
  func goesThereAndBack(byteCount: Int) async throws {
    let (path, reference, bytes) = try file(byteCount: byteCount)
    let endpoint = try await server.run { [store, token] in try $0.serveBulk(store, token) }
    let client = try BulkClient(endpoint, token)
    let copy = temporary.path + "/copy"
    try await withoutHanging {
      try await client.upload(path, as: reference)
      try await client.upload(path, as: reference)
      try await client.download(reference, to: ArtifactSink(reference, to: copy))
    }
    try store.verify(reference.digest)
    let isEqual = try Files.read(copy) == bytes
    #expect(isEqual)
  }

  @Test func anUploadGoesOnWhereItWasCut() async throws {
    let (path, reference, _) = try file(byteCount: 3_000_000)
    let endpoint = try await server.run { [store, token] in try $0.serveBulk(store, token) }
    let shell = try LoopShell()
    let offsets = try await withoutHanging { [token] in
      var offsets: [Int] = []
      for _ in 0..<2 {
        offsets.append(
          try await shell.run { try await $0.beginUpload(path, reference, chunks: 4, to: endpoint, token) })
        try await Task.sleep(for: .milliseconds(200))
      }
      try await BulkClient(endpoint, token).upload(path, as: reference)
      return offsets
    }
    #expect(offsets == [0, 4 * Chunk.maximumByteCount])
    try store.verify(reference.digest)
  }

  @Test func aLineThatIsCutAnywhereIsAnError() async throws {
    let (path, reference, _) = try file(byteCount: 5_000_000)
    let digest = try store.adopt(path).digest
    try await withoutHanging { [server, token, store, temporary] in
      for round in 0..<120 {
        let empty = try ArtifactFolder(temporary.path + "/store-\(round)", isDurable: false)
        let endpoint = try await server.run {
          try $0.serveBulk(round % 2 == 0 ? empty : store, token, cuts: .microseconds(100 * round))
        }
        do {
          if round % 2 == 0 {
            try await BulkClient(endpoint, token).upload(path, as: reference)
          } else {
            let sink = try ArtifactSink(reference, to: temporary.path + "/copy-\(round)")
            try await BulkClient(endpoint, token).download(reference, to: sink)
          }
        } catch is TransportError {} catch is TransferError {}
      }
    }
    try store.verify(digest)
  }

  @Test func aFlippedByteIsNoticedOnArrival() async throws {
    let (path, reference, _) = try file(byteCount: 600_000)
    let endpoint = try await server.run { [store, token] in try $0.serveBulk(store, token) }
    let shell = try LoopShell()
    try await withoutHanging { [token] in
      try await shell.run { try await $0.sendDamaged(path, reference, to: endpoint, token) }
    }
    #expect(store.byteCount(of: reference.digest) == nil)
  }

  @Test func aFlippedByteInTheStoreIsNoticedByWhoeverFetchesIt() async throws {
    let (path, reference, bytes) = try file(byteCount: 600_000)
    let digest = try store.adopt(path).digest
    var damaged = bytes
    damaged[123_456] ^= 4
    try Files.writeDurably(damaged, to: store.location(of: digest))
    let endpoint = try await server.run { [store, token] in try $0.serveBulk(store, token) }
    let copy = temporary.path + "/copy"
    let client = try BulkClient(endpoint, token)
    let sink = try ArtifactSink(reference, to: copy)
    await #expect { try await client.download(reference, to: sink) } throws: { "\($0)".contains("was damaged") }
    #expect(!Files.exists(copy))
    // It is out of the way, so that the right bytes can take its place.
    #expect(store.byteCount(of: digest) == nil)
    #expect(try Files.read("\(store.path)/damaged/\(digest)") == damaged)
    try await client.upload(temporary.path + "/file-600000", as: reference)
    try await client.download(reference, to: ArtifactSink(reference, to: copy + "2"))
    #expect(try Files.read(copy + "2") == bytes)
  }

  @Test func aDamagedArtifactIsNotConfirmed() async throws {
    let (path, reference, bytes) = try file(byteCount: 300_000)
    let digest = try store.adopt(path).digest
    for damaged in [Array(bytes.dropLast(7)), bytes.map { $0 ^ 1 }] {
      try Files.writeDurably(damaged, to: store.location(of: digest))
      let endpoint = try await server.run { [store, token] in try $0.serveBulk(store, token) }
      try await BulkClient(endpoint, token).upload(path, as: reference)
      #expect(try Digest(ofFile: store.location(of: digest)) == digest)
    }
  }

  @Test func aStoreWithoutRoomSaysSoAndGoesOnWhenThereIsSome() async throws {
    let (path, reference, _) = try file(byteCount: 300_000)
    let full = try await server.run { [store, token] in try $0.serveBulk(store, token, reserve: .max / 2) }
    await #expect { try await BulkClient(full, token).upload(path, as: reference) } throws: {
      "\($0)".contains("no room")
    }
    let roomy = try await server.run { [store, token] in try $0.serveBulk(store, token) }
    try await BulkClient(roomy, token).upload(path, as: reference)
    #expect(store.byteCount(of: reference.digest) == reference.byteCount)
  }

  @Test func whatIsNotThereIsRefusedWithWords() async throws {
    let (_, reference, _) = try file(byteCount: 10)
    let endpoint = try await server.run { [store, token] in try $0.serveBulk(store, token) }
    let copy = temporary.path + "/copy"
    let client = try BulkClient(endpoint, token)
    let sink = try ArtifactSink(reference, to: copy)
    await #expect {
      try await client.download(reference, to: sink)
    } throws: {
      "\($0)".contains("does not have")
    }
  }
}

@Suite struct CompressionTests {
  /// A line that has taken so long for a byte for a good while.
  private func choice(secondsPerByte: Double) -> CompressionChoice {
    var choice = CompressionChoice()
    for _ in 0..<100 { choice.sent(byteCount: 1000, seconds: 1000 * secondsPerByte) }
    return choice
  }

  private func pays(_ choice: inout CompressionChoice, to byteCount: Int, seconds: Double) -> Bool {
    choice.pays(from: 262_144, to: byteCount, seconds: seconds)
  }

  private func isToBeTried(_ choice: inout CompressionChoice) -> Bool { choice.isToBeTried() }

  @Test func nothingIsTriedWhileNothingIsKnownOfTheLine() {
    var choice = CompressionChoice()
    let isTried = isToBeTried(&choice)
    #expect(!isTried)
  }

  @Test func paysWhereSavingIsFasterThanSending() {
    // 8 % of 256 KiB are worth 2.1 ms on a line of 10 MB/s.
    var choice = choice(secondsPerByte: 1e-7)
    let quick = pays(&choice, to: 241_172, seconds: 0.001)
    let triedAgain = isToBeTried(&choice)
    let slow = pays(&choice, to: 241_172, seconds: 0.003)
    let triedOnceMore = isToBeTried(&choice)
    #expect(quick && triedAgain && !slow && !triedOnceMore)
  }

  @Test func triesAgainAfterAWhile() {
    var choice = choice(secondsPerByte: 1e-9)
    let pays = pays(&choice, to: 200_000, seconds: 0.001)
    #expect(!pays)
    let tries = (0..<200).map { _ in isToBeTried(&choice) }
    #expect(tries.firstIndex(of: true) == 127)
  }

  /// A reader that takes 80 ms for a megabyte is a line of 13 MB/s.
  @Test func aSlowLineGetsCompressedChunksThatUnpackToTheSame() async throws {
    let temporary = try TemporaryFolder()
    let path = temporary.path + "/file"
    let bytes = (0..<4_000_000).map { UInt8(truncatingIfNeeded: $0 / 1000) }
    try Files.writeDurably(bytes, to: path)
    let reference = ArtifactReference(digest: try Digest(of: bytes.span), byteCount: bytes.count)
    let source = try ArtifactSource(path, from: 0)
    let sink = try ArtifactSink(reference, to: temporary.path + "/copy")
    _ = try await sink.open()
    var compressed = 0
    var sending: ArtifactSource.Sending?
    while case let chunks = try await source.next(after: sending), !chunks.isEmpty {
      compressed += chunks.count(where: \.isCompressed)
      _ = try await sink.append(chunks)
      sending = ArtifactSource.Sending(byteCount: chunks.reduce(0) { $0 + $1.bytes.count }, seconds: 0.08)
    }
    try await sink.finish()
    #expect(compressed > 8, "of 16 chunks")
  }
}
