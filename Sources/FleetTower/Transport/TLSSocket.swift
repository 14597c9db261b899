internal import CEvent
internal import COpenSSL
import Glibc
import Wording

/// One side of a TLS connection, and the socket under it, which it owns. Nothing here waits.
///
/// A system call costs more than the encryption of a record (16 KiB), so several records are read at once, and what is
/// to be sent is encrypted into a buffer that goes out in one piece.
@safe final class TLSSocket {
  enum Progress: Equatable {
    /// So many bytes were read; for everything else, it is done.
    case done(byteCount: Int)
    /// The socket must become readable, or for `flush` writable, before there is more to do.
    case wait
    /// The peer has closed.
    case ended
    case failed(reason: String)
  }

  let descriptor: CInt
  private let ssl: OpaquePointer
  /// Encrypted, for the socket to take.
  private let output: OpaquePointer

  /// - Parameters:
  ///   - descriptor: a socket that does not block; closed even when this throws.
  ///   - handshake: kept alive by the caller.
  init(_ descriptor: CInt, _ context: TLSContext, _ handshake: Handshake, isAccepting: Bool) throws {
    guard let output = unsafe evbuffer_new() else {
      Glibc.close(descriptor)
      throw TransportError.library(call: "evbuffer_new")
    }
    guard let ssl = try? unsafe context.makeSSL(handshake), let reader = unsafe BIO_new_socket(descriptor, BIO_NOCLOSE),
      let writer = unsafe BIO_new(outputMethod)
    else {
      unsafe evbuffer_free(output)
      Glibc.close(descriptor)
      throw TransportError.library(call: "SSL_new")
    }
    // The buffer outlives the BIO: `deinit` frees them in that order. The SSL owns both BIOs.
    unsafe BIO_set_data(writer, UnsafeMutableRawPointer(output))
    unsafe SSL_set0_rbio(ssl, reader)
    unsafe SSL_set0_wbio(ssl, writer)
    if isAccepting { unsafe SSL_set_accept_state(ssl) } else { unsafe SSL_set_connect_state(ssl) }
    self.descriptor = descriptor
    unsafe self.ssl = ssl
    unsafe self.output = output
  }

  deinit {
    unsafe SSL_free(ssl)
    unsafe evbuffer_free(output)
    Glibc.close(descriptor)
  }

  /// Encrypted bytes that the kernel has not taken yet.
  var pendingByteCount: Int { unsafe evbuffer_get_length(output) }

  /// Whether the pre-shared key was what both sides proved to know.
  var isProven: Bool { unsafe SSL_session_reused(ssl) == 1 }

  /// Goes on with the handshake. What it has to say waits for `flush`.
  func shakeHands() -> Progress {
    ERR_clear_error()
    errno = 0
    let status = unsafe SSL_do_handshake(ssl)
    return status == 1 ? .done(byteCount: 0) : outcome(of: status)
  }

  /// Appends what has arrived, at most `count` bytes.
  func read(upToCount count: Int, into bytes: inout [UInt8]) -> Progress {
    ERR_clear_error()
    errno = 0
    var status: CInt = 0
    bytes.append(addingCapacity: count) { free in
      unsafe free.withUnsafeMutableBufferPointer { buffer, filledCount in
        // The appended bytes are there; behind them is room for at least `count` more.
        unsafe status = SSL_read(ssl, buffer.baseAddress! + filledCount, CInt(clamping: count))
        filledCount += Int(max(status, 0))
      }
    }
    return status > 0 ? .done(byteCount: Int(status)) : outcome(of: status)
  }

  /// Encrypts the bytes, for `flush` to send.
  /// - Returns: false when memory is exhausted or the connection is not open.
  func write(_ bytes: Span<UInt8>) -> Bool {
    ERR_clear_error()
    var written = 0
    // The output takes whatever it is given, so that everything is written at once or nothing ever will.
    let status = unsafe bytes.withUnsafeBytes { unsafe SSL_write_ex(ssl, $0.baseAddress, $0.count, &written) }
    return status == 1 && written == bytes.count
  }

  /// Gives the kernel what it takes.
  func flush() -> Progress {
    while pendingByteCount > 0 {
      guard unsafe evbuffer_write(output, descriptor) < 0 else { continue }
      if errno == EINTR { continue }
      return errno == EAGAIN ? .wait : .failed(reason: systemReason(errno))
    }
    return .done(byteCount: 0)
  }

  /// Tells the peer that nothing more comes, if that needs no waiting.
  func sayGoodbye() {
    ERR_clear_error()
    if pendingByteCount == 0 { _ = unsafe SSL_shutdown(ssl) }
    _ = flush()
    ERR_clear_error()
  }

  private func outcome(of status: CInt) -> Progress {
    let code = errno
    switch unsafe SSL_get_error(ssl, status) {
    case SSL_ERROR_WANT_READ: return .wait
    case SSL_ERROR_ZERO_RETURN: return .ended
    case SSL_ERROR_SYSCALL: return code == 0 ? .ended : .failed(reason: systemReason(code))
    default:
      guard let text = unsafe ERR_reason_error_string(ERR_peek_error()) else { return .failed(reason: "TLS failed") }
      return .failed(reason: unsafe String(cString: text))
    }
  }
}

/// OpenSSL's way into an output buffer.
///
/// Made once, before the first connection, and only read from then on.
private nonisolated(unsafe) let outputMethod: OpaquePointer? = {
  guard let method = unsafe BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "output") else { return nil }
  unsafe BIO_meth_set_create(method) { bio in
    unsafe BIO_set_init(bio, 1)
    return 1
  }
  unsafe BIO_meth_set_write(method) { bio, bytes, count in
    // The data is the evbuffer of the socket that owns the BIO; `count` bytes are readable, and are copied.
    unsafe evbuffer_add(OpaquePointer(BIO_get_data(bio)), bytes, Int(count)) == 0 ? count : -1
  }
  unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
  return unsafe method
}()
