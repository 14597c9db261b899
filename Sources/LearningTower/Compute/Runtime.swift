import Settings

/// The element of a plan's maps and of the operands of its convolutions. Sums, statistics, parameters and their
/// gradients, and the heads' maps are float32 either way.
public enum Precision: String, Sendable, Hashable, Codable, CaseIterable {
  case float32
  /// Half the memory; convolutions are about twice as fast on processors that multiply it.
  case bfloat16

  var element: Element { self == .float32 ? .float32 : .bfloat16 }
}

/// The library that computes convolutions, the number of threads, and the precision.
public struct Runtime: Sendable, Hashable {
  public enum Backend: String, Sendable, Hashable, Codable, CaseIterable {
    case oneDNN = "onednn"
    case openBLAS = "openblas"
  }

  public let backend: Backend
  public let threads: Int
  public let precision: Precision

  /// - Throws: `ComputeError` if this build has no such backend or `threads` is not in 1...256.
  public init(
    backend: Backend = Runtime.defaultBackend, threads: Int, precision: Precision = .float32
  ) throws(ComputeError) {
    if let problem = BenchmarkStage.all.group.threads.problem(threads) { throw ComputeError(problem) }
    guard Self.availableBackends.contains(backend) else {
      throw ComputeError(
        "this build has no backend '\(backend.rawValue)': install libdnnl-dev and build again, or choose "
          + Self.availableBackends.map(\.rawValue).joined(separator: " or "))
    }
    self.backend = backend
    self.threads = threads
    self.precision = precision
  }

  public static var availableBackends: [Backend] {
    OneDNN.isAvailable ? [.oneDNN, .openBLAS] : [.openBLAS]
  }
  /// oneDNN where it compiles its kernels for the processor, OpenBLAS elsewhere.
  public static var defaultBackend: Backend {
    OneDNN.hasCompiledKernels ? .oneDNN : .openBLAS
  }

  /// Whether the processor and the library multiply values of this precision. Otherwise convolutions are computed in
  /// float32 from the same rounded operands, and their results are rounded: as exact, but not faster.
  public var isPrecisionNative: Bool {
    precision == .float32 || backend == .oneDNN && OneDNN.hasBFloat16Kernels
  }

  func makeConvolutionLibrary() -> any ConvolutionLibrary {
    let library: any ConvolutionLibrary =
      switch backend {
      case .oneDNN: OneDNN()
      case .openBLAS: OpenBLAS()
      }
    return isPrecisionNative ? library : RoundingLibrary(library)
  }
}
