internal import CEvent
import Glibc

/// Bounds beyond which a child is killed; nil is no bound.
public struct ChildLimits: Hashable, Sendable {
  /// Resident memory of the process itself. It is looked at several times a second; against leaps between two looks the
  /// kernel refuses it private memory beyond twice as much, or a gigabyte more if that is greater. (A bound on the
  /// address space would be of no use: threads, allocators and generated code reserve several times what they use.)
  public var residentByteCount: Int?
  public var seconds: Double?

  public enum Excess: Hashable, Sendable, CustomStringConvertible {
    /// The memory in use when the limit was found exceeded.
    case memory(residentByteCount: Int)
    case time(seconds: Double)
    public var description: String {
      switch self {
      case .memory(let count): "killed at \(count >> 20) MB of memory, which is beyond its limit"
      case .time(let seconds): "killed after \(seconds.formatted) s, its time limit"
      }
    }
  }

  public init(residentByteCount: Int? = nil, seconds: Double? = nil) {
    self.residentByteCount = residentByteCount
    self.seconds = seconds
  }
}

extension Double {
  fileprivate var formatted: String { self == rounded() && self < 1e15 ? "\(Int(self))" : "\(self)" }
}

/// Looks at what a child uses, on its loop's thread.
final class ChildWatch {
  private(set) var excess: ChildLimits.Excess?

  private let process: pid_t
  private let limits: ChildLimits
  private let loop: EventLoop
  private let kill: () -> Void
  private var memoryTimer: Timer?
  private var timeTimer: Timer?
  /// The last look found too much. One look does not condemn: a process that is just being started may still show the
  /// memory of the one that starts it.
  private var isSuspect = false

  private static let pause = Duration.milliseconds(200)

  init(_ process: pid_t, _ limits: ChildLimits, on loop: EventLoop, kill: @escaping () -> Void) {
    self.process = process
    self.limits = limits
    self.loop = loop
    self.kill = kill
    if let count = limits.residentByteCount {
      // Where the kernel does not grant it, looking has to do.
      _ = process_limit_data(process, UInt64(max(2 * count, count + 1 << 30)))
      look()
    }
    if let seconds = limits.seconds {
      timeTimer = Timer(on: loop, after: .seconds(seconds)) { [weak self] in
        self?.timeTimer = nil
        self?.exceed(.time(seconds: seconds))
      }
    }
  }

  func end() {
    memoryTimer?.cancel()
    timeTimer?.cancel()
    (memoryTimer, timeTimer) = (nil, nil)
  }

  private func look() {
    guard let limit = limits.residentByteCount else { return }
    let count = residentByteCount(of: process) ?? 0
    if count > limit && isSuspect { return exceed(.memory(residentByteCount: count)) }
    isSuspect = count > limit
    memoryTimer = Timer(on: loop, after: Self.pause) { [weak self] in
      self?.memoryTimer = nil
      self?.look()
    }
  }

  private func exceed(_ excess: ChildLimits.Excess) {
    guard self.excess == nil else { return }
    self.excess = excess
    end()
    kill()
  }
}

/// The second number of `/proc/PID/statm`, in bytes; nil once the process has ended. Reading it waits for nothing.
private func residentByteCount(of process: pid_t) -> Int? {
  let descriptor = unsafe open("/proc/\(process)/statm", O_RDONLY | O_CLOEXEC)  // The path lives during the call.
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  var text = [UInt8](repeating: 0, count: 128)
  // At most as many bytes as there is room for.
  let count = unsafe read(descriptor, &text, text.count)
  let fields = text.prefix(max(count, 0)).split(separator: UInt8(ascii: " "))
  guard fields.count > 1, let pages = Int(String(decoding: fields[1], as: UTF8.self)) else { return nil }
  return pages * sysconf(CInt(_SC_PAGESIZE))
}
