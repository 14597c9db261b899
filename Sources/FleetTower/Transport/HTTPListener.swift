internal import CEvent
internal import COpenSSL
import Glibc

/// Answers plain HTTP on loopback, to those who show an operator's token.
///
/// Reading heads ourselves rather than through `evhttp` keeps C from parsing what strangers send, and lets every
/// connection have an end: libevent's own has neither a bound on connections nor on how long one may take.
@safe public final class HTTPListener {
  public struct Limits: Hashable, Sendable {
    public var connections = 64
    /// From its beginning to the end of its request, and once more to the end of its answer.
    public var seconds = 10.0
    public init() {}
  }

  /// The address in use, with the port the system chose when 0 was asked for.
  public var address: SocketAddress { socket.address }
  /// The tokens that are accepted; those of workers are not.
  public var tokens: [Token]

  private let loop: EventLoop
  private let limits: Limits
  private let answer: (HTTPRequest) -> HTTPResponse
  private var socket: ListeningSocket!
  fileprivate var connections: [ObjectIdentifier: HTTPConnection] = [:]

  public var connectionCount: Int { connections.count }

  /// - Parameter answer: hears requests that have shown a token; must not take long.
  public init(
    at endpoint: Endpoint, on loop: EventLoop, tokens: [Token], limits: Limits = Limits(),
    answer: @escaping (HTTPRequest) -> HTTPResponse
  ) throws {
    loop.preconditionOnLoop()
    self.loop = loop
    self.tokens = tokens
    self.limits = limits
    self.answer = answer
    let addresses = try endpoint.resolveBlocking()
    guard let address = addresses.first else {
      throw TransportError.unresolvable(endpoint: endpoint.description, reason: "it has no address")
    }
    guard addresses.allSatisfy(\.isLoopback) else { throw TransportError.notLoopback(endpoint.description) }
    socket = try ListeningSocket(at: address, on: loop, backlog: 128) { [self] descriptor, _ in accepted(descriptor) }
  }

  public func close() {
    socket.close()
    for connection in connections.values { connection.finish() }
  }

  private func accepted(_ descriptor: CInt) {
    guard connections.count < limits.connections else {
      Glibc.close(descriptor)
      return
    }
    guard let connection = HTTPConnection(descriptor, self, on: loop, seconds: limits.seconds) else { return }
    connections[ObjectIdentifier(connection)] = connection
  }

  fileprivate func respond(to head: ArraySlice<UInt8>) -> [UInt8] {
    do throws(HTTPRefusal) {
      let request = try admitted(HTTPRequest(head))
      return answer(request).bytes(isHead: request.isHead)
    } catch {
      return HTTPResponse(error).bytes(isHead: head.starts(with: Array("HEAD ".utf8)))
    }
  }

  private func admitted(_ request: HTTPRequest) throws(HTTPRefusal) -> HTTPRequest {
    guard request.isForLoopback else {
      throw HTTPRefusal(421, "write http://localhost in the address: this is no page of another host")
    }
    guard isAccepted(request.shownToken) else {
      throw HTTPRefusal(401, "show an operator token: as the password, with any name, or after 'Bearer'")
    }
    return request
  }

  /// Compares with every token, each in constant time, so that time tells nothing of any of them.
  func isAccepted(_ shown: String?) -> Bool {
    let shown = Array((shown ?? "").utf8)
    var isAccepted = false
    for token in tokens where token.role == .operator {
      let known = Array(token.text.utf8)
      // Both have the stated count; a token's length is no secret.
      if shown.count == known.count, unsafe CRYPTO_memcmp(shown, known, known.count) == 0 { isAccepted = true }
    }
    return isAccepted
  }
}

/// One request and its answer.
///
/// Belongs to its loop's thread and to the listener, which lets go of it in `finish`.
@safe private final class HTTPConnection {
  private enum Phase { case asking, answering, leaving }

  private unowned let listener: HTTPListener
  private let loop: EventLoop
  private let seconds: Double
  private var phase = Phase.asking
  private var events: OpaquePointer?
  private var timer: Timer?

  init?(_ descriptor: CInt, _ listener: HTTPListener, on loop: EventLoop, seconds: Double) {
    self.listener = listener
    self.loop = loop
    self.seconds = seconds
    let options = CInt(BEV_OPT_CLOSE_ON_FREE.rawValue | BEV_OPT_DEFER_CALLBACKS.rawValue)
    guard let events = unsafe bufferevent_socket_new(loop.core.base, descriptor, options) else {
      Glibc.close(descriptor)
      return nil
    }
    unsafe self.events = events
    // The callbacks hold a reference to this object, which `finish` gives back when it frees the bufferevent.
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    unsafe bufferevent_setcb(
      events,
      { _, context in unsafe HTTPConnection.of(context).readable() },
      { _, context in unsafe HTTPConnection.of(context).flushed() },
      { _, _, context in unsafe HTTPConnection.of(context).finish() }, context)
    unsafe bufferevent_setwatermark(events, Int16(EV_READ), 0, HTTPRequest.headByteCount + 1)
    unsafe bufferevent_enable(events, Int16(EV_READ | EV_WRITE))
    limitTime()
  }

  private static func of(_ context: UnsafeMutableRawPointer?) -> HTTPConnection {
    unsafe Unmanaged<HTTPConnection>.fromOpaque(context!).takeUnretainedValue()  // Retained by `init` until `finish`.
  }

  private func limitTime() {
    timer?.cancel()
    timer = Timer(on: loop, after: .seconds(seconds)) { [weak self] in self?.finish() }
  }

  private func readable() {
    guard let events = unsafe events else { return }
    let input = unsafe bufferevent_get_input(events)
    let count = unsafe evbuffer_get_length(input)
    guard phase == .asking else {
      unsafe evbuffer_drain(input, count)
      return
    }
    // At most `count` bytes are copied, which is what there is room for.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = max(0, unsafe evbuffer_copyout(input, buffer.baseAddress, count))
    }
    if let end = HTTPRequest.end(of: bytes) {
      send(listener.respond(to: bytes[..<end]))
    } else if count > HTTPRequest.headByteCount {
      send(HTTPResponse(HTTPRefusal.tooLong).bytes(isHead: false))
    }
  }

  private func send(_ bytes: [UInt8]) {
    guard let events = unsafe events else { return }
    phase = .answering
    limitTime()
    unsafe evbuffer_drain(bufferevent_get_input(events), .max)
    // Copies.
    if unsafe bufferevent_write(events, bytes, bytes.count) != 0 { finish() }
  }

  /// Says that nothing more comes, and waits a moment for the peer to close: closing first could take back what is
  /// still on its way.
  private func flushed() {
    // Also called when nothing was written yet.
    guard phase == .answering, let events = unsafe events,
      unsafe evbuffer_get_length(bufferevent_get_output(events)) == 0
    else { return }
    phase = .leaving
    shutdown(unsafe bufferevent_getfd(events), CInt(SHUT_WR))
  }

  func finish() {
    guard let events = unsafe events else { return }
    unsafe self.events = nil
    timer?.cancel()
    timer = nil
    unsafe bufferevent_setcb(events, nil, nil, nil, nil)
    unsafe bufferevent_free(events)
    listener.connections[ObjectIdentifier(self)] = nil
    unsafe Unmanaged.passUnretained(self).release()
  }
}
