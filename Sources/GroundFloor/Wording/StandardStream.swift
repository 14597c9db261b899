import Foundation
import Synchronization

/// Standard output or standard error. A write that fails stops no work: the rest of the output is dropped, the reason
/// is kept, and whoever ends the process asks for it.
public final class StandardStream: Sendable {
  public static let output = StandardStream(STDOUT_FILENO)
  public static let errors = StandardStream(STDERR_FILENO)

  private let descriptor: CInt
  private let state = Mutex<CInt>(0)

  init(_ descriptor: CInt) { self.descriptor = descriptor }

  public var isTerminal: Bool { isatty(descriptor) == 1 }

  /// Why a write has failed, in words; nil while all have gone well.
  public var failure: String? {
    let code = state.withLock { $0 }
    return code == 0 ? nil : systemReason(code)
  }

  /// Writes the text as it is, past any buffer.
  public func write(_ text: String) {
    state.withLock { code in
      if code == 0 { code = send(Array(text.utf8)) }
    }
  }

  /// Closes the stream: some file systems report only then that nothing was kept.
  public func finish() {
    state.withLock { code in
      if code == 0, close(descriptor) != 0, errno != EBADF { code = errno }
    }
  }

  /// Lets a write to a pipe that nobody reads fail instead of ending the process, and takes the numbers of standard
  /// streams that are closed, so that no file that is opened later receives what is printed.
  public static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) < 0 {
      // The lowest free number; opened the wrong way round, so that using it fails as it would if it were closed.
      _ = unsafe open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }

  /// - Returns: `errno` of the write that failed, or 0.
  private func send(_ bytes: [UInt8]) -> CInt {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { unsafe Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count >= 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        // Another process has made the terminal or pipe non-blocking.
        var event = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&event, 1, -1)
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }
}

/// Prints lines that may hold foreign text to standard output.
public func printLine(_ text: String) { StandardStream.output.write(text.printable + "\n") }

/// Prints JSON, which stays exact, to standard output.
public func printJSON(text: String) { StandardStream.output.write(text.printableJSON + "\n") }

/// Prints lines that may hold foreign text to standard error.
public func printError(_ text: String) { StandardStream.errors.write(text.printable + "\n") }
