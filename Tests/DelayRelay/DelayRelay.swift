import Foundation
import Glibc
import Synchronization

/// A long wire, for kernels without `netem`: forwards TCP connections and holds every byte back for a while, in both
/// directions. `delay-relay LISTEN_PORT HOST_IPV4 PORT MILLISECONDS`
@main
struct DelayRelay {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 5, let listenPort = UInt16(arguments[1]), let port = UInt16(arguments[3]),
      let milliseconds = Int(arguments[4])
    else { fail("usage: delay-relay LISTEN_PORT HOST_IPV4 PORT MILLISECONDS") }
    signal(SIGPIPE, SIG_IGN)
    let target = address(arguments[2], port)
    guard let listener = Socket() else { fail("no socket to be had") }
    listener.set(SOL_SOCKET, SO_REUSEADDR)
    guard unsafe withPointer(to: address("0.0.0.0", listenPort), { unsafe bind(listener.descriptor, $0, $1) }) == 0,
      listen(listener.descriptor, 64) == 0
    else { fail("cannot listen on port \(listenPort)") }
    while true {
      guard let near = Socket(accept(listener.descriptor, nil, nil)), let far = Socket(),
        unsafe withPointer(to: target, { unsafe connect(far.descriptor, $0, $1) }) == 0
      else { continue }
      for end in [near, far] { end.set(CInt(IPPROTO_TCP), TCP_NODELAY) }
      forward(from: near, to: far, milliseconds)
      forward(from: far, to: near, milliseconds)
    }
  }

  /// One thread reads and notes when, one writes when it is time. An end on either side ends both.
  private static func forward(from source: Socket, to destination: Socket, _ milliseconds: Int) {
    let wire = Wire()
    Thread.detachNewThread {
      var buffer = [UInt8](repeating: 0, count: 64 << 10)
      while true {
        // At most as many bytes are written as the buffer has.
        let count = max(0, unsafe read(source.descriptor, &buffer, buffer.count))
        wire.put(Array(buffer[..<count]), due: .now + .milliseconds(milliseconds))
        if count == 0 { return }
      }
    }
    Thread.detachNewThread {
      var isOpen = true
      while true {
        let (bytes, due) = wire.take()
        Thread.sleep(forTimeInterval: max(0, (due - .now) / .seconds(1)))
        isOpen = isOpen && destination.write(bytes)
        guard !isOpen || bytes.isEmpty else { continue }
        for end in [source, destination] { end.shutDown() }
        // The rest is still read off the wire, so that the reader gets to the end.
        if bytes.isEmpty { return }
      }
    }
  }
}

/// Closed when nobody uses it any more.
private final class Socket: Sendable {
  let descriptor: CInt

  /// Takes over what a call returned; nil if it failed.
  init?(_ descriptor: CInt = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)) {
    guard descriptor >= 0 else { return nil }
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  func set(_ level: CInt, _ option: CInt) {
    var yes: CInt = 1
    // Reads one integer.
    unsafe setsockopt(descriptor, level, option, &yes, socklen_t(MemoryLayout<CInt>.size))
  }

  func shutDown() { shutdown(descriptor, CInt(SHUT_RDWR)) }

  /// - Returns: whether all of it is on its way.
  func write(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      // Reads what is left of the array.
      let count = unsafe bytes[sent...].withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count <= 0 { return false }
      sent += count
    }
    return true
  }
}

/// The bytes under way, in at most 64 pieces. An empty piece is the end.
private final class Wire: Sendable {
  private let pieces = Mutex<[(bytes: [UInt8], due: ContinuousClock.Instant)]>([])
  private let filled = DispatchSemaphore(value: 0)
  private let room = DispatchSemaphore(value: 64)

  func put(_ bytes: [UInt8], due: ContinuousClock.Instant) {
    room.wait()
    pieces.withLock { $0.append((bytes, due)) }
    filled.signal()
  }

  func take() -> (bytes: [UInt8], due: ContinuousClock.Instant) {
    filled.wait()
    defer { room.signal() }
    return pieces.withLock { $0.removeFirst() }
  }
}

private func address(_ host: String, _ port: UInt16) -> sockaddr_in {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  guard unsafe inet_pton(AF_INET, host, &address.sin_addr) == 1 else { fail("\(host) is no IPv4 address") }
  return address
}

/// Lends the address as the calls of sockets take it.
private func withPointer(to address: sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
  unsafe withUnsafeBytes(of: address) {
    unsafe body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
  }
}

private func fail(_ words: String) -> Never {
  FileHandle.standardError.write(Data("delay-relay: \(words)\n".utf8))
  exit(2)
}
