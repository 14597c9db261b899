import Foundation
public import Interchange
import JSON

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
  public static func json(_ relative: String) throws -> Fixture {
    try Fixture(decoding: Data(contentsOf: URL(filePath: path(relative))))
  }

  /// For fixtures worth a type of their own.
  public static func decode<T: Decodable>(_: T.Type, _ relative: String) throws -> T {
    try JSON.decode(T.self, from: Data(contentsOf: URL(filePath: path(relative))))
  }
}

/// A value in a JSON document. A subscript or value that is not there traps and says what is: a fixture is part of the
/// test.
public struct Fixture: Sendable, Hashable {
  private let value: PlainValue

  private init(_ value: PlainValue) { self.value = value }

  public init(decoding bytes: some Collection<UInt8>) throws {
    value = try JSON.decode(PlainValue.self, from: bytes)
  }

  public subscript(key: String) -> Fixture {
    guard let value = members[key] else { fatalError("no \(key) among \(members.keys.sorted())") }
    return Fixture(value)
  }

  public subscript(index: Int) -> Fixture { Fixture(values[index]) }

  public func has(_ key: String) -> Bool { members[key] != nil }

  public var isArray: Bool { if case .array = value { true } else { false } }
  public var double: Double { expect(value.double, "a number") }
  public var float: Float { Float(double) }
  public var int: Int { Int(double) }
  public var bool: Bool { expect(value.bool, "a truth value") }
  public var string: String { expect(value.string, "a string") }
  public var array: [Fixture] { values.map(Fixture.init) }
  public var object: [String: Fixture] { members.mapValues(Fixture.init) }
  public var doubles: [Double] { array.map(\.double) }
  public var floats: [Float] { array.map(\.float) }
  public var ints: [Int] { array.map(\.int) }
  public var strings: [String] { array.map(\.string) }

  private var values: [PlainValue] {
    guard case .array(let values) = value else { fatalError("not an array: \(value)") }
    return values
  }
  private var members: [String: PlainValue] {
    guard case .object(let members) = value else { fatalError("not an object: \(value)") }
    return members
  }

  private func expect<Value>(_ found: Value?, _ what: String) -> Value {
    guard let found else { fatalError("not \(what): \(value)") }
    return found
  }
}
