import Artifacts
internal import COpenSSL

/// OpenSSL set up for one thing only: TLS 1.3, authenticated on both sides by a pre-shared key, with a fresh
/// Diffie-Hellman exchange per connection. No certificates, no resumption, no early data.
///
/// Used on one loop's thread only.
@safe final class TLSContext {
  let raw: OpaquePointer

  private init() throws {
    prepareOpenSSL()
    guard let raw = unsafe SSL_CTX_new(TLS_method()) else { throw TransportError.library(call: "SSL_CTX_new") }
    unsafe self.raw = raw
    // SHA-256 suites, because the key's hash must be theirs.
    guard unsafe openssl_require_tls13(raw) == 1,
      unsafe SSL_CTX_set_ciphersuites(raw, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") == 1
    else { throw TransportError.library(call: "SSL_CTX_set_ciphersuites") }
    unsafe openssl_forbid_resumption(raw)
    unsafe openssl_set_buffer_modes(raw)
  }

  deinit { unsafe SSL_CTX_free(raw) }

  /// For the listening side. A connection's `keyring` says which tokens it may be opened with.
  static func server() throws -> TLSContext {
    let context = try TLSContext()
    unsafe SSL_CTX_set_psk_find_session_callback(context.raw) { ssl, identity, count, session in
      // OpenSSL passes a readable identity of `count` bytes and a place for the session. No session means that the
      // handshake fails, there being no certificate to fall back on.
      unsafe session!.pointee = nil
      guard let handshake = unsafe Handshake.of(ssl), let identity = unsafe identity, count <= 128 else { return 1 }
      let name = unsafe Array(UnsafeBufferPointer(start: identity, count: count))
      guard let entry = handshake.keyring.entries[name] else { return 1 }
      handshake.token = entry.token
      unsafe session!.pointee = TLSContext.session(for: ssl!, key: entry.key)
      return 1
    }
    return context
  }

  /// For the dialling side. A connection's `keyring` holds the one token it proves.
  static func client() throws -> TLSContext {
    let context = try TLSContext()
    // A certificate that a stranger may show is checked against no authority at all, and so refused.
    unsafe SSL_CTX_set_verify(context.raw, SSL_VERIFY_PEER, nil)
    unsafe SSL_CTX_set_psk_use_session_callback(context.raw) { ssl, _, identity, count, session in
      guard let handshake = unsafe Handshake.of(ssl), let entry = handshake.keyring.entries.first?.value else {
        return 0
      }
      handshake.token = entry.token
      // The identity's memory is the handshake's, which outlives the connection.
      unsafe identity!.pointee = UnsafePointer(handshake.identity.baseAddress)
      unsafe count!.pointee = handshake.identity.count
      unsafe session!.pointee = TLSContext.session(for: ssl!, key: entry.key)
      return unsafe session!.pointee == nil ? 0 : 1
    }
    return context
  }

  /// A new TLS endpoint that finds `handshake` in its callbacks; the caller keeps `handshake` alive as long as it
  /// lives.
  func makeSSL(_ handshake: Handshake) throws -> OpaquePointer {
    guard let ssl = unsafe SSL_new(raw) else { throw TransportError.library(call: "SSL_new") }
    unsafe SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(handshake).toOpaque())
    return unsafe ssl
  }

  /// The pre-shared key in the form in which TLS 1.3 takes it. The caller owns the session.
  private static func session(for ssl: OpaquePointer, key: [UInt8]) -> OpaquePointer? {
    guard let session = unsafe SSL_SESSION_new() else { return nil }
    let cipher = unsafe SSL_CIPHER_find(ssl, [0x13, 0x01])  // TLS_AES_128_GCM_SHA256
    guard unsafe SSL_SESSION_set1_master_key(session, key, key.count) == 1,
      unsafe SSL_SESSION_set_cipher(session, cipher) == 1,
      unsafe SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1
    else {
      unsafe SSL_SESSION_free(session)
      return nil
    }
    return unsafe session
  }
}

/// Tokens with their derived keys, by the identity that names them on the wire.
public struct Keyring: Sendable {
  struct Entry: Sendable {
    let token: Token
    let key: [UInt8]
  }
  let entries: [[UInt8]: Entry]

  public init(_ tokens: [Token]) throws {
    var entries: [[UInt8]: Entry] = [:]
    for token in tokens { entries[token.identity] = Entry(token: token, key: try token.preSharedKey()) }
    self.entries = entries
  }
}

/// The data that one connection's TLS callbacks need and find out.
@safe final class Handshake {
  let keyring: Keyring
  /// The token that was offered; proven once the handshake has succeeded.
  var token: Token?
  /// The dialling side's identity, at an address that stays.
  let identity: UnsafeMutableBufferPointer<UInt8>

  init(_ keyring: Keyring) {
    self.keyring = keyring
    let identity = keyring.entries.keys.first ?? []
    unsafe self.identity = .allocate(capacity: identity.count)
    _ = unsafe self.identity.initialize(from: identity)
  }

  deinit { unsafe identity.deallocate() }

  static func of(_ ssl: OpaquePointer?) -> Handshake? {
    // Set by `makeSSL`; its owner keeps it alive.
    guard let context = unsafe SSL_get_ex_data(ssl, 0) else { return nil }
    return unsafe Unmanaged<Handshake>.fromOpaque(context).takeUnretainedValue()
  }
}
