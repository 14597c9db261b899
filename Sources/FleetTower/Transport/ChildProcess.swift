internal import CEvent
import Glibc

/// A program run in a process group of its own, heard line by line.
///
/// Unless it is given a file, its standard input is a pipe that nobody writes to: it closes when this process ends,
/// however it ends, and a well-made child takes that as its own end. The child inherits nothing else: no other
/// descriptor, no ignored signal.
///
/// Belongs to its loop's thread; the last event is `exited`, after everything the child wrote, exactly once.
@safe public final class ChildProcess {
  public enum Event: Hashable, Sendable {
    /// A line of standard output, without its end.
    case line(String)
    /// Some bytes of standard error.
    case errorOutput([UInt8])
    case exited(Ending)
  }

  public enum Ending: Hashable, Sendable, CustomStringConvertible {
    case status(Int)
    case signal(Int)
    /// Killed by us, for what it used.
    case overran(ChildLimits.Excess)
    public var description: String {
      switch self {
      case .overran(let excess): "\(excess)"
      case .status(let status): "exit status \(status)"
      case .signal(let signal): "ended by signal \(signal) (\(unsafe String(cString: strsignal(CInt(signal)))))"
      }
    }
  }

  public let processID: Int32

  private let loop: EventLoop
  private let onEvent: (Event) -> Void
  private let maximumLineByteCount: Int
  private var input: CInt
  private var output: PipeReader?
  private var errorOutput: PipeReader?
  private var line: [UInt8] = []
  private var ending: Ending?
  private var watch: ChildWatch?

  /// The most memory it has used at once, as the kernel says. Set when it has ended.
  public private(set) var peakResidentByteCount = 0

  /// Starts the program.
  /// - Parameters:
  ///   - environment: all of it, as `NAME=VALUE`.
  ///   - file: is read as its standard input.
  ///   - maximumLineByteCount: a child that writes a longer line is killed.
  public init(
    _ program: String, arguments: [String], environment: [String], folder: String, input file: String? = nil,
    on loop: EventLoop, limits: ChildLimits = ChildLimits(), maximumLineByteCount: Int = 1 << 20,
    onEvent: @escaping (Event) -> Void
  ) throws {
    loop.preconditionOnLoop()
    self.loop = loop
    self.onEvent = onEvent
    self.maximumLineByteCount = maximumLineByteCount
    let pipes = try (Pipe(), Pipe(), Pipe())
    defer { for end in [pipes.0.readEnd, pipes.1.writeEnd, pipes.2.writeEnd] { close(end) } }
    do {
      let given = try file.map(openToRead)
      defer { if let given { close(given) } }
      processID = try spawn(
        program, arguments, environment, folder: folder, input: given ?? pipes.0.readEnd, output: pipes.1.writeEnd,
        errorOutput: pipes.2.writeEnd)
    } catch {
      for end in [pipes.0.writeEnd, pipes.1.readEnd, pipes.2.readEnd] { close(end) }
      throw error
    }
    input = pipes.0.writeEnd
    output = PipeReader(pipes.1.readEnd, on: loop) { [self] bytes in received(bytes) }
    errorOutput = PipeReader(pipes.2.readEnd, on: loop) { [self] bytes in
      if let bytes { onEvent(.errorOutput(bytes)) } else { errorOutput = nil }
      finishIfDone()
    }
    wait()
    if limits != ChildLimits() { watch = ChildWatch(processID, limits, on: loop) { [weak self] in self?.kill() } }
  }

  /// Ends the child and everything it has started, at once. `exited` follows.
  public func kill() {
    loop.preconditionOnLoop()
    // While `ending` is unset the process has not been waited for, so that its number is still its own.
    if ending == nil { Glibc.kill(-processID, SIGKILL) }
  }

  private func received(_ bytes: [UInt8]?) {
    guard let bytes else {
      output = nil
      if !line.isEmpty { deliverLine() }
      finishIfDone()
      return
    }
    for byte in bytes {
      if byte == UInt8(ascii: "\n") {
        deliverLine()
      } else if line.count < maximumLineByteCount {
        line.append(byte)
      } else {
        kill()
        return
      }
    }
  }

  private func deliverLine() {
    let text = String(decoding: line, as: UTF8.self)
    line.removeAll(keepingCapacity: true)
    onEvent(.line(text))
  }

