internal import CEvent
import Dispatch
import Glibc

/// Where to listen or connect: `HOST:PORT`, `ADDRESS:PORT` or `[IPV6]:PORT`.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
  public let host: String
  public let port: UInt16

  public init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  public init(_ text: String) throws {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
      throw TransportError.invalidEndpoint(text)
    }
    var host = text[..<colon]
    if host.hasPrefix("[") && host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      throw TransportError.invalidEndpoint(text)
    }
    guard !host.isEmpty else { throw TransportError.invalidEndpoint(text) }
    self.init(host: String(host), port: port)
  }

  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  /// The addresses behind the name, in the system's order of preference; asks the resolver on a thread of its own.
  public func resolve() async throws -> [SocketAddress] {
    try await withCheckedThrowingContinuation { continuation in
      DispatchQueue.global().async { continuation.resume(with: Result { try resolveBlocking() }) }
    }
  }

  /// The same on the calling thread, which a slow name server may hold up.
  public func resolveBlocking() throws -> [SocketAddress] {
    var hints = unsafe addrinfo()  // All zero: no constraint.
    unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
    unsafe hints.ai_flags = AI_ADDRCONFIG
    var list: UnsafeMutablePointer<addrinfo>?
    let status = unsafe getaddrinfo(host, String(port), &hints, &list)
    guard status == 0 else {
      throw TransportError.unresolvable(endpoint: description, reason: unsafe String(cString: gai_strerror(status)))
    }
    defer { unsafe freeaddrinfo(list) }
    var addresses: [SocketAddress] = []
    var next = unsafe list
    // The list and the addresses in it live until `freeaddrinfo`.
    while let entry = unsafe next {
      unsafe addresses.append(SocketAddress(entry.pointee.ai_addr, Int(entry.pointee.ai_addrlen)))
      unsafe next = entry.pointee.ai_next
    }
    return addresses
  }
}

/// A numeric IPv4 or IPv6 address with its port, as the system writes it.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
  private let bytes: [UInt8]

  /// - Parameter count: how many bytes are readable at `address`.
  init(_ address: UnsafePointer<sockaddr>, _ count: Int) {
    bytes = unsafe Array(UnsafeRawBufferPointer(start: address, count: count))
  }

  func withSocketAddress<Result>(_ body: (UnsafePointer<sockaddr>, CInt) throws -> Result) rethrows -> Result {
    // The copy is aligned for any address and as long as the count says.
    var storage = sockaddr_storage()
    return try unsafe withUnsafeMutableBytes(of: &storage) { buffer in
      unsafe buffer.copyBytes(from: bytes.prefix(buffer.count))
      return try unsafe body(
        UnsafeRawPointer(buffer.baseAddress!).assumingMemoryBound(to: sockaddr.self), CInt(bytes.count))
    }
  }

  /// A socket for connections to it, which does not block. The caller owns it.
  func makeSocket() throws -> CInt {
    let family = unsafe withSocketAddress { address, _ in unsafe CInt(address.pointee.sa_family) }
    let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let descriptor = Glibc.socket(family, kind, 0)
    guard descriptor >= 0 else { throw TransportError.system(call: "socket", subject: description, errno: errno) }
    return descriptor
  }

  public var description: String {
    unsafe withSocketAddress { address, count in
      var host = [CChar](repeating: 0, count: 64)
      var port = [CChar](repeating: 0, count: 8)
      let status = unsafe getnameinfo(
        address, socklen_t(count), &host, 64, &port, 8, CInt(NI_NUMERICHOST | NI_NUMERICSERV))
      guard status == 0 else { return "unknown address" }
      func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      }
      let (hostText, portText) = (text(host), text(port))
      return hostText.contains(":") ? "[\(hostText)]:\(portText)" : "\(hostText):\(portText)"
    }
  }

  /// The address a listening socket has got.
  init(ofSocket descriptor: CInt) {
    var storage = sockaddr_storage()
    var count = socklen_t(MemoryLayout<sockaddr_storage>.size)
    // getsockname writes at most `count` bytes, which is what the storage has.
    self = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
      let generic = unsafe UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: sockaddr.self)
      unsafe getsockname(descriptor, generic, &count)
      return unsafe SocketAddress(generic, Int(count))
    }
  }

  /// The numeric address without the port.
  public var host: String { String(description.prefix(upTo: description.lastIndex(of: ":") ?? description.endIndex)) }

  /// Whether only this machine can reach it.
  public var isLoopback: Bool { host == "[::1]" || host.hasPrefix("127.") }

  /// The port number.
  public var port: UInt16 { UInt16(description.split(separator: ":").last ?? "") ?? 0 }
}

/// Returns the error that the socket has met since it was last asked; nil if there is none.
func pendingError(of descriptor: CInt) -> CInt? {
  var code: CInt = 0
  var count = socklen_t(MemoryLayout<CInt>.size)
  // The option's value is a C int of the stated size.
  unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &count)
  return code == 0 ? nil : code
}

/// Sends small pieces at once.
func setNoDelay(_ descriptor: CInt) {
  var isOn: CInt = 1
  // The option's value is a C int of the stated size.
  unsafe setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &isOn, socklen_t(MemoryLayout<CInt>.size))
}
