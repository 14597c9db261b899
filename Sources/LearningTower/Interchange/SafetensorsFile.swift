public import Network

/// Named tensors and a few words about them: what a safetensors file holds.
public struct SafetensorsFile: Sendable, Hashable {
  public var tensors: [String: StoredTensor]
  /// The header's `__metadata__`.
  public var metadata: [String: String]

  public init(tensors: [String: StoredTensor] = [:], metadata: [String: String] = [:]) {
    self.tensors = tensors
    self.metadata = metadata
  }
}

/// How one element is stored.
public enum ElementType: String, Sendable, Hashable, Codable, CaseIterable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case int64 = "I64"
  case int32 = "I32"
  case uint8 = "U8"
  case bool = "BOOL"

  public var byteCount: Int {
    switch self {
    case .float64, .int64: 8
    case .float32, .int32: 4
    case .float16, .bfloat16: 2
    case .uint8, .bool: 1
    }
  }
}

/// A tensor as it stands in a file: little-endian elements in row-major order.
public struct StoredTensor: Sendable, Hashable {
  public let type: ElementType
  public let shape: [Int]
  public let bytes: [UInt8]

  init(type: ElementType, shape: [Int], bytes: [UInt8]) {
    assert(shape.reduce(type.byteCount, *) == bytes.count)
    self.type = type
    self.shape = shape
    self.bytes = bytes
  }

  public var count: Int { bytes.count / type.byteCount }
}

// MARK: - Values into bytes

extension StoredTensor {
  /// Rounds to the nearest value of `type` (ties to even); integers are cut towards zero and clamped.
  public init(_ tensor: Tensor, as type: ElementType = .float32) {
    let values = tensor.values
    self.init(type: type, shape: tensor.shape, bytes: Self.encoded(values, as: type))
  }

  public init(shape: [Int], int64s values: [Int64]) {
    precondition(shape.reduce(1, *) == values.count, "a tensor of shape \(shape) does not hold \(values.count) values")
    self.init(type: .int64, shape: shape, bytes: littleEndian(values, byteCount: 8) { UInt64(bitPattern: $0) })
  }

  public init(shape: [Int], uint8s values: [UInt8]) {
    precondition(shape.reduce(1, *) == values.count, "a tensor of shape \(shape) does not hold \(values.count) values")
    self.init(type: .uint8, shape: shape, bytes: values)
  }

  private static func encoded(_ values: [Float], as type: ElementType) -> [UInt8] {
    switch type {
    case .float64: littleEndian(values, byteCount: 8) { Double($0).bitPattern }
    case .float32: littleEndian(values, byteCount: 4) { UInt64($0.bitPattern) }
    case .float16: littleEndian(values, byteCount: 2) { UInt64(Float16($0).bitPattern) }
    case .bfloat16: littleEndian(values, byteCount: 2) { UInt64(bfloat16Bits($0)) }
    case .int64: littleEndian(values, byteCount: 8) { UInt64(bitPattern: Int64(clamping: $0)) }
    case .int32: littleEndian(values, byteCount: 4) { UInt64(UInt32(bitPattern: Int32(clamping: $0))) }
    case .uint8: littleEndian(values, byteCount: 1) { UInt64(UInt8(clamping: $0)) }
    case .bool: littleEndian(values, byteCount: 1) { $0 == 0 ? 0 : 1 }
    }
  }
}

/// The upper half of a `Float`'s bits, rounded to nearest, ties to even; a NaN stays one.
private func bfloat16Bits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  guard !value.isNaN else { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
  return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ ((bits >> 16) & 1)) >> 16)
}

extension FixedWidthInteger {
  /// The nearest representable number below in magnitude; NaN gives 0.
  fileprivate init(clamping value: Float) {
    if value.isNaN {
      self = 0
    } else if let exact = Self(exactly: value.rounded(.towardZero)) {
      self = exact
    } else {
      self = value < 0 ? .min : .max
    }
  }
}

@inline(__always)
private func littleEndian<T>(_ values: [T], byteCount: Int, _ bits: (T) -> UInt64) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(values.count * byteCount)
  for value in values {
    let bits = bits(value)
    for byte in 0..<byteCount { bytes.append(UInt8(truncatingIfNeeded: bits >> UInt64(8 * byte))) }
  }
  return bytes
}

// MARK: - Bytes into values

extension StoredTensor {
  /// As `Float`s, rounded where the stored type is wider.
  public var tensor: Tensor { Tensor(shape: shape, values: floats) }

  public var floats: [Float] {
    switch type {
    case .float64: (0..<count).map { Float(Double(bitPattern: bits($0, 8))) }
    case .float32: (0..<count).map { Float(bitPattern: UInt32(truncatingIfNeeded: bits($0, 4))) }
    case .float16: (0..<count).map { Float(Float16(bitPattern: UInt16(truncatingIfNeeded: bits($0, 2)))) }
    case .bfloat16: (0..<count).map { Float(bitPattern: UInt32(truncatingIfNeeded: bits($0, 2)) << 16) }
    case .int64, .int32, .uint8, .bool: integers.map(Float.init)
    }
  }

  public var doubles: [Double] {
    switch type {
    case .float64: (0..<count).map { Double(bitPattern: bits($0, 8)) }
    case .float32, .float16, .bfloat16: floats.map(Double.init)
    case .int64, .int32, .uint8, .bool: integers.map(Double.init)
    }
  }

  /// The elements as integers: exact for an integer type; for a floating type the part before the point, clamped.
  public var integers: [Int] {
    switch type {
    case .int64: (0..<count).map { Int(truncatingIfNeeded: bits($0, 8)) }
    case .int32: (0..<count).map { Int(Int32(truncatingIfNeeded: bits($0, 4))) }
    case .uint8, .bool: bytes.map(Int.init)
    case .float64, .float32, .float16, .bfloat16: floats.map { Int(clamping: $0) }
    }
  }

  private func bits(_ element: Int, _ byteCount: Int) -> UInt64 {
    var bits: UInt64 = 0
    for byte in 0..<byteCount { bits |= UInt64(bytes[element * byteCount + byte]) << UInt64(8 * byte) }
    return bits
  }
}
