import JSON
import Sweep
import Wire

/// Damage that leaves a text JSON, so that it reaches whoever reads what the JSON says.
extension Mutator {
  /// Longer texts are not more hostile, only slower; damage upon damage would make some of gigabytes.
  private static let textByteCount = 4 << 20

  /// - Returns: nil when the text is no JSON.
  mutating func mutatedJSON(_ text: [UInt8]) -> [UInt8]? {
    guard var value = try? JSON.decode(PlainValue.self, from: text) else { return nil }
    for _ in 0...below(3) {
      var place = below(value.nodeCount)
      let next = changed(value, at: &place) ?? .null
      guard next.textByteCount <= Self.textByteCount else { break }
      value = next
    }
    return JSON.encode(value)
  }

  /// Changes the node at `place`, counted from the root on.
  /// - Returns: nil when the node goes.
  private mutating func changed(_ value: PlainValue, at place: inout Int) -> PlainValue? {
    place -= 1
    if place == -1 { return replacement(of: value) }
    if place < -1 { return value }
    switch value {
    case .array(let values):
      var kept: [PlainValue] = []
      for value in values { if let value = changed(value, at: &place) { kept.append(value) } }
      return .array(kept)
    case .object(let members):
      var kept: [String: PlainValue] = [:]
      for key in members.keys.sorted() { kept[key] = changed(members[key]!, at: &place) }
      return .object(kept)
    default: return value
    }
  }

  private mutating func replacement(of value: PlainValue) -> PlainValue? {
    switch below(10) {
    case 0: return nil
    case 1: return .null
    case 2: return .array(Array(repeating: value, count: [0, 1, 2, 300][below(4)]))
    case 3: return .object([["hello", "", "attempt", "spec", "a\u{0}b"][below(5)]: value])
    case 4: return .string(strings[below(strings.count)])
    case 5:
      guard case .array(let values) = value, let first = values.first else { return .array([value]) }
      return .array(values + Array(repeating: first, count: [1, 2, 5_000][below(3)]))
    case 6:
      guard case .object(var members) = value else { return .bool(below(2) == 0) }
      for index in 0..<[1, 2, 400][below(3)] { members["k\(index)"] = .int(index) }
      return .object(members)
    case 7: return .double([0.5, -0.0, 1e308, .leastNonzeroMagnitude, .nan, .infinity, -.infinity, 1e15][below(8)])
    default: return .int(integers[below(integers.count)])
    }
  }

  private var integers: [Int] {
    [0, 1, 2, 3, -1, 7, 64, 255, 1024, 65_536, 1 << 31, 1 << 40, 1 << 53, .max, .max - 1, .min, -1_000]
  }

  private var strings: [String] {
    [
      "", "w-1", "nan", "inf", "train", "prune", "../../etc/passwd", "/dev/zero", "a\u{0}\u{1b}[2J\r\n",
      "\u{202e}e\u{301}",
      String(repeating: "x", count: 2_000), String(repeating: "e\u{301}\u{302}", count: 9_000),
      String(repeating: "0a", count: 32), String(repeating: "f", count: 32), "9223372036854775808",
    ]
  }
}

extension PlainValue {
  fileprivate var nodeCount: Int {
    switch self {
    case .array(let values): values.reduce(1) { $0 + $1.nodeCount }
    case .object(let members): members.values.reduce(1) { $0 + $1.nodeCount }
    default: 1
    }
  }

  /// About.
  fileprivate var textByteCount: Int {
    switch self {
    case .array(let values): values.reduce(2) { $0 + 1 + $1.textByteCount }
    case .object(let members): members.reduce(2) { $0 + 4 + $1.key.utf8.count + $1.value.textByteCount }
    case .string(let text): 2 + text.utf8.count
    default: 8
    }
  }
}

// MARK: - Scripts

/// Some readers are fed with what happens one after the other: a line each, a few words and then perhaps a message.
extension Mutator {
  mutating func mutatedScript(_ bytes: [UInt8]) -> [UInt8] {
    var lines = bytes.split(separator: 10).map(Array.init)
    for _ in 0...below(4) {
      let line = below(lines.count)
      switch lines.isEmpty ? 0 : below(8) {
      case 0: lines.insert(lineOfOthers(), at: below(lines.count + 1))
      case 1: lines.remove(at: line)
      case 2: for _ in 0..<[1, 1, 40][below(3)] { lines.insert(lines[line], at: below(lines.count + 1)) }
      case 3: lines.swapAt(line, below(lines.count))
      case 4: lines[line] = mutated(lines[line])
      default:
        guard let start = lines[line].firstIndex(of: UInt8(ascii: "{")),
          let message = mutatedJSON(Array(lines[line][start...]))
        else { break }
        lines[line].replaceSubrange(start..., with: message)
      }
    }
    let script = Array(lines.joined(separator: [10]))
    return script.count > Self.textByteCount ? bytes : script
  }

  private mutating func lineOfOthers() -> [UInt8] {
    let lines = others[below(others.count)].split(separator: 10)
    return lines.isEmpty ? tokens[below(tokens.count)] : Array(lines[below(lines.count)])
  }
}
