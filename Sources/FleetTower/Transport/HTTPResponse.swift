/// The answer to a request; the connection closes after it.
public struct HTTPResponse: Hashable, Sendable {
  public var status: Int
  public var contentType: String
  /// The things that a browser may do with it: by default nothing but show it.
  public var contentSecurityPolicy: String
  public var body: [UInt8]

  public init(
    status: Int = 200, contentType: String, contentSecurityPolicy: String = "default-src 'none'",
    body: some Sequence<UInt8>
  ) {
    self.status = status
    self.contentType = contentType
    self.contentSecurityPolicy = contentSecurityPolicy
    self.body = Array(body)
  }

  public init(_ refusal: HTTPRefusal) {
    self.init(status: refusal.status, contentType: "text/plain; charset=utf-8", body: "\(refusal)\n".utf8)
  }

  private static let reasons = [
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
    413: "Content Too Large", 421: "Misdirected Request", 431: "Request Header Fields Too Large",
    503: "Service Unavailable",
  ]

  func bytes(isHead: Bool) -> [UInt8] {
    var lines = [
      "HTTP/1.1 \(status) \(Self.reasons[status] ?? "Error")", "Content-Type: \(contentType)",
      "Content-Length: \(body.count)", "Connection: close", "Cache-Control: no-store",
      "Content-Security-Policy: \(contentSecurityPolicy); base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer", "Cross-Origin-Opener-Policy: same-origin",
      "Cross-Origin-Resource-Policy: same-origin",
    ]
    if status == 401 { lines.append("WWW-Authenticate: Basic realm=\"greensweep: the password is an operator token\"") }
    if status == 405 { lines.append("Allow: GET, HEAD") }
    return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + (isHead ? [] : body)
  }
}
