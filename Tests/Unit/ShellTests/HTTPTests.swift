import Artifacts
import Coordinator
import Foundation
import Glibc
import Testing
import Transport

/// A coordinator with its dashboard, and a browser that is only a socket.
@Suite struct HTTPTests {
  private func coordinator(_ folder: TemporaryFolder) throws -> Coordinator {
    var options = CoordinatorOptions(folder: folder.path)
    options.endpoint = Endpoint(host: "127.0.0.1", port: 0)
    options.httpEndpoint = Endpoint(host: "127.0.0.1", port: 0)
    return try Coordinator(options)
  }

  private func token(_ folder: TemporaryFolder, _ role: String) throws -> String {
    try Token(file: "\(folder.path)/\(role).token").text
  }

  /// All that comes back until the other side closes.
  private func exchange(_ request: String, port: UInt16) throws -> String {
    let browser = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(browser) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    // The address and the bytes live during the calls, which are told their sizes.
    let isConnected = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(browser, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    try #require(isConnected == 0)
    let bytes = Array(request.utf8)
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe send(browser, $0.baseAddress! + sent, $0.count - sent, CInt(MSG_NOSIGNAL))
      }
      if count <= 0 { break }
      sent += count
    }
    var answer: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe recv(browser, &piece, piece.count, 0)
      if count <= 0 { return String(decoding: answer, as: UTF8.self) }
      answer += piece.prefix(count)
    }
  }

  private func get(_ path: String, host: String = "localhost", _ authorization: String? = nil, method: String = "GET")
    -> String
  {
    "\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\n"
      + (authorization.map { "Authorization: \($0)\r\n" } ?? "") + "\r\n"
  }

  @Test func showsItsPagesToOperatorsOnly() async throws {
    let folder = try TemporaryFolder()
    let coordinator = try coordinator(folder)
    _ = try await coordinator.start()
    let port = try #require(await coordinator.httpAddress).port
    let (good, worker) = (try token(folder, "operator"), try token(folder, "worker"))
    let basic = "Basic " + Data("me:\(good)".utf8).base64EncodedString()

    for authorization in ["Bearer \(good)", basic] {
      let page = try exchange(get("/", authorization), port: port)
      #expect(page.hasPrefix("HTTP/1.1 200 ") && page.contains("<h2>Sweeps") && page.contains("default-src 'none'"))
    }
    let metrics = try exchange(get("/metrics", basic), port: port)
    #expect(metrics.contains("greensweep_jobs{state=\"running\"} 0\n") && metrics.contains("greensweep_slots 0\n"))
    #expect(try exchange(get("/api/sweeps", basic), port: port).hasSuffix("\r\n\r\n[]\n"))
    for (path, authorization) in [("/api/workers", basic), ("/nowhere", basic), ("/", nil)] {
      #expect(try exchange(get(path, authorization, method: "HEAD"), port: port).hasSuffix("\r\n\r\n"))
    }
    #expect(try exchange(get("/nowhere", basic), port: port).hasPrefix("HTTP/1.1 404 "))

    for authorization in [nil, "Bearer", "Bearer \(worker)", "Bearer \(good)0", "Basic !!!!", "Basic e30="] {
      for path in ["/", "/metrics", "/api/workers", "/nowhere"] {
        let answer = try exchange(get(path, authorization), port: port)
        #expect(answer.hasPrefix("HTTP/1.1 401 ") && !answer.contains("greensweep_"), "\(authorization ?? "nothing")")
      }
    }
    for host in ["evil.example", "localhost.evil.example", "localhost:x", "127.0.0.1.nip.io", "", "[::2]"] {
      #expect(try exchange(get("/", host: host, basic), port: port).hasPrefix("HTTP/1.1 421 "), "\(host)")
    }
    for method in ["POST", "DELETE", "OPTIONS", "get"] {
      #expect(try exchange(get("/", basic, method: method), port: port).hasPrefix("HTTP/1.1 405 "))
    }
    let long = "GET / HTTP/1.1\r\nHost: localhost\r\nX: \(String(repeating: "x", count: 20_000))"
    #expect(try exchange(long, port: port).hasPrefix("HTTP/1.1 431 "))
    #expect(
      try exchange(get("/", basic).replacing("\r\n\r\n", with: "\r\nContent-Length: 5\r\n\r\n12345"), port: port)
        .hasPrefix("HTTP/1.1 413 "))

    #expect(try TokenFolder(folder.path).revoke(String(good.split(separator: ".")[2])))
    var answer = ""
    for _ in 0..<200 where !answer.hasPrefix("HTTP/1.1 401 ") {
      answer = try exchange(get("/", basic), port: port)
      try await Task.sleep(for: .milliseconds(100))
    }
    #expect(answer.hasPrefix("HTTP/1.1 401 "))
    await coordinator.stop()
  }

  @Test(arguments: ["0.0.0.0", "::", "192.0.2.1"]) func plainHTTPStaysOnThisMachine(host: String) async throws {
    let folder = try TemporaryFolder()
    var options = CoordinatorOptions(folder: folder.path)
    options.endpoint = Endpoint(host: "127.0.0.1", port: 0)
    options.httpEndpoint = Endpoint(host: host, port: 0)
    let coordinator = try Coordinator(options)
    await #expect { _ = try await coordinator.start() } throws: { "\($0)".contains("ssh -L") }
    await coordinator.stop()
  }
}
