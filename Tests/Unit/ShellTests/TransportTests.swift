import Foundation
import Testing
@testable import Transport

private let anywhere = Endpoint(host: "127.0.0.1", port: 0)

extension LoopShell {
  /// A listener that answers every frame with the same frame.
  func echo(_ tokens: [Token], limits: ConnectionLimits = ConnectionLimits()) throws -> SocketAddress {
    let listener = try Listener(at: anywhere, on: loop, keyring: Keyring(tokens), limits: limits) { connection in
      connection.onEvent = { event in
        if case .frame(let frame) = event { connection.send(frame) }
      }
    }
    return listener.address
  }

  /// A listener that sends everybody the same frame over and over, as long as they stay.
  func pour(_ frame: [UInt8], to token: Token, limits: ConnectionLimits) throws -> SocketAddress {
    let listener = try Listener(at: anywhere, on: loop, keyring: Keyring([token]), limits: limits) {
      [self] connection in
      let stream = FrameStream(connection)
      Task { try await pour(frame, into: stream) }
    }
    return listener.address
  }

  private func pour(_ frame: [UInt8], into stream: FrameStream) async throws {
    while true { try await stream.send(frame) }
  }

  /// Takes so many frames, slowly.
  /// - Returns: if the connection was closed before, the longest pause between two of them.
  func drink(_ frame: [UInt8], times count: Int, from address: SocketAddress, with token: Token) async throws
    -> Duration?
  {
    let stream = try dial(address, token)
    try await stream.opened()
    var longest = Duration.zero
    var last = ContinuousClock.now
    for _ in 0..<count {
      guard let next = try? await stream.next() else { return longest }
      let isIntact = next == frame
      #expect(isIntact)
      try await Task.sleep(for: .milliseconds(100))
      longest = max(longest, .now - last)
      last = .now
    }
    stream.close()
    return nil
  }

  func dial(_ address: SocketAddress, _ token: Token, limits: ConnectionLimits = ConnectionLimits()) throws
    -> FrameStream
  {
    FrameStream(try Dialer(on: loop, token: token, limits: limits).connect(to: address))
  }

  func roundTrip(_ frames: [[UInt8]], to address: SocketAddress, with token: Token) async throws -> [[UInt8]] {
    let stream = try dial(address, token)
    try await stream.opened()
    var answers: [[UInt8]] = []
    for frame in frames {
      try await stream.send(frame)
      answers.append(try await stream.next())
    }
    stream.close()
    return answers
  }
}

@Suite struct TokenTests {
  @Test func survivesItsFile() throws {
    let folder = try TemporaryFolder()
    let token = try Token(role: .worker)
    try token.write(to: folder.path + "/token")
    #expect(try Token(file: folder.path + "/token") == token)
    #expect(try Token(role: .worker) != token)
  }

  @Test func refusesAFileOthersCanRead() throws {
    let folder = try TemporaryFolder()
    try Token(role: .operator).write(to: folder.path + "/token")
    _ = unsafe chmod(folder.path + "/token", 0o640)
    #expect { try Token(file: folder.path + "/token") } throws: { "\($0)".contains("chmod 600") }
  }

  @Test(arguments: [
    "", "greensweep", "greensweep.worker..", "greensweep.root.00000000." + String(repeating: "0", count: 64),
    "greensweep.worker.00000000." + String(repeating: "0", count: 62),
    "greensweep.worker.00000000." + String(repeating: "g", count: 64),
    "greensweep.worker.0000.00." + String(repeating: "0", count: 64),
  ])
  func refusesOtherText(text: String) {
    #expect(throws: TransportError.self) { try Token(text: text) }
  }

