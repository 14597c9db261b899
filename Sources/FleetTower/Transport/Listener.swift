internal import CEvent
import Glibc

/// Accepts connections and hands on those whose handshake has proven a token of the keyring.
@safe public final class Listener {
  /// The address in use, with the port the system chose when 0 was asked for.
  public private(set) var address: SocketAddress!
  /// Replacing it changes who may connect from now on.
  public var keyring: Keyring

  private let loop: EventLoop
  private let context: TLSContext
  private let limits: ConnectionLimits
  private let maximumHandshakes: Int
  private var listener: OpaquePointer?
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
    // Held by the callback until `close`.
    let me = unsafe Unmanaged.passRetained(self)
    let flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE
    unsafe listener = address.withSocketAddress { address, count in
      unsafe evconnlistener_new_bind(
        loop.core.base,
        { _, descriptor, address, count, context in
          // The address is readable for `count` bytes during the call.
          let listener = unsafe Unmanaged<Listener>.fromOpaque(context!).takeUnretainedValue()
          unsafe listener.accepted(descriptor, from: SocketAddress(address!, Int(count)))
        }, me.toOpaque(), flags, 4096, address, count)
    }
    guard let listener = unsafe listener else {
      let code = errno
      unsafe me.release()
      throw TransportError.system(call: "listen", subject: endpoint.description, errno: code)
    }
    unsafe evconnlistener_set_error_cb(listener) { _, context in
      unsafe Unmanaged<Listener>.fromOpaque(context!).takeUnretainedValue().rest()
    }
    self.address = unsafe SocketAddress(ofSocket: evconnlistener_get_fd(listener))
  }

  /// Stops listening; connections that are open stay so.
  public func close() {
    loop.preconditionOnLoop()
    guard let listener = unsafe listener else { return }
    unsafe self.listener = nil
    unsafe evconnlistener_free(listener)
    onOpen = nil
    for connection in handshaking.values { connection.close() }
    unsafe Unmanaged.passUnretained(self).release()
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

  /// Out of descriptors: accepting again at once would spin.
  private func rest() {
    guard let listener = unsafe listener else { return }
    unsafe evconnlistener_disable(listener)
    _ = Timer(on: loop, after: .milliseconds(100)) { [weak self] in
      guard let self, let listener = unsafe self.listener else { return }
      unsafe evconnlistener_enable(listener)
    }
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
