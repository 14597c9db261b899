import CKernels
import Glibc
import TestSupport

/// `rows × channels` values in memory whose rows lie `stride` apart, as a slice of a wider map does.
@safe final class Map {
  let rows: Int
  let channels: Int
  let stride: Int
  private let memory: UnsafeMutableBufferPointer<Float>

  private static let slack: Float = -777

  init(_ values: [Float], channels: Int, slack: Int = 0) {
    self.channels = channels
    rows = values.count / channels
    stride = channels + slack
    unsafe memory = .allocate(capacity: rows * stride)
    unsafe memory.initialize(repeating: Self.slack)
    for (at, value) in values.enumerated() { unsafe memory[at / channels * stride + at % channels] = value }
  }

  /// Uniform in ±`scale`, a function of the name.
  convenience init(_ name: String, rows: Int, channels: Int, slack: Int = 0, scale: Float = 1) {
    self.init(
      DeterministicValues.uniform(name, count: rows * channels).map { $0 * scale }, channels: channels, slack: slack)
  }

  deinit { unsafe memory.deallocate() }

  var copy: Map { Map(values, channels: channels, slack: stride - channels) }

  /// As kernels take it; the map must outlive the call.
  var map: ck_map { unsafe from(row: 0) }
  func from(row: Int) -> ck_map { unsafe ck_map(data: memory.baseAddress! + row * stride, stride: stride) }

  var values: [Float] { (0..<rows * channels).map { unsafe memory[$0 / channels * stride + $0 % channels] } }

  /// Nothing was written between the rows.
  var isSlackUntouched: Bool {
    (0..<rows * stride).allSatisfy { unsafe $0 % stride < channels || memory[$0] == Self.slack }
  }
}

extension Array<Float> {
  var doubles: [Double] { map(Double.init) }
}

extension Array<Double> {
  var floats: [Float] { map(Float.init) }
}

func exponential(_ x: Double) -> Double { exp(x) }

/// Runs `body` with the kernels on that many threads.
func withThreads<R>(_ count: Int, _ body: () throws -> R) rethrows -> R {
  let before = ck_thread_count()
  ck_set_thread_count(Int32(count))
  defer { ck_set_thread_count(before) }
  return try body()
}

let allActivations: [ck_activation] = [
  .CK_IDENTITY, .CK_SILU, .CK_RELU, .CK_RELU6, .CK_HARD_SWISH, .CK_HARD_SIGMOID, .CK_SIGMOID,
]

/// Rows, channels and the gap between rows: odd widths, single values, maps large enough for several threads.
let mapShapes: [(rows: Int, channels: Int, slack: Int)] = [
  (1, 1, 0), (1, 7, 0), (5, 3, 2), (37, 13, 0), (64, 8, 5), (50, 39, 0), (9, 130, 3), (700, 67, 0), (1024, 48, 16),
  (3000, 16, 0), (2, 1100, 0),
]