  @Test func neverPrintsItsSecret() throws {
    let token = try Token(role: .worker)
    let secret = token.text.split(separator: ".").last!
    var dumped = ""
    dump([token], to: &dumped)
    for text in ["\(token)", "\([token])", String(reflecting: token), dumped] { #expect(!text.contains(secret)) }
  }
}

@Suite struct EndpointTests {
  @Test func readsAndWrites() throws {
    #expect(try Endpoint("box-7.local:7433") == Endpoint(host: "box-7.local", port: 7433))
    #expect(try Endpoint("[::1]:80").host == "::1")
    #expect(try Endpoint("[::1]:80").description == "[::1]:80")
    for text in ["", "host", ":80", "host:", "host:70000", "::1:80", "host:8o"] {
      #expect(throws: TransportError.self) { try Endpoint(text) }
    }
    #expect(try Endpoint("127.0.0.1:81").resolveBlocking().map(\.description) == ["127.0.0.1:81"])
  }
}

@Suite struct FrameArrivalTests {
  @Test func takesMemoryAsBytesArrive() {
    var arrival = FrameArrival(limit: 16 << 20)
    arrival.buffer = FrameArrival.header(ofFrame: 16 << 20)
    var step = arrival.advance()
    var pieces = 0
    while step == .wait {
      let arrived = arrival.buffer.count
      let allowed = max(arrived < 16 << 10 ? 16 << 10 : 257 << 10, 2 * arrived)
      #expect(arrived + arrival.room <= allowed)
      #expect(arrival.buffer.capacity <= allowed + allowed / 4)
      arrival.buffer += [UInt8](repeating: 7, count: min(arrival.room, 10_000))
      step = arrival.advance()
      pieces += 1
    }
    #expect(step == .frame([UInt8](repeating: 7, count: 16 << 20)))
    #expect(pieces > 1_600)
  }

  @Test(arguments: [0, 1001, 1 << 31])
  func forbidsALengthBeforeAnythingFollows(byteCount: Int) {
    var arrival = FrameArrival(limit: 1000)
    arrival.buffer = FrameArrival.header(ofFrame: byteCount)
    let step = arrival.advance()
    #expect(step == .forbidden(byteCount: byteCount))
  }
}

@Suite struct ConnectionTests {
  @Test func carriesFramesOfAllSizes() async throws {
    let (server, client) = (try LoopShell(), try LoopShell())
    let token = try Token(role: .worker)
    let address = try await server.run { try $0.echo([Token(role: .operator), token]) }
    let frames = [1, 2, 100, 16_384, 70_000, 3_000_000].map { size in
      (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ size) }
    }
    let answers = try await withoutHanging {
      try await client.run { try await $0.roundTrip(frames, to: address, with: token) }
    }
    let areEqual = answers == frames
    #expect(areEqual)
  }

