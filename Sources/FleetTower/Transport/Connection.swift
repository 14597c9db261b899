internal import CEvent
import Glibc
import Wording

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
    /// The bytes that wait to be sent have shrunk below a quarter of a megabyte.
    case drained
    case closed(reason: String)
  }

  /// The peer's address, for logs.
  public let peer: String
  public let limits: ConnectionLimits
  /// The token with which the connection was opened. Set from `opened` on.
  public private(set) var token: Token?
  /// The listener of the connection's events, released when the connection is closed.
  public var onEvent: ((Event) -> Void)?
  /// Told after `onEvent` that it is over.
  var onEnd: (() -> Void)?

  private enum Phase { case connecting, shakingHands, open, flushing, closed }

  private enum Output {
    case idle
    /// Bytes will be flushed at the end of this turn.
    case scheduled
    /// The kernel has taken all it had room for.
    case congested
  }

  private let loop: EventLoop
  private let handshake: Handshake
  private var phase: Phase
  private var socket: TLSSocket?
  /// The socket has something to read.
  private var reading: OpaquePointer?
  /// The socket takes something, or something was written that it has not been offered yet.
  private var writing: OpaquePointer?
  private var output = Output.idle
  /// The peer has taken what it was sent, which is a sign of life like any other.
  private var hasPeerTaken = false
  /// Bytes that the kernel took since the last sign that the peer takes them too.
  private var unseenByteCount = 0
  private var arrival: FrameArrival
  private var handshakeTimer: Timer?
  private var isPaused = false

  static let lowWaterByteCount = 256 << 10
  /// More than a kernel keeps for a peer that takes nothing.
  private static let kernelByteCount = 32 << 20
  /// Read before others have their turn.
  private static let turnByteCount = 256 << 10

  /// Speaks TLS on an accepted socket, which it owns from here on.
  init(
    accepted descriptor: CInt, peer: String, on loop: EventLoop, context: TLSContext, keyring: Keyring,
    limits: ConnectionLimits
  ) throws {
    self.peer = peer
    self.limits = limits
    self.loop = loop
    handshake = Handshake(keyring)
    phase = .shakingHands
    arrival = FrameArrival(limit: limits.frameByteCount)
    try start(TLSSocket(descriptor, context, handshake, isAccepting: true))
    unsafe event_add(reading, nil)
  }

  /// Connects to `address`; `opened` or `closed` follows.
  init(to address: SocketAddress, on loop: EventLoop, context: TLSContext, keyring: Keyring, limits: ConnectionLimits)
    throws
  {
    peer = address.description
    self.limits = limits
    self.loop = loop
    handshake = Handshake(keyring)
    phase = .connecting
    arrival = FrameArrival(limit: limits.frameByteCount)
    let descriptor = try address.makeSocket()
    try start(TLSSocket(descriptor, context, handshake, isAccepting: false))
    // Only begins to connect. The address is copied by the call.
    let status = unsafe address.withSocketAddress { unsafe Glibc.connect(descriptor, $0, socklen_t($1)) }
    if status == 0 || errno == EINPROGRESS {
      unsafe event_add(writing, nil)
    } else {
      postClose("cannot connect: \(systemReason(errno))")
    }
  }

  private func start(_ socket: TLSSocket) throws {
    loop.preconditionOnLoop()
    // The callbacks hold a reference to this object, which `finish` gives back when it frees the events.
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    unsafe reading = event_new(
      loop.core.base, socket.descriptor, Int16(EV_READ | EV_PERSIST),
      { _, what, context in unsafe Connection.of(context).readable(what) }, context)
    unsafe writing = event_new(
      loop.core.base, socket.descriptor, Int16(EV_WRITE),
      { _, what, context in unsafe Connection.of(context).writable(what) }, context)
    self.socket = socket
    guard unsafe reading != nil, unsafe writing != nil else {
      finish("memory is exhausted")
      throw TransportError.library(call: "event_new")
    }
    handshakeTimer = Timer(on: loop, after: .seconds(limits.handshakeSeconds)) { [weak self] in
      self?.finish("no handshake within \(self?.limits.handshakeSeconds ?? 0) s")
    }
  }

  /// Bytes accepted by `send` that the kernel has not taken yet.
  public var pendingByteCount: Int { socket?.pendingByteCount ?? 0 }

  /// Sends one frame: `head` and then `body`. Does nothing once closed; a peer that takes too little for too long is
  /// closed.
  public func send(_ head: [UInt8], _ body: ArraySlice<UInt8> = []) {
    loop.preconditionOnLoop()
    let byteCount = head.count + body.count
    precondition(byteCount > 0 && byteCount <= limits.frameByteCount, "a frame of \(byteCount) bytes")
    guard phase == .open, let socket else { return }
    guard pendingByteCount + byteCount <= limits.pendingByteCount else {
      postClose("the peer takes what is sent to it too slowly")
      return
    }
    let header = FrameArrival.header(ofFrame: byteCount)
    // Bytes that fit into one TLS record are sent as one.
    let isWritten =
      head.count < 8 << 10 ? socket.write((header + head).span) : socket.write(header.span) && socket.write(head.span)
    if isWritten && (body.isEmpty || socket.write(body.span)) {
      flushSoon()
    } else {
      postClose("memory is exhausted")
    }
  }

  /// Stops taking bytes from the socket, so that the peer feels it; frames already here are kept.
  public func pause() {
    loop.preconditionOnLoop()
    isPaused = true
    if phase == .open { unsafe event_del(reading) }
  }

  public func resume() {
    loop.preconditionOnLoop()
    guard isPaused else { return }
    isPaused = false
    guard phase == .open else { return }
    awaitReading()
    // Some of it may be here already, of which the socket would not tell.
    unsafe event_active(reading, CInt(EV_READ), 0)
  }

  /// Closes at once; `closed` is delivered before the call returns.
  public func close(_ reason: String = "closed by this side") {
    loop.preconditionOnLoop()
    finish(reason)
  }

  /// Closes when everything sent so far is on its way; takes no more frames in either direction.
  public func closeAfterFlush() {
    loop.preconditionOnLoop()
    guard phase != .closed else { return }
    pause()
    phase = .flushing
    if pendingByteCount == 0 { postClose("closed by this side") } else { flushSoon() }
  }
}

