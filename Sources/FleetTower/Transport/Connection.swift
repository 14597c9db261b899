internal import CEvent
internal import COpenSSL
import Glibc

/// The bounds within which a connection must behave.
public struct ConnectionLimits: Hashable, Sendable {
  /// Longer frames end the connection before anything is allocated for them.
  public var frameByteCount = 16 << 20
  /// Unsent bytes beyond which the peer is given up as too slow.
  public var pendingByteCount = 64 << 20
  public var handshakeSeconds = 10.0
  /// Connections that one address may have with a listener, so that one box cannot take the place of all others. A
  /// whole fleet may stand behind one address.
  public var connectionsPerAddress = 16_384
  /// Silence after which the peer counts as gone; also how long a write may make no progress.
  public var idleSeconds = 60.0

  public init() {}
}

/// An authenticated, encrypted connection that carries frames: a big-endian 32-bit length, then that many bytes.
///
/// Belongs to its loop's thread. It lives until it is closed, by either side or by its limits; the last event is then
/// `closed`, exactly once.
@safe public final class Connection {
  public enum Event {
    /// Both sides have proven that they know the token.
    case opened
    case frame([UInt8])
    /// What waited to be sent has shrunk below a quarter of a megabyte.
    case drained
    case closed(reason: String)
  }

  /// The peer's address, for logs.
  public let peer: String
  public let limits: ConnectionLimits
  /// The token with which the connection was opened. Set from `opened` on.
  public private(set) var token: Token?
  /// Who hears of it. Let go of when the connection is closed.
  public var onEvent: ((Event) -> Void)?
  /// Told after `onEvent` that it is over.
  var onEnd: (() -> Void)?

  private let loop: EventLoop
  private let handshake: Handshake
  private let context: TLSContext
  private var events: OpaquePointer?
  private var handshakeTimer: Timer?
  private var isPaused = false
  private var isClosingAfterFlush = false
  private var isDelivering = false

  static let lowWaterByteCount = 256 << 10

  /// Speaks TLS on an accepted socket, which it owns from here on.
  init(
    accepted descriptor: CInt, peer: String, on loop: EventLoop, context: TLSContext, keyring: Keyring,
    limits: ConnectionLimits
  ) throws {
    self.peer = peer
    self.limits = limits
    self.loop = loop
    self.context = context
    handshake = Handshake(keyring)
    try start(descriptor, BUFFEREVENT_SSL_ACCEPTING)
  }

  /// Connects to `address`; `opened` or `closed` follows.
  init(to address: SocketAddress, on loop: EventLoop, context: TLSContext, keyring: Keyring, limits: ConnectionLimits)
    throws
  {
    peer = address.description
    self.limits = limits
    self.loop = loop
    self.context = context
    handshake = Handshake(keyring)
    try start(-1, BUFFEREVENT_SSL_CONNECTING)
    // The address is copied by the call. A failure here is reported through the event callback as well.
    let status = unsafe address.withSocketAddress { unsafe bufferevent_socket_connect(events, $0, $1) }
    if status != 0 { postClose("cannot connect: \(message(ofErrno: errno))") }
  }

  private func start(_ descriptor: CInt, _ state: bufferevent_ssl_state) throws {
    loop.preconditionOnLoop()
    let ssl = try unsafe context.makeSSL(handshake)
    let options = CInt(BEV_OPT_CLOSE_ON_FREE.rawValue | BEV_OPT_DEFER_CALLBACKS.rawValue)
    guard let events = unsafe bufferevent_openssl_socket_new(loop.core.base, descriptor, ssl, state, options) else {
      unsafe SSL_free(ssl)
      if descriptor >= 0 { Glibc.close(descriptor) }
      throw TransportError.library(call: "bufferevent_openssl_socket_new")
    }
    unsafe self.events = events
    // The callbacks hold a reference to this object, which `finish` gives back when it frees the bufferevent.
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    unsafe bufferevent_setcb(
      events,
      { _, context in unsafe Connection.of(context).readable() },
      { _, context in unsafe Connection.of(context).writable() },
      { _, what, context in unsafe Connection.of(context).happened(what) }, context)
    unsafe bufferevent_setwatermark(events, Int16(EV_WRITE), Self.lowWaterByteCount, 0)
    unsafe bufferevent_set_max_single_read(events, 128 << 10)
    unsafe bufferevent_set_max_single_write(events, 128 << 10)
    unsafe bufferevent_enable(events, Int16(EV_READ | EV_WRITE))
    handshakeTimer = Timer(on: loop, after: .seconds(limits.handshakeSeconds)) { [weak self] in
      self?.finish("no handshake within \(self?.limits.handshakeSeconds ?? 0) s")
    }
  }