  @Test func refusesAWrongSecretAnUnknownTokenAndAnotherRole() async throws {
    let (server, client) = (try LoopShell(), try LoopShell())
    let token = try Token(role: .worker)
    let address = try await server.run { try $0.echo([token]) }
    let forged = token.text.dropLast(4) + "0123"
    let otherRole = token.text.replacing("worker", with: "operator")
    for text in [String(forged), otherRole, try Token(role: .worker).text] where text != token.text {
      await #expect(throws: TransportError.self) {
        try await withoutHanging {
          try await client.run { _ = try await $0.roundTrip([[1]], to: address, with: Token(text: text)) }
        }
      }
    }
    // A client that knows the token is still served.
    let answer = try await withoutHanging {
      try await client.run { try await $0.roundTrip([[1]], to: address, with: token) }
    }
    #expect(answer == [[1]])
  }

  @Test func closesOnAFrameBeyondTheLimit() async throws {
    let (server, client) = (try LoopShell(), try LoopShell())
    let token = try Token(role: .worker)
    var limits = ConnectionLimits()
    limits.frameByteCount = 1000
    let address = try await server.run { [limits] in try $0.echo([token], limits: limits) }
    let ok = [UInt8](repeating: 1, count: 1000)
    let answer = try await client.run { try await $0.roundTrip([ok], to: address, with: token) }
    #expect(answer == [ok])
    await #expect(throws: TransportError.self) {
      try await withoutHanging {
        try await client.run { _ = try await $0.roundTrip([ok + [1]], to: address, with: token) }
      }
    }
  }

  @Test func closesStrangersWhoSayNothingOrNonsense() async throws {
    let server = try LoopShell()
    let token = try Token(role: .worker)
    var limits = ConnectionLimits()
    limits.handshakeSeconds = 0.3
    let address = try await server.run { [limits] in try $0.echo([token], limits: limits) }
    var generator = SystemRandomNumberGenerator()
    for length in [0, 1, 5, 600] {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let closed = try await withoutHanging { connectSendAndAwaitEnd(port: address.port, bytes) }
      #expect(closed, "after \(bytes)")
    }
  }

  @Test func closesSilentPeers() async throws {
    let (server, client) = (try LoopShell(), try LoopShell())
    let token = try Token(role: .worker)
    var limits = ConnectionLimits()
    limits.idleSeconds = 0.3
    let address = try await server.run { [limits] in try $0.echo([token], limits: limits) }
    await #expect(throws: TransportError.self) {
      try await withoutHanging {
        try await client.run { shell in
          let stream = try shell.dial(address, token)
          try await stream.opened()
          _ = try await stream.next()
        }
      }
    }
  }

  /// Longer than a silent peer may be.
  @Test func aLongTransferInOneDirectionIsNoSilence() async throws {
    let (server, client) = (try LoopShell(), try LoopShell())
    let token = try Token(role: .worker)
    var limits = ConnectionLimits()
    limits.idleSeconds = 4
    let frame = [UInt8](repeating: 7, count: 1 << 20)
    let address = try await server.run { [limits] in try $0.pour(frame, to: token, limits: limits) }
    let longestPause = try await withoutHanging {
      try await client.run { try await $0.drink(frame, times: 80, from: address, with: token) }
    }
    // A reader that a busy machine held up for so long may have been taken for dead.
    if let longestPause { #expect(longestPause > .seconds(2), "cut after pauses of at most \(longestPause)") }
  }

  /// Small ones by the hundred thousand, which were slow to take and large to keep.
  @Test func tinyFramesAreTakenInNoTime() async throws {
    let (server, client) = (try LoopShell(), try LoopShell())
    let token = try Token(role: .worker)
    let address = try await server.run { try $0.pour([7], to: token, limits: ConnectionLimits()) }
    try await withoutHanging {
      try await client.run { shell in
        let stream = try shell.dial(address, token)
        try await stream.opened()
        try await Task.sleep(for: .seconds(5))  // They gather.
        let start = ContinuousClock.now
        for _ in 0..<200_000 { _ = try await stream.next() }
        #expect(ContinuousClock.now - start < .seconds(30))
        stream.close()
      }
    }
  }

  @Test func makesAFastSenderWaitForASlowReader() async throws {
    let (server, client) = (try LoopShell(), try LoopShell())
    let token = try Token(role: .worker)
    let streams = AsyncStream<UncheckedStream>.makeStream()
    var limits = ConnectionLimits()
    limits.idleSeconds = 600  // A test may have to wait for a thread longer than a peer should.
    let address = try await server.run { [limits] shell in
      try Listener(at: anywhere, on: shell.loop, keyring: Keyring([token]), limits: limits) { connection in
        streams.continuation.yield(UncheckedStream(stream: FrameStream(connection)))
      }.address
    }
    let sent = Counter()
    let frame = [UInt8](repeating: 9, count: 200_000)
    let sender = Task {
      try await client.run { [limits] shell in
        let stream = try shell.dial(address, token, limits: limits)
        try await stream.opened()
        for _ in 0..<300 {
          try await stream.send(frame)
          sent.increment()
        }
        _ = try? await stream.next()  // Until the reader has closed.
      }
    }
    var iterator = streams.stream.makeAsyncIterator()
    let reader = await iterator.next()!
    try await Task.sleep(for: .milliseconds(300))
    #expect(sent.value < 100, "60 MB fit nowhere between a sender and a reader that does not read")
    try await withoutHanging {
      try await server.run { _ in
        for _ in 0..<300 {
          let next = try await reader.stream.next()
          let isIntact = next == frame
          #expect(isIntact)
        }
        reader.stream.close()
      }
    }
    try await sender.value
    #expect(sent.value == 300)
  }
}

