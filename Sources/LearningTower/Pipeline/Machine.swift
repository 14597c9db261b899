import Compute

/// With what a stage computes. It decides about the last bits of a result, not about what the result is.
public struct Machine: Sendable, Hashable, Codable {
  public var threads: Int
  /// nil: the best there is on this machine.
  public var backend: Runtime.Backend?

  public init(threads: Int, backend: Runtime.Backend? = nil) {
    self.threads = threads
    self.backend = backend
  }

  func runtime() throws -> Runtime {
    try Runtime(backend: backend ?? Runtime.defaultBackend, threads: threads)
  }
}
