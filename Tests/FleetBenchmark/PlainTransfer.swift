import Transport

/// Measures TLS alone on this machine: the same connections between two threads, and frames that nobody looks at.
struct PlainTransfer {
  private let receiver: Receiver
  private let sender: Sender

  init() async throws {
    let token = try Token(role: .worker)
    receiver = try Receiver()
    sender = try Sender(token)
    try await sender.connect(to: receiver.listen(token))
  }

  /// - Returns: when the last byte was acknowledged.
  func send(frames count: Int, of byteCount: Int) async throws {
    await receiver.expect(count)
    try await sender.send(count, [UInt8](repeating: 0x5A, count: byteCount))
  }
}

private actor Receiver {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }
  private var listener: Listener?
  private var connection: Connection?
  private var missing = 0

  init() throws { loop = try EventLoop(name: "plain receiver") }

  func listen(_ token: Token) throws -> SocketAddress {
    let listener = try Listener(at: Endpoint(host: "127.0.0.1", port: 0), on: loop, keyring: Keyring([token])) {
      [self] connection in
      self.connection = connection
      connection.onEvent = { [self] event in if case .frame = event { count() } }
    }
    self.listener = listener
    return listener.address
  }

  func expect(_ count: Int) { missing = count }

  private func count() {
    missing -= 1
    if missing == 0 { connection?.send([1]) }
  }
}

private actor Sender {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }
  private let token: Token
  private var stream: FrameStream?

  init(_ token: Token) throws {
    loop = try EventLoop(name: "plain sender")
    self.token = token
  }

  func connect(to address: SocketAddress) async throws {
    let stream = FrameStream(try Dialer(on: loop, token: token).connect(to: address))
    try await stream.opened()
    self.stream = stream
  }

  func send(_ count: Int, _ frame: [UInt8]) async throws {
    guard let stream else { preconditionFailure("send before connect") }
    for _ in 0..<count { try await stream.send(frame) }
    _ = try await stream.next()
  }
}
