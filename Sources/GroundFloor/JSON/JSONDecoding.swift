/// One value of a document, as the types that are decoded from it see it.
struct JSONDecoding: Decoder {
  let document: JSONDocument
  let node: Int
  /// Found anew each time: only errors ask.
  var codingPath: [any CodingKey] { document.path(to: node) }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  var kind: JSONDocument.Kind { document.nodes[node].kind }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard kind == .object else { throw mismatch(type, "an object") }
    return KeyedDecodingContainer(KeyedInput<Key>(value: self))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard kind == .array else { throw mismatch([Any].self, "a list") }
    return UnkeyedInput(self)
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { SingleInput(value: self) }

  func mismatch(_ type: Any.Type, _ what: String) -> DecodingError {
    .typeMismatch(type, context("expected \(what), found \(kind)"))
  }

  func context(_ description: String) -> DecodingError.Context {
    DecodingError.Context(codingPath: codingPath, debugDescription: description)
  }

  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    if type == PlainValue.self { return try plain(node) as! Value }
    if type == [String: PlainValue].self, kind == .object { return try members(node) as! Value }
    return try Value(from: self)
  }

  func string() throws -> String {
    guard let value = try document.string(node) else { throw mismatch(String.self, "a string") }
    return value
  }

  func bool() throws -> Bool {
    guard let value = document.bool(node) else { throw mismatch(Bool.self, "true or false") }
    return value
  }

  func double() throws -> Double {
    guard let value = document.double(node) else { throw mismatch(Double.self, "a number") }
    return value
  }

  func integer<Value: FixedWidthInteger>(_ type: Value.Type) throws -> Value {
    guard let value = document.integer(node, type) else { throw mismatch(type, "a whole number that fits") }
    return value
  }

  private func plain(_ index: Int) throws -> PlainValue {
    switch document.nodes[index].kind {
    case .null: return .null
    case .true: return .bool(true)
    case .false: return .bool(false)
    case .string: return .string(try document.string(index) ?? "")
    case .number:
      if let value = document.integer(index, Int.self) { return .int(value) }
      guard let value = document.double(index) else { throw JSONDocument.corrupted("no number") }
      return .double(value)
    case .object: return .object(try members(index))
    case .array:
      var values: [PlainValue] = []
      var at = index + 1
      while at < document.nodes[index].next {
        values.append(try plain(at))
        at = Int(document.nodes[at].next)
      }
      return .array(values)
    }
  }

  private func members(_ index: Int) throws -> [String: PlainValue] {
    var members: [String: PlainValue] = [:]
    var at = index + 1
    while at < document.nodes[index].next {
      members[try document.string(at) ?? ""] = try plain(at + 1)
      at = Int(document.nodes[at + 1].next)
    }
    return members
  }
}

private struct KeyedInput<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let value: JSONDecoding
  var codingPath: [any CodingKey] { value.codingPath }
  /// Where the last member was found, in objects with many: they are asked for one after the other.
  private let cursor: Cursor?

  private final class Cursor {
    var at: Int
    init(_ at: Int) { self.at = at }
  }

  private static var fewNodes: Int { 64 }

  init(value: JSONDecoding) {
    self.value = value
    let nodes = Int(value.document.nodes[value.node].next) - value.node
    cursor = nodes > Self.fewNodes ? Cursor(value.node + 1) : nil
  }

  /// Most objects have few members: looking through them is quicker than a table.
  private func find(_ name: String) -> JSONDecoding? {
    let (first, end) = (value.node + 1, Int(value.document.nodes[value.node].next))
    let start = cursor?.at ?? first
    guard let at = find(name, from: start, to: end) ?? find(name, from: first, to: start) else { return nil }
    cursor?.at = at
    return JSONDecoding(document: value.document, node: at + 1)
  }

  private func find(_ name: String, from start: Int, to end: Int) -> Int? {
    let document = value.document
    var at = start
    while at < end {
      if document.isKey(at, name) { return at }
      at = Int(document.nodes[at + 1].next)
    }
    return nil
  }

  private func at(_ key: Key) throws -> JSONDecoding {
    guard let member = find(key.stringValue) else {
      throw DecodingError.keyNotFound(key, value.context("\(key.stringValue) is missing"))
    }
    return member
  }

  var allKeys: [Key] {
    let document = value.document
    var keys: [Key] = []
    var at = value.node + 1
    while at < document.nodes[value.node].next {
      // A name that cannot be read is not found either, so that who asks for its value hears of it.
      if let key = Key(stringValue: (try? document.key(at)) ?? "\u{fffd}") { keys.append(key) }
      at = Int(document.nodes[at + 1].next)
    }
    return keys
  }

  func contains(_ key: Key) -> Bool { find(key.stringValue) != nil }
  func decodeNil(forKey key: Key) throws -> Bool { try at(key).kind == .null }
  func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try at(key).bool() }
  func decode(_ type: String.Type, forKey key: Key) throws -> String { try at(key).string() }
  func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try at(key).double() }
  func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try at(key).integer(type) }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try at(key).integer(type) }
  func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try at(key).integer(type) }
  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value { try at(key).decode(type) }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> { try at(key).container(keyedBy: type) }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try at(key).unkeyedContainer()
  }
  func superDecoder() -> any Decoder { value }
  func superDecoder(forKey key: Key) throws -> any Decoder { try at(key) }
}

private struct UnkeyedInput: UnkeyedDecodingContainer {
  private let list: JSONDecoding
  private let end: Int
  private var at: Int
  private(set) var currentIndex = 0
  let count: Int?
  var codingPath: [any CodingKey] { list.codingPath }

  init(_ value: JSONDecoding) {
    list = value
    at = value.node + 1
    let document = value.document
    end = Int(document.nodes[value.node].next)
    var count = 0
    var element = at
    while element < end {
      element = Int(document.nodes[element].next)
      count += 1
    }
    self.count = count
  }

  var isAtEnd: Bool { at >= end }

  private mutating func next() throws -> JSONDecoding {
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(Any.self, list.context("the list has only \(currentIndex) values"))
    }
    defer {
      at = Int(list.document.nodes[at].next)
      currentIndex += 1
    }
    return JSONDecoding(document: list.document, node: at)
  }

  mutating func decodeNil() -> Bool {
    guard !isAtEnd, list.document.nodes[at].kind == .null else { return false }
    at += 1
    currentIndex += 1
    return true
  }

  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try next().decode(type) }
  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type
  ) throws -> KeyedDecodingContainer<Nested> { try next().container(keyedBy: type) }
  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next().unkeyedContainer() }
  mutating func superDecoder() throws -> any Decoder { try next() }
}

private struct SingleInput: SingleValueDecodingContainer {
  let value: JSONDecoding
  var codingPath: [any CodingKey] { value.codingPath }

  func decodeNil() -> Bool { value.kind == .null }
  func decode(_ type: Bool.Type) throws -> Bool { try value.bool() }
  func decode(_ type: String.Type) throws -> String { try value.string() }
  func decode(_ type: Double.Type) throws -> Double { try value.double() }
  func decode(_ type: Float.Type) throws -> Float {
    let double = try value.double()
    guard !double.isFinite || Float(double).isFinite else { throw value.mismatch(type, "a number that fits") }
    return Float(double)
  }
  func decode<Value: FixedWidthInteger & Decodable>(_ type: Value.Type) throws -> Value { try value.integer(type) }
  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try value.decode(type) }
}
