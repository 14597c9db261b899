import Artifacts
import Bytes
internal import COpenSSL
import Glibc
import Wording

/// The one secret of a connection: whoever holds it may speak, in the role it was made for. It carries the trust in
/// both directions, because both ends prove that they know it; there are no certificates.
///
/// Its text is `greensweep.ROLE.ID.SECRET`; it lives in a file that only its owner can read, never on a command line.
public struct Token: Hashable, Sendable {
  public enum Role: String, Hashable, Sendable, CaseIterable {
    /// May offer slots, run jobs, and move artifacts.
    case worker
    /// May submit, read and steer sweeps, and move artifacts.
    case `operator`

    /// The advice for somebody who holds a token of this role where the other one is needed.
    public var mismatch: String {
      switch self {
      case .worker: "this is a worker's token; commands that submit, read and steer sweeps need an operator's"
      case .operator: "this is an operator's token; a worker needs a worker's"
      }
    }
  }

  public let role: Role
  /// Eight hexadecimal digits that name the token in lists and logs; not a secret.
  public let id: String
  private let secret: [UInt8]

  static let secretByteCount = 32
  /// The most bytes in a token's file: the token, and perhaps its expiry.
  static let fileByteCount = 1024

  /// A new token with 256 random bits.
  public init(role: Role) throws {
    self.role = role
    id = try Self.randomBytes(4).hexDigits
    secret = try Self.randomBytes(Self.secretByteCount)
  }

  /// Reads a token's text.
  public init(text: String) throws {
    // A token has about a hundred bytes; nothing longer is worth taking apart.
    let parts = text.utf8.count > 256 ? [] : text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4, parts[0] == "greensweep", let role = Role(rawValue: String(parts[1])),
      [UInt8](hexDigits: parts[2])?.count == 4, let secret = [UInt8](hexDigits: parts[3]),
      secret.count == Self.secretByteCount
    else { throw TransportError.invalidToken(reason: "this is not a Greensweep token") }
    self.role = role
    self.id = String(parts[2])
    self.secret = secret
  }

  /// Reads the token in the file at `path`.
  /// - Throws: `TransportError.invalidToken`, also when others than the owner can read the file, or when the token has
  ///   expired.
  public init(file path: String) throws {
    let entry = try TokenFolder.Entry(Token.privateBytes(path), file: path)
    guard !entry.isExpired(at: time(nil)) else {
      throw TransportError.invalidToken(
        reason:
          "the token in \(path) has expired: 'greensweep token create --role \(entry.token.role.rawValue)' on the "
          + "coordinator's host makes another one")
    }
    self = entry.token
  }

  /// Returns the content of a file that only its owner can read.
  static func privateBytes(_ path: String) throws -> [UInt8] {
    do {
      let status = try FileDescriptor(path, .read).status()
      guard status.st_mode & 0o077 == 0 else {
        throw TransportError.invalidToken(reason: "others can read the token in \(path): run 'chmod 600 \(path)'")
      }
      return try Files.read(path, maximumByteCount: fileByteCount)
    } catch let error as ArtifactsError {
      throw TransportError.invalidToken(reason: "cannot read the token: \(error.words)")
    }
  }

  /// Writes the token's text to a file that only this user can read (0600).
  public func write(to path: String) throws {
    try Files.writeDurably(Array((text + "\n").utf8), to: path)
  }

  public var text: String { "greensweep.\(role.rawValue).\(id).\(secret.hexDigits)" }

  /// The name of the token, which is sent in the clear.
  var identity: [UInt8] { Array("greensweep/1 \(role.rawValue) \(id)".utf8) }

  /// The TLS pre-shared key: HKDF-SHA-256 of the secret, bound to role, name and protocol by `identity`.
  func preSharedKey() throws -> [UInt8] {
    prepareOpenSSL()
    guard let context = unsafe EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nil) else {
      throw TransportError.library(call: "EVP_PKEY_CTX_new_id")
    }
    defer { unsafe EVP_PKEY_CTX_free(context) }
    let info = identity
    var key = [UInt8](repeating: 0, count: 32)
    var count = key.count
    // Arrays are passed with their own counts and read during the calls; at most `count` bytes are written to `key`.
    guard unsafe EVP_PKEY_derive_init(context) == 1,
      unsafe EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) == 1,
      unsafe EVP_PKEY_CTX_set1_hkdf_key(context, secret, CInt(secret.count)) == 1,
      unsafe EVP_PKEY_CTX_add1_hkdf_info(context, info, CInt(info.count)) == 1,
      unsafe EVP_PKEY_derive(context, &key, &count) == 1, count == key.count
    else { throw TransportError.library(call: "EVP_PKEY_derive") }
    return key
  }

  private static func randomBytes(_ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    // Writes exactly `count` bytes.
    prepareOpenSSL()
    guard unsafe RAND_bytes(&bytes, CInt(count)) == 1 else { throw TransportError.library(call: "RAND_bytes") }
    return bytes
  }
}

/// Printing a token, by accident or in a log, never shows its secret.
extension Token: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  public var description: String { "\(role.rawValue) token \(id)" }
  public var debugDescription: String { description }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