  /// Bytes accepted by `send` that the kernel has not taken yet.
  public var pendingByteCount: Int {
    guard let events = unsafe events else { return 0 }
    return unsafe evbuffer_get_length(bufferevent_get_output(events))
  }

  public var isClosed: Bool { unsafe events == nil }

  /// Sends one frame. Does nothing once closed; a peer that takes too little for too long is closed.
  public func send(_ frame: [UInt8]) {
    loop.preconditionOnLoop()
    precondition(!frame.isEmpty && frame.count <= limits.frameByteCount, "a frame of \(frame.count) bytes")
    guard let events = unsafe events, !isClosingAfterFlush else { return }
    guard pendingByteCount + frame.count <= limits.pendingByteCount else {
      postClose("the peer takes what is sent to it too slowly")
      return
    }
    let output = unsafe bufferevent_get_output(events)
    let header = FrameCut.header(ofFrame: frame.count)
    // Both calls copy.
    guard unsafe evbuffer_add(output, header, header.count) == 0,
      unsafe evbuffer_add(output, frame, frame.count) == 0
    else {
      postClose("memory is exhausted")
      return
    }
  }

  /// Stops taking bytes from the socket, so that the peer feels it; frames already here are kept.
  public func pause() {
    loop.preconditionOnLoop()
    isPaused = true
    if let events = unsafe events { unsafe bufferevent_disable(events, Int16(EV_READ)) }
  }

  public func resume() {
    loop.preconditionOnLoop()
    guard isPaused else { return }
    isPaused = false
    guard let events = unsafe events else { return }
    unsafe bufferevent_enable(events, Int16(EV_READ))
    if !isDelivering { readable() }
  }

  /// Closes at once; `closed` is delivered before the call returns.
  public func close(_ reason: String = "closed by this side") {
    loop.preconditionOnLoop()
    finish(reason)
  }

  /// Closes when everything sent so far is on its way; takes no more frames in either direction.
  public func closeAfterFlush() {
    loop.preconditionOnLoop()
    guard let events = unsafe events else { return }
    isClosingAfterFlush = true
    pause()
    unsafe bufferevent_setwatermark(events, Int16(EV_WRITE), 0, 0)
    if pendingByteCount == 0 { postClose("closed by this side") }
  }
}

extension Connection {
  private static func of(_ context: UnsafeMutableRawPointer?) -> Connection {
    unsafe Unmanaged<Connection>.fromOpaque(context!).takeUnretainedValue()  // Retained by `start` until `finish`.
  }

