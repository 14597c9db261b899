import Artifacts
import Glibc
import Wording

/// The tokens a coordinator accepts: files that only its user can read, one for each. A token is revoked by taking its
/// file away; the coordinator looks every second.
///
///     worker.token, operator.token    the first of each role, made when missing
///     tokens/ROLE-ID.token            those made later; a second line says when the token ends
public struct TokenFolder: Sendable {
  public struct Entry: Hashable, Sendable {
    public let token: Token
    public let path: String
    /// Seconds since 1970; nil means never.
    public let expiresAt: Int?

    public func isExpired(at now: Int) -> Bool { expiresAt.map { $0 <= now } ?? false }
  }

  /// The coordinator's data folder.
  public let path: String

  public init(_ path: String) { self.path = path }

  private var extraPath: String { path + "/tokens" }
  private func firstPath(_ role: Token.Role) -> String { path + "/\(role.rawValue).token" }

  /// Makes the first tokens of both roles where they are missing.
  public func fill() throws {
    for role in Token.Role.allCases where !Files.exists(firstPath(role)) {
      try Token(role: role).write(to: firstPath(role))
    }
  }

  /// Makes another token.
  /// - Parameter lifetimeSeconds: how long it is good; nil means until it is revoked.
  public func create(_ role: Token.Role, lifetimeSeconds: Int?) throws -> Entry {
    try Files.createFolder(extraPath)
    let token = try Token(role: role)
    let expiresAt = lifetimeSeconds.map { Int(time(nil)) + $0 }
    let file = extraPath + "/\(role.rawValue)-\(token.id).token"
    try Files.writeDurably(Array((token.text + "\n" + (expiresAt.map { "expires \($0)\n" } ?? "")).utf8), to: file)
    return Entry(token: token, path: file, expiresAt: expiresAt)
  }

  /// - Returns: whether there was such a token.
  public func revoke(_ id: String) throws -> Bool {
    let found = try entries().filter { $0.token.id == id }
    for entry in found { try Files.remove(entry.path) }
    return !found.isEmpty
  }

  /// All tokens, expired ones included, sorted by role and name.
  /// - Throws: `TransportError.invalidToken` for a file that is no token or that others can read.
  public func entries() throws -> [Entry] {
    var files = Token.Role.allCases.map(firstPath).filter(Files.exists)
    if Files.exists(extraPath) {
      files += try Files.names(in: extraPath).filter { $0.hasSuffix(".token") }.sorted().map { extraPath + "/" + $0 }
    }
    return try files.compactMap { file in
      // One that has just been taken away is no mistake.
      do { return try Entry(Token.privateBytes(file), file: file) } catch  where !Files.exists(file) { return nil }
    }.sorted { ($0.token.role.rawValue, $0.token.id) < ($1.token.role.rawValue, $1.token.id) }
  }
}

extension TokenFolder.Entry {
  /// Reads what stands in a token's file.
  init(_ bytes: [UInt8], file: String) throws {
    let lines = try Self.lines(of: bytes, file: file)
    guard let first = lines.first, let token = try? Token(text: String(first)), lines.count <= 2 else {
      throw TransportError.invalidToken(
        reason: "\(file) does not hold a Greensweep token, which begins with ‘greensweep.’ and has one line")
    }
    guard lines.count == 2 else {
      self.init(token: token, path: file, expiresAt: nil)
      return
    }
    let words = lines[1].split(separator: " ")
    guard words.count == 2, words[0] == "expires", let expiresAt = Int(words[1]) else {
      throw TransportError.invalidToken(
        reason: "\(file): \"\(lines[1].shortened())\" does not say when the token ends")
    }
    self.init(token: token, path: file, expiresAt: expiresAt)
  }

  /// The lines that are not empty, without what editors and mail programs put around text: blanks, carriage returns and
  /// a byte order mark.
  private static func lines(of bytes: [UInt8], file: String) throws -> [String] {
    if bytes.isEmpty { throw TransportError.invalidToken(reason: "\(file) is empty: it should hold a token") }
    if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) {
      throw TransportError.invalidToken(reason: "\(file) is text in UTF-16: save the token as UTF-8")
    }
    let text = String(
      decoding: bytes.starts(with: [0xef, 0xbb, 0xbf]) ? bytes.dropFirst(3) : bytes[...], as: UTF8.self)
    return text.split(whereSeparator: \.isNewline).map { line in
      String(line.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }.filter { !$0.isEmpty }
  }
}