@Suite struct DescriptorLimitTests {
  @Test func takesWhatTheUserMayHave() {
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    unsafe getrlimit(resource, &limit)
    #expect(raiseDescriptorLimit() == Int(clamping: limit.rlim_max))
    unsafe getrlimit(resource, &limit)
    #expect(limit.rlim_cur == limit.rlim_max)
  }
}

/// Handed to the server's actor, where it was made.
private struct UncheckedStream: @unchecked Sendable { let stream: FrameStream }

private final class Counter: @unchecked Sendable {
  private let lock = NSLock()
  private var count = 0
  var value: Int { lock.withLock { count } }
  func increment() { lock.withLock { count += 1 } }
}

/// Writes `bytes` to a plain socket and reports whether the other side closed it.
private func connectSendAndAwaitEnd(port: UInt16, _ bytes: [UInt8]) -> Bool {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  let connected = unsafe withUnsafePointer(to: &address) { pointer in
    unsafe connect(
      descriptor, UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self),
      socklen_t(MemoryLayout<sockaddr_in>.size))
  }
  guard connected == 0 else { return false }
  _ = unsafe send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  var buffer = [UInt8](repeating: 0, count: 1000)
  while true {
    let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
    if count <= 0 { return true }
  }
}

@Suite struct ChildProcessTests {
  func run(_ script: String, maximumLineByteCount: Int = 1 << 20) async throws -> [ChildProcess.Event] {
    let shell = try LoopShell()
    let events = AsyncStream<ChildProcess.Event>.makeStream()
    try await shell.run { shell in
      _ = try ChildProcess(
        "/bin/sh", arguments: ["-c", script], environment: ["PATH=/usr/bin:/bin", "WORD=green"], folder: "/",
        on: shell.loop, maximumLineByteCount: maximumLineByteCount
      ) { event in
        events.continuation.yield(event)
        if case .exited = event { events.continuation.finish() }
      }
    }
    return try await withoutHanging {
      var all: [ChildProcess.Event] = []
      for await event in events.stream { all.append(event) }
      return all
    }
  }

  @Test func isHeardLineByLineThenItsEnd() async throws {
    let events = try await run("echo one; echo $WORD; pwd; printf last; exit 3")
    #expect(events == [.line("one"), .line("green"), .line("/"), .line("last"), .exited(.status(3))])
  }

  @Test func standardErrorComesApart() async throws {
    let events = try await run("echo trouble >&2")
    #expect(events == [.errorOutput(Array("trouble\n".utf8)), .exited(.status(0))])
  }

  @Test func takesItsDescendantsAlong() async throws {
    // The grandchild holds standard output open; only its end lets the child be done.
    let events = try await run("sleep 1000 & echo begun; exit 0")
    #expect(events == [.line("begun"), .exited(.status(0))])
  }

  @Test func inheritsNoDescriptor() async throws {
    let events = try await run("ls /proc/self/fd | wc -l")
    #expect(events == [.line("4"), .exited(.status(0))])  // 0, 1, 2, and the folder being listed.
  }

  @Test func endsWhenALineNeverDoes() async throws {
    let events = try await run("yes | tr -d '\\n'", maximumLineByteCount: 100_000)
    #expect(events.last == .exited(.signal(9)))
  }

  @Test func aMissingProgramIsAnError() async throws {
    let shell = try LoopShell()
    await #expect(throws: TransportError.self) {
      try await shell.run { shell in
        _ = try ChildProcess("/nonexistent", arguments: [], environment: [], folder: "/", on: shell.loop) { _ in }
      }
    }
  }
}
