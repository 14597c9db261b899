import Bytes

/// A pickle as plain data. Python would import its classes and call its functions; here an object is a record of what
/// would have been called, and nothing of the file is ever executed. What the records mean is for the reader of the
/// file to say, so that classes nobody asks for need not be known.
///
/// Containers live in arrays of this value and are referred to by index. They may be shared, changed after they were
/// shared, and even hold themselves, without harm. The memory they take is in proportion to the pickle's bytes.
struct Pickle {
  enum Value: Equatable {
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    /// An index into `texts`.
    case string(Int)
    /// A class or function: the index of `module name` in `texts`.
    case global(Int)
    /// A list, tuple or set: an index into `sequences`.
    case sequence(Int)
    /// An index into `dictionaries`.
    case dictionary(Int)
    /// An index into `objects`.
    case object(Int)
    /// Bytes, or an integer of more than 64 bits, of which nobody has need.
    case other
  }

  /// The object that a class or function would have made.
  struct Object {
    /// The class or function; `none` for a persistent identifier, by which PyTorch refers to a storage.
    var function: Value
    /// A tuple, if all is well.
    var arguments: Value
    /// The state that would have become `__dict__`.
    var state = Value.none
    /// The index of the dictionary of what was set by key in it, or −1.
    var entries = -1
  }

  private(set) var root = Value.none
  private var texts: [String] = []
  private var sequences: [[Value]] = []
  private var dictionaries: [[(key: Value, value: Value)]] = []
  private var objects: [Object] = []

  private let file: String
  private let bytes: ArraySlice<UInt8>
  private var position: Int
  private var stack: [Value] = []
  private var marks: [Int] = []
  private var memo: [Value?] = []

  /// The largest number of instructions that are followed. A training checkpoint of YOLOv5's largest network has about
  /// 200,000.
  static let maximumInstructions = 1_000_000
  /// The largest number of values under construction. Python hands over the items of a list by thousands and takes them
  /// off the stack at once.
  static let maximumStack = 50_000

  init(_ bytes: ArraySlice<UInt8>, file: String) throws(InterchangeError) {
    self.bytes = bytes
    self.file = file
    position = bytes.startIndex
    var instructionCount = 0
    while try step() {
      instructionCount += 1
      guard instructionCount <= Self.maximumInstructions else {
        throw fail("has more than \(Self.maximumInstructions) instructions")
      }
      guard stack.count <= Self.maximumStack, marks.count <= Self.maximumStack else {
        throw fail("piles up more than \(Self.maximumStack) values")
      }
    }
  }

  // MARK: - Looking

  func text(_ value: Value) -> String? { if case .string(let index) = value { texts[index] } else { nil } }

  /// Returns `module name` of a class or function.
  func globalName(_ value: Value) -> String? { if case .global(let index) = value { texts[index] } else { nil } }

  /// Returns the items of a list, tuple or set.
  func items(_ value: Value) -> [Value]? { if case .sequence(let index) = value { sequences[index] } else { nil } }

  /// Returns what was set by key in a dictionary, or in an object such as an `OrderedDict`.
  func entries(_ value: Value) -> [(key: Value, value: Value)]? {
    switch value {
    case .dictionary(let index): dictionaries[index]
    case .object(let index): objects[index].entries >= 0 ? dictionaries[objects[index].entries] : []
    default: nil
    }
  }

  func object(_ value: Value) -> Object? { if case .object(let index) = value { objects[index] } else { nil } }

  /// Returns the value under a string key.
  subscript(container: Value, key: String) -> Value? { entries(container)?.last { text($0.key) == key }?.value }

  /// Returns an object's attribute.
  func attribute(_ name: String, of value: Value) -> Value? { object(value).flatMap { self[$0.state, name] } }

  // MARK: - Following the instructions

