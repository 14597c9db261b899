/// A pickle as plain data. Python would run it; here the instructions that PyTorch writes for modules and tensors build
/// inert values, and anything else is an error that names it. Nothing of the file is ever executed.
///
/// Containers live in arrays of this value and are referred to by index: they may be shared, changed after they were
/// shared, and even hold themselves, without harm.
struct Pickle {
  enum Value: Equatable {
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case string(String)
    /// A list, tuple or set: an index into `sequences`.
    case sequence(Int)
    /// An index into `dictionaries`.
    case dictionary(Int)
    /// An index into `objects`.
    case object(Int)
    /// An index into `tensors`.
    case tensor(Int)
    /// An index into `storages`.
    case storage(Int)
    /// A class or function, `module name`.
    case global(String)
  }

  struct Object {
    var className: String
    /// What `__dict__` was: a dictionary, if all is well.
    var state = Value.none
  }

  /// A file of elements, one for each storage that tensors share.
  struct Storage {
    var type: ElementType
    var key: String
    var count: Int
  }

  /// A view of a storage, in elements.
  struct TensorView {
    var storage: Int
    var offset: Int
    var shape: [Int]
    var strides: [Int]

    /// Whether its elements stand in row-major order without gaps.
    var isContiguous: Bool {
      var expected = 1
      for (size, stride) in zip(shape, strides).reversed() {
        guard size == 1 || stride == expected else { return false }
        expected *= size
      }
      return true
    }
  }

  private(set) var sequences: [[Value]] = []
  private(set) var dictionaries: [[(key: Value, value: Value)]] = []
  private(set) var objects: [Object] = []
  private(set) var tensors: [TensorView] = []
  private(set) var storages: [Storage] = []
  private(set) var root = Value.none

  private let file: String
  private let bytes: ArraySlice<UInt8>
  private var position: Int
  private var instructionCount = 0
  private var stack: [Value] = []
  private var marks: [Int] = []
  private var memo: [Int: Value] = [:]
  private var itemCount = 0

  /// A training checkpoint of YOLOv5's largest network has about 200,000. Each makes one value at most, so this bounds
  /// the memory they take.
  static let maximumInstructions = 500_000
  /// Python hands over the items of a list by thousands and takes them off the stack at once.
  static let maximumStack = 50_000

