public import Bytes
internal import COpenSSL

extension Digest {
  public init(of bytes: Span<UInt8>) throws {
    let hasher = try SHA256()
    try hasher.update(bytes)
    self = try hasher.digest()
  }

  /// Reads the file at `path` in pieces of 1 MiB.
  public init(ofFile path: String) throws {
    let file = try FileDescriptor(path, .read)
    let hasher = try SHA256()
    while true {
      let piece = try file.read(upToCount: 1 << 20)
      if piece.isEmpty { break }
      try hasher.update(piece.span)
    }
    self = try hasher.digest()
  }
}

/// A SHA-256 that is fed piece by piece.
@safe public struct SHA256: ~Copyable {
  private let context: OpaquePointer

  public init() throws {
    prepareOpenSSL()
    guard let context = unsafe EVP_MD_CTX_new() else { throw ArtifactsError.library("EVP_MD_CTX_new") }
    guard unsafe EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      unsafe EVP_MD_CTX_free(context)
      throw ArtifactsError.library("EVP_DigestInit_ex")
    }
    unsafe self.context = context
  }

  deinit { unsafe EVP_MD_CTX_free(context) }

  public func update(_ bytes: Span<UInt8>) throws {
    // The pointer is read within its span's count, and only during the call.
    let status = unsafe bytes.withUnsafeBytes { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    guard status == 1 else { throw ArtifactsError.library("EVP_DigestUpdate") }
  }

  /// The digest of everything fed so far; more may be fed after it.
  public func digest() throws -> Digest {
    var bytes = [UInt8](repeating: 0, count: Digest.byteCount)
    // A copy is finished, because finishing spends a context. SHA-256 writes exactly 32 bytes.
    guard let copy = unsafe EVP_MD_CTX_new() else { throw ArtifactsError.library("EVP_MD_CTX_new") }
    defer { unsafe EVP_MD_CTX_free(copy) }
    guard unsafe EVP_MD_CTX_copy_ex(copy, context) == 1, unsafe EVP_DigestFinal_ex(copy, &bytes, nil) == 1 else {
      throw ArtifactsError.library("EVP_DigestFinal_ex")
    }
    return Digest(bytes: bytes)
  }
}

/// Sets OpenSSL up; called before any other function of it. Its clean-up when a process exits would take the locks away
/// from threads that are still at work, and crash it.
package func prepareOpenSSL() { precondition(isOpenSSLPrepared, "OpenSSL cannot be set up") }

private let isOpenSSLPrepared = OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil) == 1
