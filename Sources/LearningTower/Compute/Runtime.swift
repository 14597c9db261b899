import Settings

/// The library that computes convolutions, and the number of threads.
public struct Runtime: Sendable, Hashable {
  public enum Backend: String, Sendable, Hashable, Codable, CaseIterable {
    case oneDNN = "onednn"
    case openBLAS = "openblas"
  }

  public let backend: Backend
  public let threads: Int

  /// - Throws: `ComputeError` if this build has no such backend or `threads` is not in 1...256.
  public init(backend: Backend = Runtime.defaultBackend, threads: Int) throws(ComputeError) {
    if let problem = BenchmarkStage.all.group.threads.problem(threads) { throw ComputeError(problem) }
    guard Self.availableBackends.contains(backend) else {
      throw ComputeError(
        "this build has no backend '\(backend.rawValue)': install libdnnl-dev and build again, or choose "
          + Self.availableBackends.map(\.rawValue).joined(separator: " or "))
    }
    self.backend = backend
    self.threads = threads
  }

  public static var availableBackends: [Backend] {
    OneDNN.isAvailable ? [.oneDNN, .openBLAS] : [.openBLAS]
  }
  /// oneDNN where it compiles its kernels for the processor, OpenBLAS elsewhere.
  public static var defaultBackend: Backend {
    OneDNN.hasCompiledKernels ? .oneDNN : .openBLAS
  }

  func makeConvolutionLibrary() -> any ConvolutionLibrary {
    switch backend {
    case .oneDNN: OneDNN()
    case .openBLAS: OpenBLAS()
    }
  }
}
