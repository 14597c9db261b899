import Glibc

/// Accepts connections and hands on those whose handshake has proven a token of the keyring.
public final class Listener {
  /// The address in use, with the port the system chose when 0 was asked for.
  public var address: SocketAddress { socket.address }
  /// Replacing it changes who may connect from now on.
  public var keyring: Keyring

  private let loop: EventLoop
  private let context: TLSContext
  private let limits: ConnectionLimits
  private let maximumHandshakes: Int
  private var socket: ListeningSocket!
  private var handshaking: [ObjectIdentifier: Connection] = [:]
  /// Connections by the peer's address, those in their handshake included.
  private var places: [String: Int] = [:]
  private var onOpen: ((Connection) -> Void)?

  /// - Parameters:
  ///   - maximumHandshakes: connections that may be in their handshake at once; more are closed unheard.
  ///   - onOpen: takes over an authenticated connection and must set its `onEvent`.
  public init(
    at endpoint: Endpoint, on loop: EventLoop, keyring: Keyring, limits: ConnectionLimits = ConnectionLimits(),
    maximumHandshakes: Int = 1024, onOpen: @escaping (Connection) -> Void
  ) throws {
    loop.preconditionOnLoop()
    self.loop = loop
    self.keyring = keyring
    self.limits = limits
    self.maximumHandshakes = maximumHandshakes
    self.onOpen = onOpen
    context = try TLSContext.server()
    guard let address = try endpoint.resolveBlocking().first else {
      throw TransportError.unresolvable(endpoint: endpoint.description, reason: "it has no address")
    }
    socket = try ListeningSocket(at: address, on: loop, backlog: 4096) { [self] descriptor, peer in
      accepted(descriptor, from: peer)
    }
  }

  /// Stops listening; connections that are open stay so.
  public func close() {
    loop.preconditionOnLoop()
    socket.close()
    onOpen = nil
    for connection in handshaking.values { connection.close() }
  }

  private func accepted(_ descriptor: CInt, from address: SocketAddress) {
    let isFull =
      handshaking.count >= maximumHandshakes || places[address.host, default: 0] >= limits.connectionsPerAddress
    guard !isFull,
      let connection = try? Connection(
        accepted: descriptor, peer: address.description, on: loop, context: context, keyring: keyring, limits: limits)
    else {
      // Either we are full, or memory is exhausted and the socket is closed already.
      if isFull { Glibc.close(descriptor) }
      return
    }
    let id = ObjectIdentifier(connection)
    handshaking[id] = connection
    let host = address.host
    places[host, default: 0] += 1
    connection.onEnd = { [weak self] in self?.vacate(host) }
    connection.onEvent = { [weak self] event in
      guard let self, let connection = handshaking.removeValue(forKey: id) else { return }
      if case .opened = event {
        connection.onEvent = nil
        onOpen?(connection)
      }
    }
  }

  private func vacate(_ host: String) {
    places[host]! -= 1
    if places[host] == 0 { places[host] = nil }
  }
}

/// Opens connections that prove one token.
public final class Dialer {
  private let loop: EventLoop
  private let context: TLSContext
  private let keyring: Keyring
  private let limits: ConnectionLimits

  public init(on loop: EventLoop, token: Token, limits: ConnectionLimits = ConnectionLimits()) throws {
    loop.preconditionOnLoop()
    self.loop = loop
    self.limits = limits
    context = try TLSContext.client()
    keyring = try Keyring([token])
  }

  /// Begins to connect; the connection's `onEvent`, to be set at once, hears `opened` or `closed`.
  public func connect(to address: SocketAddress) throws -> Connection {
    try Connection(to: address, on: loop, context: context, keyring: keyring, limits: limits)
  }
}
