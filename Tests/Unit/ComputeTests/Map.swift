import CKernels
import Glibc
import TestSupport
import Testing

/// `rows × channels` values in memory whose rows lie `stride` apart, as a slice of a wider map does.
@safe final class Map {
  let rows: Int
  let channels: Int
  let stride: Int
  let element: ck_element
  private let memory: UnsafeMutableRawPointer

  private static let slack: Float = -776

  /// Rounds the values to the element.
  init(_ values: [Float], channels: Int, slack: Int = 0, element: ck_element = .CK_FLOAT32) {
    self.channels = channels
    self.element = element
    rows = values.count / channels
    stride = channels + slack
    unsafe memory = .allocate(byteCount: rows * stride * element.bytes, alignment: 64)
    for at in 0..<rows * stride {
      let (row, c) = (at / stride, at % stride)
      store(c < channels ? values[row * channels + c] : Self.slack, at)
    }
  }

  /// Uniform in ±`scale`, a function of the name.
  convenience init(
    _ name: String, rows: Int, channels: Int, slack: Int = 0, scale: Float = 1, element: ck_element = .CK_FLOAT32
  ) {
    self.init(
      DeterministicValues.uniform(name, count: rows * channels).map { $0 * scale }, channels: channels, slack: slack,
      element: element)
  }

  deinit { unsafe memory.deallocate() }

  var copy: Map { Map(values, channels: channels, slack: stride - channels, element: element) }

  /// As kernels take it; the map must outlive the call.
  var map: ck_map { unsafe from(row: 0) }
  func from(row: Int) -> ck_map {
    unsafe ck_map(data: memory + row * stride * element.bytes, stride: stride, element: element)
  }

  var values: [Float] { (0..<rows * channels).map { load($0 / channels * stride + $0 % channels) } }

  /// Nothing was written between the rows.
  var isSlackUntouched: Bool { (0..<rows * stride).allSatisfy { $0 % stride < channels || load($0) == Self.slack } }

  private func load(_ at: Int) -> Float {
    switch element {
    case .CK_FLOAT32: unsafe memory.load(fromByteOffset: at * 4, as: Float.self)
    case .CK_BFLOAT16: Float(bfloat16: unsafe memory.load(fromByteOffset: at * 2, as: UInt16.self))
    }
  }

  private func store(_ value: Float, _ at: Int) {
    switch element {
    case .CK_FLOAT32: unsafe memory.storeBytes(of: value, toByteOffset: at * 4, as: Float.self)
    case .CK_BFLOAT16: unsafe memory.storeBytes(of: value.bfloat16, toByteOffset: at * 2, as: UInt16.self)
    }
  }
}

let elements: [ck_element] = [.CK_FLOAT32, .CK_BFLOAT16]

extension ck_element {
  var bytes: Int { self == .CK_FLOAT32 ? 4 : 2 }
  /// The largest error of rounding a result to the element, relative to the result.
  var rounding: Double { self == .CK_FLOAT32 ? 0 : 0x1p-8 }
  func round(_ values: [Float]) -> [Float] {
    self == .CK_FLOAT32 ? values : values.map { Float(bfloat16: $0.bfloat16) }
  }
}

extension Float {
  init(bfloat16 bits: UInt16) { self.init(bitPattern: UInt32(bits) << 16) }

  /// The bits of the nearest bfloat16, the even one of two: that towards zero or its neighbour away from it.
  var bfloat16: UInt16 {
    let towards = UInt16(bitPattern >> 16), away = towards &+ 1
    guard isFinite else { return isNaN ? towards | 0x40 : towards }
    // Behind the largest number, infinity stands for the next power of two.
    func magnitude(_ bits: UInt16) -> Double { min(Double(Float(bfloat16: bits & 0x7fff)), 0x1p128) }
    let (below, above) = (Double(Swift.abs(self)) - magnitude(towards), magnitude(away) - Double(Swift.abs(self)))
    return below < above || below == above && towards.isMultiple(of: 2) ? towards : away
  }
}

/// As `expectClose` of arrays, with the rounding of the map's element.
func expectClose(
  _ map: Map, _ expected: [Double], absolute: Double, relative: Double = 0, _ what: String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  expectClose(
    map.values.doubles, expected, absolute: absolute, relative: relative + map.element.rounding,
    "\(map.element) \(what)", sourceLocation: sourceLocation)
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
