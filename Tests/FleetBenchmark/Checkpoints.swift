import Artifacts
import Randomness

/// Files to move: as much like checkpoints as their compressibility goes.
enum CheckpointContent: String, CaseIterable {
  /// Bytes that no compressor makes smaller.
  case random
  /// 32-bit floats spread as trained weights are: exponents repeat, the rest does not.
  case weights

  /// Writes a file of `megabytes` that no other call with another seed writes.
  func write(_ megabytes: Int, to path: String, seed: UInt64) throws {
    var generator = SplitMix64(seed: seed, stream: rawValue)
    try Files.remove(path)
    let file = try FileDescriptor(path, .createNew)
    for _ in 0..<megabytes {
      let words: [UInt32] = (0..<1 << 18).map { _ in
        switch self {
        case .random: UInt32(truncatingIfNeeded: generator.next())
        case .weights: ((0..<4).reduce(Float(0)) { sum, _ in sum + generator.nextSignedUnit() } * 0.02).bitPattern
        }
      }
      var bytes: [UInt8] = []
      bytes.reserveCapacity(1 << 20)
      for word in words {
        for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(shift))) }
      }
      try file.write(bytes.span)
    }
    try file.synchronize()
  }
}