  /// Follows one instruction of protocols 1 to 5; returns `false` after the last.
  private mutating func step() throws(InterchangeError) -> Bool {
    let start = position
    let code = UInt8(try takeInteger(1))
    switch code {
    case 0x80:  // PROTO
      let version = try takeInteger(1)
      guard version <= 5 else { throw fail("is of protocol \(version); protocols up to 5 are read") }
    case UInt8(ascii: "."):
      root = try pop()
      return false
    case 0x95: _ = try take(8)  // FRAME
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88: stack.append(.bool(true))
    case 0x89: stack.append(.bool(false))
    case UInt8(ascii: "I"): stack.append(integer(try takeLine()))
    case UInt8(ascii: "L"): stack.append(integer(try takeLine()))
    case UInt8(ascii: "K"): stack.append(.int(try takeInteger(1)))
    case UInt8(ascii: "M"): stack.append(.int(try takeInteger(2)))
    case UInt8(ascii: "J"): stack.append(.int(Int(Int32(truncatingIfNeeded: try takeInteger(4)))))
    case 0x8a: stack.append(integer(try takeCounted(1)))  // LONG1
    case 0x8b: stack.append(integer(try takeCounted(4)))  // LONG4
    case UInt8(ascii: "G"):
      let bits = try take(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      stack.append(.float(Double(bitPattern: bits)))
    case UInt8(ascii: "X"), UInt8(ascii: "T"): pushText(try takeCounted(4))  // BINUNICODE, BINSTRING
    case 0x8c, UInt8(ascii: "U"): pushText(try takeCounted(1))  // SHORT_BINUNICODE, SHORT_BINSTRING
    case 0x8d: pushText(try takeCounted(8))  // BINUNICODE8
    case UInt8(ascii: "C"): try skipBytes(1)
    case UInt8(ascii: "B"): try skipBytes(4)
    case 0x8e, 0x96: try skipBytes(8)  // BINBYTES8, BYTEARRAY8
    case UInt8(ascii: "("): marks.append(stack.count)
    case UInt8(ascii: "]"), UInt8(ascii: ")"), 0x8f: push([])  // EMPTY_LIST, EMPTY_TUPLE, EMPTY_SET
    case UInt8(ascii: "t"), UInt8(ascii: "l"), 0x91: push(try popToMark())  // TUPLE, LIST, FROZENSET
    case 0x85, 0x86, 0x87:  // TUPLE1 … 3
      let count = Int(code - 0x84)
      guard stack.count - (marks.last ?? 0) >= count else { throw fail("takes more values than there are") }
      let items = Array(stack.suffix(count))
      stack.removeLast(count)
      push(items)
    case UInt8(ascii: "}"): pushDictionary()
    case UInt8(ascii: "d"):  // DICT
      let pairs = try popToMark()
      pushDictionary()
      try set(pairs)
    case UInt8(ascii: "a"):
      let item = try pop()
      try append([item])
    case UInt8(ascii: "e"), 0x90: try append(try popToMark())  // APPENDS, ADDITEMS
    case UInt8(ascii: "s"):
      let (value, key) = (try pop(), try pop())
      try set([key, value])
    case UInt8(ascii: "u"): try set(try popToMark())
    case UInt8(ascii: "0"): if try !popEmptyMark() { _ = try pop() }
    case UInt8(ascii: "1"): _ = try popToMark()
    case UInt8(ascii: "2"): stack.append(try top())
    case UInt8(ascii: "q"): try keep(as: try takeInteger(1))
    case UInt8(ascii: "r"): try keep(as: try takeInteger(4))
    case 0x94: try keep(as: memo.count)  // MEMOIZE
    case UInt8(ascii: "h"): try recall(try takeInteger(1))
    case UInt8(ascii: "j"): try recall(try takeInteger(4))
    case UInt8(ascii: "c"): pushGlobal(try takeLine(), try takeLine())
    case 0x93:  // STACK_GLOBAL
      let (name, module) = (text(try pop()), text(try pop()))
      guard let module, let name else { throw fail("names a class by something that is not text") }
      pushGlobal(module, name)
    case 0x81, UInt8(ascii: "R"):  // NEWOBJ, REDUCE
      let (arguments, function) = (try pop(), try pop())
      push(Object(function: function, arguments: arguments))
    case 0x92:  // NEWOBJ_EX
      let (_, arguments, function) = (try pop(), try pop(), try pop())
      push(Object(function: function, arguments: arguments))
    case UInt8(ascii: "o"):  // OBJ
      var parts = try popToMark()
      guard !parts.isEmpty else { throw fail("makes an object of no class") }
      let function = parts.removeFirst()
      push(parts)
      push(Object(function: function, arguments: try pop()))
    case UInt8(ascii: "b"):  // BUILD
      let state = try pop()
      // PyTorch gives a state to an `OrderedDict` as well; any other value has no place for one.
      if case .object(let index) = try top() { objects[index].state = state }
    case UInt8(ascii: "Q"): push(Object(function: .none, arguments: try pop()))  // BINPERSID
    default:
      throw fail(
        "has an instruction 0x\(code.hexDigits) at byte \(start - bytes.startIndex) that PyTorch does not "
          + "write")
    }
    return true
  }

  // MARK: - Making values

  private mutating func push(_ items: [Value]) {
    sequences.append(items)
    stack.append(.sequence(sequences.count - 1))
  }

  private mutating func push(_ object: Object) {
    objects.append(object)
    stack.append(.object(objects.count - 1))
  }

  private mutating func pushDictionary() {
    dictionaries.append([])
    stack.append(.dictionary(dictionaries.count - 1))
  }

  private mutating func pushText(_ bytes: ArraySlice<UInt8>) {
    texts.append(String(decoding: bytes, as: UTF8.self))
    stack.append(.string(texts.count - 1))
  }

  private mutating func pushGlobal(_ module: String, _ name: String) {
    texts.append("\(module) \(name)")
    stack.append(.global(texts.count - 1))
  }

  private mutating func skipBytes(_ widthOfCount: Int) throws(InterchangeError) {
    _ = try takeCounted(widthOfCount)
    stack.append(.other)
  }

  /// Reads decimal digits, which may end in an `L`, or a truth value: `00` or `01`.
  private func integer(_ line: String) -> Value {
    switch line {
    case "00": .bool(false)
    case "01": .bool(true)
    default: Int(line.hasSuffix("L") ? line.dropLast() : line[...]).map(Value.int) ?? .other
    }
  }

  /// Reads little-endian two's complement of any length.
  private func integer(_ digits: ArraySlice<UInt8>) -> Value {
    guard digits.count <= 8 else { return .other }
    let isNegative = digits.last.map { $0 >= 0x80 } ?? false
    return .int(digits.reversed().reduce(isNegative ? -1 : 0) { $0 << 8 | Int($1) })
  }

  // MARK: - Changing values

  /// Appends to the list on the stack. Items appended to another object, such as a `deque`, are dropped, since nobody
  /// reads them.
  private mutating func append(_ items: [Value]) throws(InterchangeError) {
    switch try top() {
    case .sequence(let index): sequences[index] += items
    case .object: break
    default: throw fail("appends to something that is not a list")
    }
  }

  private mutating func set(_ pairs: [Value]) throws(InterchangeError) {
    guard pairs.count % 2 == 0 else { throw fail("sets a key without a value") }
    let index: Int
    switch try top() {
    case .dictionary(let own): index = own
    case .object(let object):
      if objects[object].entries < 0 {
        objects[object].entries = dictionaries.count
        dictionaries.append([])
      }
      index = objects[object].entries
    default: throw fail("sets keys of something that is not a dictionary")
    }
    for first in stride(from: 0, to: pairs.count, by: 2) {
      dictionaries[index].append((pairs[first], pairs[first + 1]))
    }
  }

  // MARK: - Stack, marks and memo

  /// Python numbers what it keeps one after the other, from 0 or, long ago, from 1.
  private mutating func keep(as key: Int) throws(InterchangeError) {
    let value = try top()
    guard key <= memo.count + 1 else { throw fail("keeps value \(key) after \(memo.count) others") }
    while memo.count <= key { memo.append(nil) }
    memo[key] = value
  }

  private mutating func recall(_ key: Int) throws(InterchangeError) {
    guard memo.indices.contains(key), let value = memo[key] else {
      throw fail("recalls value \(key), which it never kept")
    }
    stack.append(value)
  }

  private func top() throws(InterchangeError) -> Value {
    guard let value = stack.last, stack.count > marks.last ?? 0 else { throw fail("takes more values than there are") }
    return value
  }

  private mutating func pop() throws(InterchangeError) -> Value {
    let value = try top()
    stack.removeLast()
    return value
  }

  /// Takes back a mark above which nothing lies, which is how Python takes back a tuple that holds itself.
  private mutating func popEmptyMark() throws(InterchangeError) -> Bool {
    guard marks.last == stack.count else { return false }
    marks.removeLast()
    return true
  }

  private mutating func popToMark() throws(InterchangeError) -> [Value] {
    guard let mark = marks.popLast(), mark <= stack.count else { throw fail("has no mark where one is due") }
    let items = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return items
  }

  // MARK: - Bytes

  private mutating func take(_ count: Int) throws(InterchangeError) -> ArraySlice<UInt8> {
    guard 0...(bytes.endIndex - position) ~= count else { throw fail("ends in the middle of an instruction") }
    defer { position += count }
    return bytes[position..<(position + count)]
  }

  /// Takes an unsigned little-endian integer; one beyond 63 bits becomes negative.
  private mutating func takeInteger(_ width: Int) throws(InterchangeError) -> Int {
    try take(width).reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  /// Takes as many bytes as the integer before them says.
  private mutating func takeCounted(_ width: Int) throws(InterchangeError) -> ArraySlice<UInt8> {
    try take(try takeInteger(width))
  }

  private mutating func takeLine() throws(InterchangeError) -> String {
    guard let end = bytes[position...].prefix(200).firstIndex(of: 0x0a) else { throw fail("holds a name without end") }
    defer { position = end + 1 }
    return String(decoding: bytes[position..<end], as: UTF8.self)
  }

  private func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, "its pickle \(reason)") }
}
