/// The fields of a protocol buffers message, read without knowing its schema: for looking at what was written.
public struct ProtobufReader {
  public enum Value {
    case integer(Int)
    case bits32(UInt32)
    case bits64(UInt64)
    /// A string, bytes or a message.
    case bytes(ArraySlice<UInt8>)
  }

  public struct Malformed: Error {
    public var reason: String
  }

  public private(set) var fields: [(number: Int, value: Value)] = []

  public init(_ bytes: some Collection<UInt8>) throws {
    var rest = ArraySlice(bytes)
    while !rest.isEmpty {
      let tag = try Self.varint(&rest)
      let value: Value
      switch tag & 7 {
      case 0: value = .integer(Int(bitPattern: UInt(try Self.varint(&rest))))
      case 1: value = .bits64(try Self.take(8, &rest).reversed().reduce(0) { $0 << 8 | UInt64($1) })
      case 2: value = .bytes(try Self.take(Int(clamping: Self.varint(&rest)), &rest))
      case 5: value = .bits32(try Self.take(4, &rest).reversed().reduce(0) { $0 << 8 | UInt32($1) })
      default: throw Malformed(reason: "wire type \(tag & 7)")
      }
      fields.append((Int(tag >> 3), value))
    }
  }

  public func integers(_ number: Int) -> [Int] {
    fields.compactMap { field in
      if field.number == number, case .integer(let value) = field.value { value } else { nil }
    }
  }

  public func floats(_ number: Int) -> [Float] {
    fields.compactMap { field in
      if field.number == number, case .bits32(let bits) = field.value { Float(bitPattern: bits) } else { nil }
    }
  }

  public func bytes(_ number: Int) -> [ArraySlice<UInt8>] {
    fields.compactMap { field in
      if field.number == number, case .bytes(let bytes) = field.value { bytes } else { nil }
    }
  }

  public func strings(_ number: Int) -> [String] { bytes(number).map { String(decoding: $0, as: UTF8.self) } }

  public func messages(_ number: Int) throws -> [ProtobufReader] { try bytes(number).map { try ProtobufReader($0) } }

  private static func take(_ count: Int, _ rest: inout ArraySlice<UInt8>) throws -> ArraySlice<UInt8> {
    guard 0...rest.count ~= count else { throw Malformed(reason: "\(count) bytes announced, \(rest.count) left") }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  private static func varint(_ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard let byte = rest.popFirst() else { break }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
    }
    throw Malformed(reason: "a number without end")
  }
}
