internal import CEvent
import Glibc
import Synchronization

/// One thread that waits for sockets, timers, signals and child processes, and is the executor of the actors that own
/// them: an actor whose `unownedExecutor` is its loop's runs on this thread, and so may call libevent directly.
///
/// The thread ends when the last reference to the loop goes; every open `Connection`, `Listener` and armed `Timer`
/// holds one. Everything in this module except `EventLoop`, `Token` and the addresses must be used on the loop's thread
/// only, which is checked.
public final class EventLoop: SerialExecutor, Sendable {
  let core: LoopCore

  public init(name: String) throws {
    core = try LoopCore()
    let core = core
    try startThread(name: name) { core.run() }
  }

  deinit { core.stop() }

  public func enqueue(_ job: consuming ExecutorJob) {
    // The job is run exactly once, by the loop's thread; the actor it belongs to keeps this executor alive until then.
    unsafe core.submit(.job(UnownedJob(job), on: asUnownedSerialExecutor()))
  }

  /// The executor that an actor returns as its `unownedExecutor` to run on this loop. Safe because the actor stores the
  /// loop, which so lives at least as long as the actor.
  @safe public var executor: UnownedSerialExecutor { unsafe asUnownedSerialExecutor() }

  public func checkIsolated() { preconditionOnLoop() }
  public func isIsolatingCurrentContext() -> Bool? { core.isCurrent }

  /// Runs `work` on the loop's thread, after whatever was handed in before.
  public func post(_ work: @escaping @Sendable () -> Void) { core.submit(.work(work)) }

  func preconditionOnLoop() { precondition(core.isCurrent, "this belongs to its event loop's thread") }
}

/// The part of the loop that its thread owns, so that the thread can outlive the last `EventLoop` reference by a
/// moment.
///
/// `@unchecked Sendable`: `base` and `wakeEvent` are made before the thread starts, touched only by that thread while
/// it runs (everything public checks `isCurrent`), and freed in `deinit`, when the thread has let go of this object and
/// nobody else holds it. `wakeDescriptor` is an immutable integer on which `write` is thread-safe. The rest is a mutex
/// and an atomic.
@safe final class LoopCore: @unchecked Sendable {
  /// A job is run once, by `drain`, and its actor keeps the executor alive until then.
  @safe enum Item {
    case job(UnownedJob, on: UnownedSerialExecutor)
    case work(@Sendable () -> Void)
  }

  let base: OpaquePointer
  private var wakeEvent: OpaquePointer?
  private let wakeDescriptor: CInt
  private let inbox = Mutex<[Item]>([])
  private let thread = Atomic<UInt>(0)

  init() throws {
    // A peer that goes away while we write must be an error of that connection, not a signal that ends the process.
    signal(SIGPIPE, SIG_IGN)
    memory_keep_frames()
    guard let base = unsafe event_base_new() else { throw TransportError.library(call: "event_base_new") }
    unsafe self.base = base
    wakeDescriptor = eventfd(0, O_CLOEXEC | O_NONBLOCK)
    guard wakeDescriptor >= 0 else {
      throw TransportError.system(call: "eventfd", subject: "the event loop", errno: errno)
    }
    // The event's argument is this object, which frees the event before it goes.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    unsafe wakeEvent = event_new(
      base, wakeDescriptor, Int16(EV_READ | EV_PERSIST),
      { _, _, context in unsafe Unmanaged<LoopCore>.fromOpaque(context!).takeUnretainedValue().drain() }, context)
    guard let wakeEvent = unsafe wakeEvent, unsafe event_add(wakeEvent, nil) == 0 else {
      throw TransportError.library(call: "event_new")
    }
  }

  deinit {
    if let wakeEvent = unsafe wakeEvent { unsafe event_free(wakeEvent) }
    unsafe event_base_free(base)
    close(wakeDescriptor)
  }

  var isCurrent: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

  func submit(_ item: Item) {
    let wasEmpty = inbox.withLock { inbox in
      inbox.append(item)
      return inbox.count == 1
    }
    if wasEmpty { wake() }
  }

  func stop() {
    submit(.work { [unowned self] in _ = unsafe event_base_loopbreak(base) })
  }

  func run() {
    thread.store(UInt(pthread_self()), ordering: .relaxed)
    drain()
    _ = unsafe event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY)
  }

  private func wake() {
    var one: UInt64 = 1
    _ = unsafe write(wakeDescriptor, &one, 8)  // Fails only when the counter is full, that is, already awake.
  }

  private func drain() {
    var counter: UInt64 = 0
    _ = unsafe read(wakeDescriptor, &counter, 8)
    let items = inbox.withLock { inbox in
      let items = inbox
      inbox = []
      return items
    }
    for item in items {
      switch item {
      case .job(let job, let executor): unsafe job.runSynchronously(on: executor)
      case .work(let work): work()
      }
    }
  }
}

/// Starts a detached thread.
func startThread(name: String, _ body: @escaping @Sendable () -> Void) throws {
  final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void
    init(_ name: String, _ body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
  var thread = pthread_t()
  // Retained here, released by the thread; when it could not start, by us.
  let start = unsafe Unmanaged.passRetained(Start(name, body))
  let status = unsafe pthread_create(
    &thread, nil,
    { context in
      let start = unsafe Unmanaged<Start>.fromOpaque(context!).takeRetainedValue()
      unsafe thread_set_name(start.name)
      start.body()
      return nil
    }, start.toOpaque())
  guard status == 0 else {
    unsafe start.release()
    throw TransportError.system(call: "pthread_create", subject: name, errno: status)
  }
  pthread_detach(thread)
}
