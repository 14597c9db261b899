internal import CEvent
import Glibc

/// A socket that accepts connections, until it is closed.
///
/// Belongs to its loop's thread.
@safe final class ListeningSocket {
  /// The address in use, with the port the system chose when 0 was asked for.
  let address: SocketAddress

  private let loop: EventLoop
  private var listener: OpaquePointer?
  private var onAccept: ((CInt, SocketAddress) -> Void)?

  /// - Parameters:
  ///   - wanted: where to listen; port 0 lets the system choose.
  ///   - onAccept: hears every new connection's descriptor, which is its own from then on, and the peer's address. Let
  ///     go of when the socket is closed.
  init(
    at wanted: SocketAddress, on loop: EventLoop, backlog: CInt, onAccept: @escaping (CInt, SocketAddress) -> Void
  ) throws {
    loop.preconditionOnLoop()
    self.loop = loop
    let flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE
    unsafe listener = wanted.withSocketAddress { address, count in
      unsafe evconnlistener_new_bind(loop.core.base, nil, nil, flags, backlog, address, count)
    }
    guard let listener = unsafe listener else {
      throw TransportError.system(call: "listen", subject: wanted.description, errno: errno)
    }
    address = unsafe SocketAddress(ofSocket: evconnlistener_get_fd(listener))
    self.onAccept = onAccept
    // Held by the callbacks until `close`.
    let me = unsafe Unmanaged.passRetained(self).toOpaque()
    unsafe evconnlistener_set_error_cb(listener) { _, context in unsafe ListeningSocket.of(context).rest() }
    unsafe evconnlistener_set_cb(
      listener,
      { _, descriptor, address, count, context in
        // The address is readable for `count` bytes during the call.
        unsafe ListeningSocket.of(context).onAccept?(descriptor, SocketAddress(address!, Int(count)))
      }, me)
  }

  /// Connections that were accepted stay open.
  func close() {
    loop.preconditionOnLoop()
    guard let listener = unsafe listener else { return }
    unsafe self.listener = nil
    unsafe evconnlistener_free(listener)
    onAccept = nil
    unsafe Unmanaged.passUnretained(self).release()
  }

  private static func of(_ context: UnsafeMutableRawPointer?) -> ListeningSocket {
    unsafe Unmanaged<ListeningSocket>.fromOpaque(context!).takeUnretainedValue()  // Retained by `init` until `close`.
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
