internal import CEvent
import Glibc

/// Runs a closure once, some time from now, on the loop's thread, unless it is cancelled before.
@safe public final class Timer {
  private let loop: EventLoop
  private var event: OpaquePointer?
  private var action: (() -> Void)?

  public init(on loop: EventLoop, after duration: Duration, _ action: @escaping () -> Void) {
    loop.preconditionOnLoop()
    self.loop = loop
    self.action = action
    // The event holds a reference to this object, which `finish` gives back.
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    unsafe event = event_new(
      loop.core.base, -1, 0,
      { _, _, context in unsafe Unmanaged<Timer>.fromOpaque(context!).takeUnretainedValue().fire() }, context)
    var time = timeval(duration)
    unsafe event_add(event, &time)
  }

  public func cancel() {
    loop.preconditionOnLoop()
    finish()
  }

  private func fire() {
    let action = action
    finish()
    action?()
  }

  private func finish() {
    guard let event = unsafe event else { return }
    unsafe self.event = nil
    action = nil
    unsafe event_free(event)
    unsafe Unmanaged.passUnretained(self).release()
  }
}

/// Counts milliseconds from its making, never back and never in leaps; stands still while the machine sleeps.
public struct MonotonicClock: Sendable {
  private let start = SuspendingClock.now

  public init() {}

  public var milliseconds: Int64 {
    let (seconds, attoseconds) = (SuspendingClock.now - start).components
    return seconds * 1000 + attoseconds / 1_000_000_000_000_000
  }
}

/// Calls a closure on the loop's thread whenever the process gets the signal, instead of what the signal would do.
/// A process has one loop that watches signals. Watches until the process ends.
@safe public final class SignalWatch {
  private let action: () -> Void

  public init(on loop: EventLoop, _ signal: CInt, _ action: @escaping () -> Void) throws {
    loop.preconditionOnLoop()
    self.action = action
    // Never released: a signal handler is for the life of the process.
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    let event = unsafe event_new(
      loop.core.base, signal, Int16(EV_SIGNAL | EV_PERSIST),
      { _, _, context in unsafe Unmanaged<SignalWatch>.fromOpaque(context!).takeUnretainedValue().action() }, context)
    guard let event = unsafe event, unsafe event_add(event, nil) == 0 else {
      throw TransportError.library(call: "event_new")
    }
  }
}

extension timeval {
  init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    self.init(
      tv_sec: max(0, min(Int(seconds), 1 << 31)), tv_usec: max(0, Int(attoseconds / 1_000_000_000_000)))
  }
}
