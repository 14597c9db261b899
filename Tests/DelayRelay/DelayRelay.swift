import Foundation
import Glibc
import Synchronization

/// A long wire: forwards TCP connections and holds every byte back for a while, in both directions. For kernels without
/// `netem`. `delay-relay LISTEN_PORT HOST_IPV4 PORT MILLISECONDS`
@main
struct DelayRelay {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 5, let listenPort = UInt16(arguments[1]), let port = UInt16(arguments[3]),
      let milliseconds = Int(arguments[4])
    else { fatalError("usage: delay-relay LISTEN_PORT HOST_IPV4 PORT MILLISECONDS") }
    signal(SIGPIPE, SIG_IGN)
    let target = address(arguments[2], port)
    let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var yes: CInt = 1
    unsafe setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
    guard unsafe use(address("0.0.0.0", listenPort), { unsafe bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0
    else {
      fatalError("cannot listen on port \(listenPort)")
    }
    while true {
      let near = accept(listener, nil, nil)
      guard near >= 0 else { continue }
      let far = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
      guard unsafe use(target, { unsafe connect(far, $0, $1) }) == 0 else {
        close(near)
        close(far)
        continue
      }
      for descriptor in [near, far] {
        unsafe setsockopt(
          descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<CInt>.size))
      }
      forward(from: near, to: far, milliseconds)
      forward(from: far, to: near, milliseconds)
    }
  }

  /// One thread reads and notes when, one writes when it is time. An end of either side ends both.
  private static func forward(from source: CInt, to destination: CInt, _ milliseconds: Int) {
    let wire = Wire()
    Thread.detachNewThread {
      var buffer = [UInt8](repeating: 0, count: 64 << 10)
      while true {
        let count = unsafe read(source, &buffer, buffer.count)
        wire.put(count > 0 ? Array(buffer[..<count]) : [], due: .now + .milliseconds(milliseconds))
        if count <= 0 { return }
      }
    }
    Thread.detachNewThread {
      while true {
        let (bytes, due) = wire.take()
        Thread.sleep(forTimeInterval: max(0, (due - .now) / .seconds(1)))
        var sent = 0
        while sent < bytes.count {
          let count = unsafe bytes.withUnsafeBytes {
            unsafe write(destination, $0.baseAddress! + sent, bytes.count - sent)
          }
          if count <= 0 { break }
          sent += count
        }
        guard !bytes.isEmpty, sent == bytes.count else {
          shutdown(destination, CInt(SHUT_RDWR))
          shutdown(source, CInt(SHUT_RDWR))
          return
        }
      }
    }
  }

  private static func address(_ host: String, _ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    guard unsafe inet_pton(AF_INET, host, &address.sin_addr) == 1 else { fatalError("\(host) is no IPv4 address") }
    return address
  }

  private static func use(_ address: sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
    unsafe withUnsafeBytes(of: address) {
      unsafe body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
}

/// What is under way, at most a megabyte or so.
private final class Wire: Sendable {
  private let parts = Mutex<[(bytes: [UInt8], due: ContinuousClock.Instant)]>([])
  private let filled = DispatchSemaphore(value: 0)
  private let room = DispatchSemaphore(value: 64)

  func put(_ bytes: [UInt8], due: ContinuousClock.Instant) {
    room.wait()
    parts.withLock { $0.append((bytes, due)) }
    filled.signal()
  }

  func take() -> (bytes: [UInt8], due: ContinuousClock.Instant) {
    filled.wait()
    defer { room.signal() }
    return parts.withLock { $0.removeFirst() }
  }
}
