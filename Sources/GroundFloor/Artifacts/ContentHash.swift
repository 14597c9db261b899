internal import COpenSSL

/// The SHA-256 of some bytes: the name of an artifact. Written as 64 lowercase hexadecimal digits.
public struct ContentHash: Hashable, Comparable, Sendable {
  /// The digest as four big-endian words, so that a hash needs no allocation and sorts like its text.
  private let words: Words

  private struct Words: Hashable, Sendable {
    var a: UInt64 = 0
    var b: UInt64 = 0
    var c: UInt64 = 0
    var d: UInt64 = 0
  }

  public static let byteCount = 32

  /// - Precondition: `digest` has 32 bytes.
  init(digest: [UInt8]) {
    precondition(digest.count == Self.byteCount, "a SHA-256 has 32 bytes")
    func word(_ index: Int) -> UInt64 { digest[index * 8..<index * 8 + 8].reduce(0) { $0 << 8 | UInt64($1) } }
    words = Words(a: word(0), b: word(1), c: word(2), d: word(3))
  }

  /// Reads the 64 hexadecimal digits; `nil` when `hex` is anything else.
  public init?(hex: some StringProtocol) {
    let digits = Array(hex.utf8)
    guard digits.count == 2 * Self.byteCount else { return nil }
    var digest: [UInt8] = []
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let high = Self.value(ofDigit: digits[index]), let low = Self.value(ofDigit: digits[index + 1]) else {
        return nil
      }
      digest.append(high << 4 | low)
    }
    self.init(digest: digest)
  }

  /// The hash of `bytes`.
  public init(of bytes: Span<UInt8>) throws {
    let hasher = try ContentHasher()
    try hasher.update(bytes)
    self = try hasher.contentHash()
  }

  /// The hash of the file at `path`, read in pieces of 1 MiB.
  public init(ofFile path: String) throws {
    let file = try FileDescriptor(path, .read)
    let hasher = try ContentHasher()
    while true {
      let piece = try file.read(upToCount: 1 << 20)
      if piece.isEmpty { break }
      try hasher.update(piece.span)
    }
    self = try hasher.contentHash()
  }

  /// The first eight bytes, big-endian.
  public var prefix: UInt64 { words.a }

  public var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(64)
    for word in [words.a, words.b, words.c, words.d] {
      for shift in stride(from: 60, through: 0, by: -4) { text.append(digits[Int(word >> UInt64(shift) & 15)]) }
    }
    return String(decoding: text, as: UTF8.self)
  }

  public static func < (left: ContentHash, right: ContentHash) -> Bool {
    (left.words.a, left.words.b, left.words.c, left.words.d)
      < (right.words.a, right.words.b, right.words.c, right.words.d)
  }

  private static func value(ofDigit digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}

extension ContentHash: CustomStringConvertible {
  public var description: String { hex }
}

extension ContentHash: Codable {
  public init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let hash = ContentHash(hex: text) else { throw ArtifactsError.notAHash(text) }
    self = hash
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(hex)
  }
}

/// A SHA-256 that is fed piece by piece.
@safe public struct ContentHasher: ~Copyable {
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

  /// The hash of everything fed so far; more may be fed after it.
  public func contentHash() throws -> ContentHash {
    var digest = [UInt8](repeating: 0, count: ContentHash.byteCount)
    // A copy is finished, because finishing spends a context. SHA-256 writes exactly 32 bytes.
    guard let copy = unsafe EVP_MD_CTX_new() else { throw ArtifactsError.library("EVP_MD_CTX_new") }
    defer { unsafe EVP_MD_CTX_free(copy) }
    guard unsafe EVP_MD_CTX_copy_ex(copy, context) == 1, unsafe EVP_DigestFinal_ex(copy, &digest, nil) == 1 else {
      throw ArtifactsError.library("EVP_DigestFinal_ex")
    }
    return ContentHash(digest: digest)
  }
}

/// To be called before anything of OpenSSL is. Its clean-up when a process exits would take the locks away from threads
/// that are still at work, and crash it.
package func prepareOpenSSL() { precondition(isOpenSSLPrepared, "OpenSSL cannot be set up") }

private let isOpenSSLPrepared = OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil) == 1
