/// A request of a browser or a monitor. All requests read, so that a request is its head.
public struct HTTPRequest: Hashable, Sendable {
  /// The answer's head is wanted without its body.
  public let isHead: Bool
  /// Begins with a slash; a query is left out.
  public let path: String
  /// Names and values as they came, the names in lower case.
  let headers: [String: String]

  /// Bytes of a request's head.
  static let headByteCount = 8 << 10
  static let headerLimit = 64

  /// Where the head's empty line begins.
  static func end(of bytes: [UInt8]) -> Int? {
    guard bytes.count >= 4 else { return nil }
    return (0...(bytes.count - 4)).first { bytes[$0] == 13 && bytes[$0..<($0 + 4)].elementsEqual([13, 10, 13, 10]) }
  }

  /// Reads the head up to and without its empty line.
  init(_ head: ArraySlice<UInt8>) throws(HTTPRefusal) {
    guard head.count <= Self.headByteCount else { throw .tooLong }
    // A request that is not printable text gets no answer, and no part of it gets into a log or a page.
    guard head.allSatisfy({ (0x20...0x7e).contains($0) || [9, 10, 13].contains($0) }) else {
      throw HTTPRefusal(400, "a request with letters that belong in none")
    }
    var lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: false)[...]
    guard !lines.contains(where: { $0.utf8.contains(10) || $0.utf8.contains(13) }), lines.count <= Self.headerLimit
    else {
      throw HTTPRefusal(400, "a request with broken or too many lines")
    }
    let words = lines.removeFirst().split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 3, words[1].hasPrefix("/"), words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0" else {
      throw HTTPRefusal(400, "not a request of HTTP/1.1")
    }
    guard words[0] == "GET" || words[0] == "HEAD" else {
      throw HTTPRefusal(405, "only GET and HEAD: this page reads and changes nothing")
    }
    var headers: [String: String] = [:]
    for line in lines {
      guard let colon = line.firstIndex(of: ":"), Self.isName(line[..<colon]) else {
        throw HTTPRefusal(400, "a header without a name")
      }
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      // Said twice, two readers could understand two things.
      guard headers.updateValue(String(value), forKey: line[..<colon].lowercased()) == nil else {
        throw HTTPRefusal(400, "a header that comes twice")
      }
    }
    guard headers["transfer-encoding"] == nil, headers["content-length", default: "0"] == "0" else {
      throw HTTPRefusal(413, "a request with a body")
    }
    isHead = words[0] == "HEAD"
    path = String(words[1].prefix { $0 != "?" && $0 != "#" })
    self.headers = headers
  }

  private static func isName(_ name: Substring) -> Bool {
    !name.isEmpty && name.utf8.allSatisfy { ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7a || $0 == 0x2d || $0 == 0x5f }
  }

  /// Whether the address that was typed is this machine's own. A page from elsewhere whose name was made to lead here
  /// (DNS rebinding) still sends its own name.
  public var isForLoopback: Bool {
    guard let host = headers["host"] else { return false }
    let name = host.hasPrefix("[") ? host.prefix { $0 != "]" } + "]" : host.prefix { $0 != ":" }
    let port = host.dropFirst(name.count)
    guard port.isEmpty || port.first == ":" && UInt16(port.dropFirst()) != nil else { return false }
    return ["localhost", "127.0.0.1", "[::1]"].contains(name.lowercased())
  }

  /// The token that was shown: after `Bearer`, or as the password of `Basic`.
  var shownToken: String? {
    guard let words = headers["authorization"]?.split(separator: " "), words.count == 2 else { return nil }
    switch words[0].lowercased() {
    case "bearer": return String(words[1])
    case "basic":
      guard let bytes = [UInt8](base64: words[1].utf8), let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else {
        return nil
      }
      return String(decoding: bytes[(colon + 1)...], as: UTF8.self)
    default: return nil
    }
  }
}

/// Why a request is not answered as it was meant.
public struct HTTPRefusal: Error, Hashable, Sendable, CustomStringConvertible {
  public let status: Int
  public let description: String
  public init(_ status: Int, _ description: String) {
    self.status = status
    self.description = description
  }

  static let tooLong = HTTPRefusal(431, "a request of more than \(HTTPRequest.headByteCount) bytes")
}

extension [UInt8] {
  /// nil for anything but whole base64 with its padding.
  init?(base64 text: some Collection<UInt8>) {
    guard text.count.isMultiple(of: 4) else { return nil }
    var bytes: [UInt8] = []
    var (bits, count, padding) = (0 as UInt32, 0, 0)
    for letter in text {
      let value: UInt8
      switch letter {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = letter - UInt8(ascii: "A")
      case UInt8(ascii: "a")...UInt8(ascii: "z"): value = letter - UInt8(ascii: "a") + 26
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = letter - UInt8(ascii: "0") + 52
      case UInt8(ascii: "+"): value = 62
      case UInt8(ascii: "/"): value = 63
      case UInt8(ascii: "="):
        padding += 1
        continue
      default: return nil
      }
      if padding > 0 { return nil }
      bits = bits << 6 | UInt32(value)
      count += 1
      if count.isMultiple(of: 4) {
        bytes += [
          UInt8(truncatingIfNeeded: bits >> 16), UInt8(truncatingIfNeeded: bits >> 8), UInt8(truncatingIfNeeded: bits),
        ]
      }
    }
    switch (count % 4, padding) {
    case (0, 0): break
    case (2, 2): bytes.append(UInt8(truncatingIfNeeded: bits >> 4))
    case (3, 1): bytes += [UInt8(truncatingIfNeeded: bits >> 10), UInt8(truncatingIfNeeded: bits >> 2)]
    default: return nil
    }
    self = bytes
  }
}