  /// Cuts whole frames out of what has arrived.
  private func readable() {
    isDelivering = true
    defer { isDelivering = false }
    while let events = unsafe events, token != nil, !isPaused {
      let input = unsafe bufferevent_get_input(events)
      let available = unsafe evbuffer_get_length(input)
      var header: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
      // Copies four bytes or fewer into the four there is room for.
      let hasHeader = unsafe evbuffer_copyout(input, &header, FrameCut.headerByteCount) == FrameCut.headerByteCount
      let count: Int
      switch FrameCut(header: hasHeader ? header : nil, available: available, limit: limits.frameByteCount) {
      case .wait(let count): return unsafe expect(count, events)
      case .forbidden(let count): return finish("a frame of \(count) bytes is not allowed")
      case .frame(let byteCount): count = byteCount
      }
      unsafe evbuffer_drain(input, FrameCut.headerByteCount)
      // Exactly `count` bytes are there, and the array has room for them.
      let frame = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        initialized = max(0, Int(unsafe evbuffer_remove(input, buffer.baseAddress, count)))
      }
      onEvent?(.frame(frame))
    }
  }

  /// Sleeps until `count` bytes have arrived. There is no high mark (libevent 2.1 can stay asleep at one on TLS): what
  /// arrives is cut into frames at once, so that at most one incomplete frame waits here.
  private func expect(_ count: Int, _ events: OpaquePointer) {
    unsafe bufferevent_setwatermark(events, Int16(EV_READ), count, 0)
  }

  private func writable() {
    if isClosingAfterFlush {
      if pendingByteCount == 0 { finish("closed by this side") }
    } else if token != nil {
      onEvent?(.drained)
    }
  }

  private func happened(_ what: Int16) {
    let what = CInt(what)
    if what & BEV_EVENT_CONNECTED != 0 {
      open()
    } else if what & BEV_EVENT_TIMEOUT != 0 {
      finish("nothing moved for \(limits.idleSeconds) s")
    } else if what & BEV_EVENT_EOF != 0 {
      finish(token == nil ? refusal : "closed by the peer")
    } else {
      finish(errorText())
    }
  }

  private func open() {
    guard let events = unsafe events, token == nil else { return }
    // A handshake that succeeded without the pre-shared key would be OpenSSL's or our fault; it must not pass.
    guard unsafe SSL_session_reused(bufferevent_openssl_get_ssl(events)) == 1, let proven = handshake.token else {
      finish(refusal)
      return
    }
    handshakeTimer?.cancel()
    handshakeTimer = nil
    token = proven
    var noDelay: CInt = 1
    // The option's value is a C int of the stated size. Small messages must not wait for each other.
    unsafe setsockopt(
      bufferevent_getfd(events), CInt(IPPROTO_TCP), TCP_NODELAY, &noDelay, socklen_t(MemoryLayout<CInt>.size))
    var idle = timeval(.seconds(limits.idleSeconds))
    unsafe bufferevent_set_timeouts(events, &idle, &idle)
    onEvent?(.opened)
    readable()
  }

  private var refusal: String { "the handshake failed: the other side does not know this token" }

  private func errorText() -> String {
    guard let events = unsafe events else { return "closed" }
    let code = unsafe bufferevent_get_openssl_error(events)
    if code != 0, let text = unsafe ERR_reason_error_string(code) {
      let text = unsafe String(cString: text)
      return token == nil ? "\(refusal) (\(text))" : text
    }
    let socketError = errno
    return socketError == 0 ? (token == nil ? refusal : "closed by the peer") : message(ofErrno: socketError)
  }

  /// Closes from within a call of the owner's, who is told later.
  private func postClose(_ reason: String) {
    _ = Timer(on: loop, after: .zero) { self.finish(reason) }
  }

  private func finish(_ reason: String) {
    guard let events = unsafe events else { return }
    unsafe self.events = nil
    handshakeTimer?.cancel()
    handshakeTimer = nil
    // Says goodbye if that needs no waiting, then frees the socket and the TLS state.
    let ssl = unsafe bufferevent_openssl_get_ssl(events)
    if token != nil {
      unsafe SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN)
      _ = unsafe SSL_shutdown(ssl)
    }
    ERR_clear_error()
    unsafe bufferevent_setcb(events, nil, nil, nil, nil)
    unsafe bufferevent_free(events)
    let heard = onEvent
    onEvent = nil
    heard?(.closed(reason: reason))
    onEnd?()
    onEnd = nil
    unsafe Unmanaged.passUnretained(self).release()
  }
}