  init(_ bytes: ArraySlice<UInt8>, file: String) throws(InterchangeError) {
    self.bytes = bytes
    self.file = file
    position = bytes.startIndex
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

  /// The value under a string key.
  subscript(dictionary: Value, key: String) -> Value? {
    guard case .dictionary(let index) = dictionary else { return nil }
    return dictionaries[index].last { $0.key == .string(key) }?.value
  }

  /// An object's attribute.
  func attribute(_ name: String, of object: Object) -> Value? { self[object.state, name] }

  /// Entries of a dictionary: what looking into it costs.
  func entryCount(_ value: Value) -> Int {
    guard case .dictionary(let index) = value else { return 0 }
    return dictionaries[index].count
  }

  // MARK: - Running

  /// One instruction; `false` after the last.
  private mutating func step() throws(InterchangeError) -> Bool {
    let start = position
    let code = UInt8(try takeInteger(1))
    switch code {
    case 0x80:  // PROTO
      let version = try takeInteger(1)
      guard version <= 4 else { throw fail("is of protocol \(version), which is not read") }
    case UInt8(ascii: "."):
      root = try pop()
      return false
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88: stack.append(.bool(true))
    case 0x89: stack.append(.bool(false))
    case UInt8(ascii: "K"): stack.append(.int(try takeInteger(1)))
    case UInt8(ascii: "M"): stack.append(.int(try takeInteger(2)))
    case UInt8(ascii: "J"): stack.append(.int(Int(Int32(truncatingIfNeeded: try takeInteger(4)))))
    case 0x8a:  // LONG1: little-endian two's complement of any length
      let digits = try take(try takeInteger(1))
      guard digits.count <= 8 else { throw fail("holds an integer of \(digits.count) bytes") }
      let isNegative = digits.last.map { $0 >= 0x80 } ?? false
      stack.append(.int(digits.reversed().reduce(isNegative ? -1 : 0) { $0 << 8 | Int($1) }))
    case UInt8(ascii: "G"):
      let bits = try take(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      stack.append(.float(Double(bitPattern: bits)))
    case UInt8(ascii: "X"):
      let count = try takeInteger(4)
      stack.append(.string(String(decoding: try take(count), as: UTF8.self)))
    case UInt8(ascii: "("): marks.append(stack.count)
    case UInt8(ascii: "]"): stack.append(try sequence([]))
    case UInt8(ascii: ")"): stack.append(try sequence([]))
    case UInt8(ascii: "t"): stack.append(try sequence(popToMark()))
    case 0x85, 0x86, 0x87:  // TUPLE1 … 3
      let count = Int(code - 0x84)
      guard stack.count >= count else { throw fail("takes more values than there are") }
      let items = Array(stack.suffix(count))
      stack.removeLast(count)
      stack.append(try sequence(items))
    case UInt8(ascii: "}"): stack.append(dictionary())
    case UInt8(ascii: "a"):
      let item = try pop()
      try append([item])
    case UInt8(ascii: "e"): try append(try popToMark())
    case UInt8(ascii: "s"):
      let (value, key) = (try pop(), try pop())
      try set([key, value])
    case UInt8(ascii: "u"): try set(try popToMark())
    case UInt8(ascii: "q"): memo[try takeInteger(1)] = try top()
    case UInt8(ascii: "r"): memo[try takeInteger(4)] = try top()
    case UInt8(ascii: "h"): try recall(try takeInteger(1))
    case UInt8(ascii: "j"): try recall(try takeInteger(4))
    case UInt8(ascii: "c"): stack.append(.global("\(try takeLine()) \(try takeLine())"))
    case 0x81: try makeObject()
    case UInt8(ascii: "R"): try call()
    case UInt8(ascii: "b"): try build()
    case UInt8(ascii: "Q"): try findStorage()
    default:
      throw fail(
        "has an instruction 0x\(String(code, radix: 16)) at byte \(start - bytes.startIndex), none that PyTorch writes "
          + "for a model"
      )
    }
    return true
  }

  /// NEWOBJ: an object without its state. Only the classes of a network are taken.
  private mutating func makeObject() throws(InterchangeError) {
    let (_, type) = (try pop(), try pop())
    guard case .global(let name) = type, name.hasPrefix("models.") || name.hasPrefix("torch.nn.modules.") else {
      throw fail("makes an object of \(type), which is no class of a YOLOv5 network")
    }
    objects.append(Object(className: name))
    stack.append(.object(objects.count - 1))
  }

  /// REDUCE: the few functions whose effect is known.
  private mutating func call() throws(InterchangeError) {
    let (arguments, function) = (items(try pop()), try pop())
    guard case .global(let name) = function, let arguments else { throw fail("calls \(function)") }
    switch name {
    case "collections OrderedDict" where arguments.isEmpty: stack.append(dictionary())
    case "__builtin__ set", "builtins set": stack.append(try sequence(arguments.first.flatMap(items) ?? []))
    case "torch._utils _rebuild_parameter":
      guard case .tensor? = arguments.first else { throw fail("holds a parameter that is no tensor") }
      stack.append(arguments[0])
    case "torch._utils _rebuild_tensor_v2":
      guard arguments.count >= 4, case .storage(let storage) = arguments[0], case .int(let offset) = arguments[1],
        let shape = integers(arguments[2]), let strides = integers(arguments[3])
      else { throw fail("holds a tensor without storage, offset, size and stride") }
      tensors.append(TensorView(storage: storage, offset: offset, shape: shape, strides: strides))
      stack.append(.tensor(tensors.count - 1))
    default: throw fail("calls \(name), which a YOLOv5 model has no need of")
    }
  }

  /// BUILD: an object's state. What PyTorch adds to a dictionary of its own (`_metadata`) does not matter.
  private mutating func build() throws(InterchangeError) {
    let state = try pop()
    switch try top() {
    case .object(let index): objects[index].state = state
    case .dictionary: break
    case let other: throw fail("gives a state to \(other)")
    }
  }

  /// BINPERSID: `("storage", type, key, location, element count)`.
  private mutating func findStorage() throws(InterchangeError) {
    guard let parts = items(try pop()), parts.count == 5, parts[0] == .string("storage"),
      case .global(let typeName) = parts[1], case .string(let key) = parts[2], case .int(let count) = parts[4],
      count >= 0
    else { throw fail("refers to something that is no tensor storage") }
    let types: [String: ElementType] = [
      "HalfStorage": .float16, "FloatStorage": .float32, "DoubleStorage": .float64, "BFloat16Storage": .bfloat16,
      "LongStorage": .int64, "IntStorage": .int32, "ByteStorage": .uint8, "BoolStorage": .bool,
    ]
    guard typeName.hasPrefix("torch "), let type = types[String(typeName.dropFirst("torch ".count))] else {
      throw fail("holds a storage of type \(typeName)")
    }
    storages.append(Storage(type: type, key: key, count: count))
    stack.append(.storage(storages.count - 1))
  }

  // MARK: - Parts

  private mutating func sequence(_ items: [Value]) throws(InterchangeError) -> Value {
    // Only a set made of a list can make more items than there are bytes.
    itemCount += items.count
    guard itemCount <= 2 * bytes.count else { throw fail("repeats its values beyond reason") }
    sequences.append(items)
    return .sequence(sequences.count - 1)
  }

  private mutating func dictionary() -> Value {
    dictionaries.append([])
    return .dictionary(dictionaries.count - 1)
  }

  /// The items of a list, tuple or set.
  func items(_ value: Value) -> [Value]? {
    guard case .sequence(let index) = value else { return nil }
    return sequences[index]
  }

  private func integers(_ value: Value) -> [Int]? {
    guard let items = items(value) else { return nil }
    let integers = items.compactMap { if case .int(let integer) = $0 { integer } else { nil } }
    return integers.count == items.count ? integers : nil
  }

  private mutating func append(_ items: [Value]) throws(InterchangeError) {
    guard case .sequence(let index) = try top() else { throw fail("appends to something that is no list") }
    sequences[index] += items
  }

  private mutating func set(_ pairs: [Value]) throws(InterchangeError) {
    guard case .dictionary(let index) = try top(), pairs.count % 2 == 0 else {
      throw fail("sets keys of something that is no dictionary")
    }
    for first in stride(from: 0, to: pairs.count, by: 2) {
      dictionaries[index].append((pairs[first], pairs[first + 1]))
    }
  }

  private mutating func recall(_ key: Int) throws(InterchangeError) {
    guard let value = memo[key] else { throw fail("recalls value \(key), which it never kept") }
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

  private mutating func popToMark() throws(InterchangeError) -> [Value] {
    guard let mark = marks.popLast(), mark <= stack.count else { throw fail("has no mark where one is due") }
    let items = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return items
  }

  private mutating func take(_ count: Int) throws(InterchangeError) -> ArraySlice<UInt8> {
    guard count <= bytes.endIndex - position else { throw fail("ends in the middle of an instruction") }
    defer { position += count }
    return bytes[position..<(position + count)]
  }

  /// Unsigned and little-endian.
  private mutating func takeInteger(_ count: Int) throws(InterchangeError) -> Int {
    try take(count).reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  private mutating func takeLine() throws(InterchangeError) -> String {
    guard let end = bytes[position...].prefix(200).firstIndex(of: 0x0a) else { throw fail("holds a name without end") }
    defer { position = end + 1 }
    return String(decoding: bytes[position..<end], as: UTF8.self)
  }

  private func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, "its pickle \(reason)") }
}
