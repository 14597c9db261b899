import Compute
import Pipeline

extension Option {
  static let threads = Option("--threads", "T", help: "threads to compute with (default: all processors)")
  static let backend = Option(
    "--backend", "NAME", help: "onednn or openblas (default: the faster one this machine has)")
  static let imageSize = Option("--image-size", "S", help: "side of the square images in pixels (default: 640)")
  static let classCount = Option("--nc", "N", help: "number of classes (default: 80)")
}

extension Arguments {
  /// `--threads` and `--backend`.
  func machine() throws -> Machine {
    let names = Runtime.Backend.allCases.map(\.rawValue)
    return Machine(
      threads: try int("--threads", in: 1...256) ?? processorCount,
      backend: try choice("--backend", among: names).flatMap(Runtime.Backend.init(rawValue:)))
  }

  func imageSize(default size: Int = 640) throws -> Int { try int("--image-size", in: 32...8192) ?? size }

  func classCount(default count: Int = 80) throws -> Int { try int("--nc", in: 1...10_000) ?? count }

  func batchSize(default size: Int) throws -> Int { try int("--batch", in: 1...4096) ?? size }
}