// MARK: - What the socket tells

extension Connection {
  private static func of(_ context: UnsafeMutableRawPointer?) -> Connection {
    unsafe Unmanaged<Connection>.fromOpaque(context!).takeUnretainedValue()  // Retained by `start` until `finish`.
  }

  private func readable(_ what: Int16) {
    if CInt(what) & EV_READ == 0 { return judgeSilence() }
    switch phase {
    case .shakingHands: shakeHands()
    case .open: receive()
    case .connecting, .flushing, .closed: break
    }
  }

  private func writable(_ what: Int16) {
    if CInt(what) & EV_WRITE == 0 { return finish(stillness) }
    if output == .congested { seePeer() }
    output = .idle
    guard phase == .connecting else { return flush() }
    if let code = socket.flatMap({ pendingError(of: $0.descriptor) }) {
      return finish("cannot connect: \(systemReason(code))")
    }
    phase = .shakingHands
    unsafe event_add(reading, nil)
    shakeHands()
  }

  private func shakeHands() {
    switch socket!.shakeHands() {
    case .done: open()
    case .wait: flush()
    case .ended: finish("the handshake failed: the other side closed the connection")
    case .failed(let reason): finish("\(refusal) (\(reason))")
    }
  }

  private func open() {
    // A handshake that succeeded without the pre-shared key would be OpenSSL's or our fault; it must not pass.
    guard let socket, socket.isProven, let proven = handshake.token else { return finish(refusal) }
    handshakeTimer?.cancel()
    handshakeTimer = nil
    token = proven
    phase = .open
    // Small messages must not wait for each other.
    setNoDelay(socket.descriptor)
    flush()
    guard phase == .open else { return }
    awaitReading()
    onEvent?(.opened)
    receive()
  }

  /// Takes what has arrived, for one turn.
  private func receive() {
    var turn = Self.turnByteCount
    while phase == .open, !isPaused, let socket {
      guard turn > 0 else {
        unsafe event_active(reading, CInt(EV_READ), 0)
        return
      }
      switch socket.read(upToCount: arrival.room, into: &arrival.buffer) {
      case .done(let count):
        turn -= count
        hasPeerTaken = false
        switch arrival.advance() {
        case .wait: break
        case .frame(let frame): onEvent?(.frame(frame))
        case .forbidden(let count): finish("a frame of \(count) bytes is not allowed")
        }
      case .wait:
        // TLS may have had something to say of its own.
        if socket.pendingByteCount > 0 { flushSoon() }
        return
      case .ended: finish("closed by the peer")
      case .failed(let reason): finish(reason)
      }
    }
  }

  /// Once whoever is sending is done.
  private func flushSoon() {
    guard output == .idle else { return }
    output = .scheduled
    unsafe event_active(writing, CInt(EV_WRITE), 0)
  }

  private func flush() {
    guard let socket else { return }
    let before = socket.pendingByteCount
    switch socket.flush() {
    case .wait:
      output = .congested
      var limit = timeval(.seconds(limits.idleSeconds))
      unsafe event_add(writing, &limit)
    case .failed(let reason): return finish(reason)
    case .done where phase == .flushing: return finish("closed by this side")
    case .done, .ended: break
    }
    unseenByteCount += before - socket.pendingByteCount
    if unseenByteCount > Self.kernelByteCount { seePeer() }
    let isDrained = before > Self.lowWaterByteCount && socket.pendingByteCount <= Self.lowWaterByteCount
    if isDrained, phase == .open { onEvent?(.drained) }
  }

  private func seePeer() {
    hasPeerTaken = true
    unseenByteCount = 0
  }

  /// Nothing was read for long.
  private func judgeSilence() {
    // This process may have been held up for longer than the peer.
    let before = pendingByteCount
    flush()
    guard hasPeerTaken || pendingByteCount < before else { return finish(stillness) }
    hasPeerTaken = false
  }

  private func awaitReading() {
    guard !isPaused else { return }
    var limit = timeval(.seconds(limits.idleSeconds))
    unsafe event_add(reading, &limit)
  }

  /// Which of these it is, a stranger is not told.
  private var refusal: String {
    "the handshake failed: the other side does not know this token, or not any more: it may be another coordinator's, "
      + "revoked or expired"
  }
  private var stillness: String { "nothing moved for \(limits.idleSeconds) s" }

  /// Closes from within a call of the owner's, who is told later.
  private func postClose(_ reason: String) {
    _ = Timer(on: loop, after: .zero) { self.finish(reason) }
  }

  private func finish(_ reason: String) {
    guard phase != .closed else { return }
    phase = .closed
    handshakeTimer?.cancel()
    handshakeTimer = nil
    if unsafe reading != nil { unsafe event_free(reading) }
    if unsafe writing != nil { unsafe event_free(writing) }
    unsafe (reading, writing) = (nil, nil)
    // Also what a failed handshake has to say.
    socket?.sayGoodbye()
    socket = nil
    let heard = onEvent
    onEvent = nil
    heard?(.closed(reason: reason))
    onEnd?()
    onEnd = nil
    unsafe Unmanaged.passUnretained(self).release()
  }
}
