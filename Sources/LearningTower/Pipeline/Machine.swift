import Compute

/// With what a stage computes. Threads and backend decide about the last bits of a result, the precision about more.
public struct Machine: Sendable, Hashable, Codable {
  public var threads: Int
  /// nil: the best there is on this machine.
  public var backend: Runtime.Backend?
  public var precision: Precision

  public init(threads: Int, backend: Runtime.Backend? = nil, precision: Precision = .float32) {
    self.threads = threads
    self.backend = backend
    self.precision = precision
  }

  func runtime() throws -> Runtime {
    try Runtime(backend: backend ?? Runtime.defaultBackend, threads: threads, precision: precision)
  }

  /// That the precision makes nothing faster here, in words.
  public func precisionRemark() throws -> String? {
    let runtime = try runtime()
    return runtime.isPrecisionNative
      ? nil
      : "\(runtime.backend.rawValue) does not multiply \(precision.rawValue) on this processor: convolutions of the "
        + "rounded values are computed in float32, which is slower than float32 alone"
  }
}
