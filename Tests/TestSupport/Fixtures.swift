import Foundation
public import Interchange

/// The golden numbers in `Tests/Fixtures`, found through this file's own place in the sources. Their README says where
/// they come from and how exact they are.
public enum Fixtures {
  /// `Tests/Fixtures/RELATIVE`.
  public static func path(_ relative: String) -> String {
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Fixtures").appending(path: relative).path()
  }

  public static func safetensors(_ relative: String) throws -> SafetensorsFile {
    try Safetensors.read(path(relative))
  }

  /// For fixtures of few shapes, walked with subscripts.
  public static func json(_ relative: String) throws -> JSON {
    try decode(JSON.self, relative)
  }

  /// For fixtures worth a type of their own.
  public static func decode<T: Decodable>(_: T.Type, _ relative: String) throws -> T {
    try JSONDecoder().decode(T.self, from: Data(contentsOf: URL(filePath: path(relative))))
  }
}

/// A JSON document. A subscript or value that is not there traps and says what is: a fixture is part of the test.
public enum JSON: Sendable, Hashable, Decodable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([JSON].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: JSON].self))
    }
  }

  public subscript(key: String) -> JSON {
    guard let value = object[key] else { fatalError("no \(key) among \(object.keys.sorted())") }
    return value
  }

  public subscript(index: Int) -> JSON { array[index] }

  public func has(_ key: String) -> Bool { object[key] != nil }

  public var double: Double {
    guard case .number(let value) = self else { fatalError("not a number: \(self)") }
    return value
  }
  public var float: Float { Float(double) }
  public var int: Int { Int(double) }
  public var bool: Bool {
    guard case .bool(let value) = self else { fatalError("not a truth value: \(self)") }
    return value
  }
  public var string: String {
    guard case .string(let value) = self else { fatalError("not a string: \(self)") }
    return value
  }
  public var array: [JSON] {
    guard case .array(let value) = self else { fatalError("not an array: \(self)") }
    return value
  }
  public var object: [String: JSON] {
    guard case .object(let value) = self else { fatalError("not an object: \(self)") }
    return value
  }
  public var doubles: [Double] { array.map(\.double) }
  public var floats: [Float] { array.map(\.float) }
  public var ints: [Int] { array.map(\.int) }
  public var strings: [String] { array.map(\.string) }
}