  /// Waits on a thread of its own, because nothing else can wait for a process without blocking.
  private func wait() {
    let identifier = processID
    let loop = loop
    // This object crosses to the loop's thread only, where it belongs; the waiting thread does not touch it.
    nonisolated(unsafe) let child = self
    let body: @Sendable () -> Void = {
      var information = unsafe siginfo_t()
      // Leaves the child waitable: as long as it is, its number is given to no other process.
      while unsafe waitid(P_PID, id_t(identifier), &information, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
      loop.post { unsafe child.exited() }
    }
    do {
      try startThread(name: "wait \(identifier)", body)
    } catch {
      body()  // No thread to be had: the machine is out of memory, and waiting here is what is left.
    }
  }

  /// Ends all that the child has started; then its number may go to others.
  private func exited() {
    Glibc.kill(-processID, SIGKILL)
    var status: CInt = 0
    var usage = rusage()
    while unsafe wait4(processID, &status, 0, &usage) < 0 && errno == EINTR {}
    peakResidentByteCount = usage.ru_maxrss << 10
    let signal = status & 0x7f
    watch?.end()
    if signal != 0, let excess = watch?.excess {
      ending = .overran(excess)
    } else {
      ending = signal == 0 ? .status(Int(status >> 8 & 0xff)) : .signal(Int(signal))
    }
    finishIfDone()
  }

  private func finishIfDone() {
    guard let ending, output == nil, errorOutput == nil, input >= 0 else { return }
    close(input)
    input = -1
    onEvent(.exited(ending))
  }
}

/// Both ends close themselves when a child starts.
private struct Pipe {
  let readEnd: CInt
  let writeEnd: CInt

  init() throws {
    var ends: [CInt] = [-1, -1]
    // Writes two descriptors.
    guard unsafe make_pipe(&ends) == 0 else {
      throw TransportError.system(call: "pipe2", subject: "a child process", errno: errno)
    }
    (readEnd, writeEnd) = (ends[0], ends[1])
  }
}

/// The caller closes the descriptor; a child that is started does not inherit it under this number.
private func openToRead(_ path: String) throws -> CInt {
  let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)  // The path lives during the call.
  guard descriptor >= 0 else { throw TransportError.system(call: "open", subject: path, errno: errno) }
  return descriptor
}

/// Hands on what arrives in a pipe, then nil at its end. Owns the descriptor.
@safe private final class PipeReader {
  private let descriptor: CInt
  private let onBytes: ([UInt8]?) -> Void
  private var event: OpaquePointer?

  init(_ descriptor: CInt, on loop: EventLoop, _ onBytes: @escaping ([UInt8]?) -> Void) {
    self.descriptor = descriptor
    self.onBytes = onBytes
    evutil_make_socket_nonblocking(descriptor)
    // The event holds a reference to this object, which the end of the pipe gives back.
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    unsafe event = event_new(
      loop.core.base, descriptor, Int16(EV_READ | EV_PERSIST),
      { _, _, context in unsafe Unmanaged<PipeReader>.fromOpaque(context!).takeUnretainedValue().readable() }, context)
    unsafe event_add(event, nil)
  }

  private func readable() {
    var got = 0
    // At most 64 KiB are written, which is what there is room for.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
      got = unsafe read(descriptor, buffer.baseAddress!, buffer.count)
      count = max(got, 0)
    }
    if got < 0 && (errno == EAGAIN || errno == EINTR) { return }
    if got > 0 {
      onBytes(bytes)
      return
    }
    unsafe event_free(event)
    close(descriptor)
    onBytes(nil)
    unsafe Unmanaged.passUnretained(self).release()
  }
}

private func spawn(
  _ program: String, _ arguments: [String], _ environment: [String], folder: String, input: CInt, output: CInt,
  errorOutput: CInt
) throws -> pid_t {
  var actions = unsafe posix_spawn_file_actions_t()
  var attributes = posix_spawnattr_t()
  var empty = sigset_t()
  var ignored = sigset_t()
  var identifier: pid_t = 0
  // The structures are initialised, used and destroyed here; the strings live until `free`, after the child is started.
  unsafe posix_spawn_file_actions_init(&actions)
  unsafe posix_spawnattr_init(&attributes)
  let argumentStrings = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
  let environmentStrings = unsafe environment.map { unsafe strdup($0) } + [nil]
  defer {
    unsafe posix_spawn_file_actions_destroy(&actions)
    unsafe posix_spawnattr_destroy(&attributes)
    unsafe (argumentStrings + environmentStrings).forEach { unsafe free($0) }
  }
  unsafe posix_spawn_file_actions_adddup2(&actions, input, 0)
  unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
  unsafe posix_spawn_file_actions_adddup2(&actions, errorOutput, 2)
  unsafe spawn_close_other_descriptors(&actions)
  unsafe spawn_change_folder(&actions, folder)
  unsafe sigemptyset(&empty)
  unsafe sigemptyset(&ignored)
  unsafe sigaddset(&ignored, SIGPIPE)
  unsafe posix_spawnattr_setpgroup(&attributes, 0)
  unsafe posix_spawnattr_setsigmask(&attributes, &empty)
  unsafe posix_spawnattr_setsigdefault(&attributes, &ignored)
  unsafe posix_spawnattr_setflags(
    &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
  let status = unsafe posix_spawn(
    &identifier, program, &actions, &attributes, argumentStrings, environmentStrings)
  guard status == 0 else { throw TransportError.notStarted(program: program, errno: status) }
  return identifier
}
