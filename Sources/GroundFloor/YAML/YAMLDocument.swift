internal import CYAML
import Foundation
import Wording

/// Reads one YAML document into a tree of `YAMLNode`s.
///
/// Anchors and aliases are expanded. Merge keys, tags other than `!!str`, keys that are not scalars, duplicate keys and
/// a second document in the file are refused: no file this project reads needs them, and each has surprised someone.
public enum YAMLDocument {
  /// The most that a hostile text may cost. Aliases count as often as they are used, so that a few hundred bytes that
  /// unfold to billions of nodes are refused.
  public struct Limits: Sendable {
    public var byteCount: Int
    public var depth: Int
    /// Names for each of 20,000 classes are read; a node takes a hundred bytes.
    public var nodeCount: Int

    public init(byteCount: Int = 4 << 20, depth: Int = 64, nodeCount: Int = 50_000) {
      self.byteCount = byteCount
      self.depth = depth
      self.nodeCount = nodeCount
    }
  }

  /// - Parameter file: the name that errors give.
  /// - Throws: `YAMLError` with the line at fault. A text without content gives a null node.
  public static func parse(
    _ text: String, file: String, limits: Limits = Limits()
  ) throws(YAMLError) -> YAMLNode {
    try parse(Array(text.utf8), file: file, limits: limits)
  }

  public static func parse(
    _ bytes: [UInt8], file: String, limits: Limits = Limits()
  ) throws(YAMLError) -> YAMLNode {
    guard bytes.count <= limits.byteCount else {
      throw YAMLError(file: file, message: "longer than \(limits.byteCount) bytes")
    }
    // Two bytes make a letter there, and one of them is zero in most.
    if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) || bytes.prefix(4).contains(0) {
      throw YAMLError(file: file, message: "written in UTF-16, or no text at all; save it as UTF-8")
    }
    // libyaml takes a byte order mark for text when it is told the encoding.
    let isMarked = bytes.starts(with: [0xEF, 0xBB, 0xBF])
    var reader = try EventReader(isMarked ? Array(bytes.dropFirst(3)) : bytes, file: file)
    var builder = TreeBuilder(file: file, limits: limits)
    return try builder.document(&reader)
  }

  public static func load(_ path: String, limits: Limits = Limits()) throws(YAMLError) -> YAMLNode {
    let data: Data
    do {
      let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
      defer { try? handle.close() }
      data = try handle.read(upToCount: limits.byteCount + 1) ?? Data()
    } catch {
      throw YAMLError(file: path, message: "cannot be read: \(reason(of: error))")
    }
    return try parse(Array(data), file: path, limits: limits)
  }
}

/// The events that libyaml reports, as values; `end` closes a sequence or mapping.
private struct Event {
  enum Kind {
    case scalar(text: String, isPlain: Bool)
    case sequence, mapping, end
    case alias(String)
    case documentStart, documentEnd, streamStart, streamEnd
  }

  var kind: Kind
  var anchor: String?
  var location: YAMLLocation
}

/// Owns libyaml's parser and the bytes it reads.
@safe private struct EventReader: ~Copyable {
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let bytes: UnsafeMutableBufferPointer<UInt8>
  private let file: String

  init(_ input: [UInt8], file: String) throws(YAMLError) {
    self.file = file
    // The parser keeps pointers into itself and into the input, so both get an address of their own until `deinit`.
    unsafe bytes = .allocate(capacity: input.count)
    _ = unsafe bytes.initialize(from: input)
    unsafe parser = .allocate(capacity: 1)
    unsafe parser.initialize(to: yaml_parser_t())
    guard unsafe yaml_parser_initialize(parser) == 1 else {
      throw YAMLError(file: file, message: "yaml_parser_initialize: out of memory")
    }
    unsafe yaml_parser_set_input_string(parser, bytes.baseAddress, bytes.count)
    unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
  }

  deinit {
    unsafe yaml_parser_delete(parser)
    unsafe parser.deallocate()
    unsafe bytes.deallocate()
  }

  mutating func next() throws(YAMLError) -> Event {
    var event = unsafe yaml_event_t()
    guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw failure() }
    defer { unsafe yaml_event_delete(&event) }
    let mark = unsafe event.start_mark
    let location = YAMLLocation(file: file, line: mark.line + 1, column: mark.column + 1)
    func refuse(_ message: String) -> YAMLError { YAMLError(file: file, line: location.line, message: message) }
    // Each case reads the member of the union that belongs to the event's type.
    switch unsafe event.type {
    case YAML_STREAM_START_EVENT: return Event(kind: .streamStart, location: location)
    case YAML_STREAM_END_EVENT: return Event(kind: .streamEnd, location: location)
    case YAML_DOCUMENT_START_EVENT: return Event(kind: .documentStart, location: location)
    case YAML_DOCUMENT_END_EVENT: return Event(kind: .documentEnd, location: location)
    case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: return Event(kind: .end, location: location)
    case YAML_ALIAS_EVENT:
      return Event(kind: .alias(unsafe string(event.data.alias.anchor) ?? ""), location: location)
    case YAML_SCALAR_EVENT:
      let scalar = unsafe event.data.scalar
      let tag = unsafe string(scalar.tag)
      guard tag == nil || tag == "tag:yaml.org,2002:str" || tag == "!" else {
        throw refuse("the tag ‘\(tag!.shortened())’ is not supported")
      }
      // libyaml hands over `length` bytes of valid UTF-8.
      let text = unsafe String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
      let isPlain = unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE && tag == nil
      return Event(
        kind: .scalar(text: text, isPlain: isPlain), anchor: unsafe string(scalar.anchor), location: location)
    case YAML_SEQUENCE_START_EVENT:
      if let tag = unsafe string(event.data.sequence_start.tag) {
        throw refuse("the tag ‘\(tag.shortened())’ is not supported")
      }
      return Event(kind: .sequence, anchor: unsafe string(event.data.sequence_start.anchor), location: location)
    case YAML_MAPPING_START_EVENT:
      if let tag = unsafe string(event.data.mapping_start.tag) {
        throw refuse("the tag ‘\(tag.shortened())’ is not supported")
      }
      return Event(kind: .mapping, anchor: unsafe string(event.data.mapping_start.anchor), location: location)
    default: throw refuse("yaml_parser_parse: unknown event")
    }
  }

  /// A zero-terminated string of libyaml's, or nil.
  private func string(_ text: UnsafeMutablePointer<yaml_char_t>?) -> String? {
    guard let text = unsafe text else { return nil }
    return unsafe String(cString: text)
  }

  private func failure() -> YAMLError {
    let problem = unsafe parser.pointee.problem.map { unsafe String(cString: $0) } ?? "not readable as YAML"
    // Errors of the byte reader come without a mark; the lines before the offending byte tell the place.
    guard unsafe parser.pointee.error != YAML_READER_ERROR else {
      let offset = unsafe min(parser.pointee.problem_offset, bytes.count)
      let line = unsafe bytes[..<offset].count { $0 == UInt8(ascii: "\n") } + 1
      return YAMLError(file: file, line: line, message: problem)
    }
    let line = unsafe parser.pointee.problem_mark.line
    let message = isTabbed(line: line) ? "begins with a tab; indent with blanks in YAML" : problem
    return YAMLError(file: file, line: line + 1, message: message)
  }

  /// Returns whether a line (from 0) is indented with a tab. A list of all lines would take many times the text's
  /// memory.
  private func isTabbed(line: Int) -> Bool {
    var rest = unsafe bytes[...]
    for _ in 0..<line {
      guard let end = unsafe rest.firstIndex(of: UInt8(ascii: "\n")) else { return false }
      unsafe rest = rest[(end + 1)...]
    }
    let first = unsafe rest.first { $0 != UInt8(ascii: " ") }
    return first == UInt8(ascii: "\t")
  }
}

/// Builds the tree from events and keeps the account of its size.
private struct TreeBuilder {
  /// A finished subtree with what it costs to use it once more.
  struct Subtree {
    var node: YAMLNode
    var nodeCount: Int
    var depth: Int
  }

  let file: String
  let limits: YAMLDocument.Limits
  var nodeCount = 0
  var anchors: [String: Subtree] = [:]
  /// Anchors of the collections being built, to tell a cycle from a misspelt name.
  var openAnchors: Set<String> = []

  mutating func document(_ reader: inout EventReader) throws(YAMLError) -> YAMLNode {
    _ = try reader.next()  // The stream's start.
    let start = try reader.next()
    guard case .documentStart = start.kind else {
      return YAMLNode(.scalar(text: "", isPlain: true), at: start.location)
    }
    let root = try subtree(from: reader.next(), level: 1, &reader).node
    _ = try reader.next()  // The document's end.
    let end = try reader.next()
    guard case .streamEnd = end.kind else {
      throw YAMLError(file: file, line: end.location.line, message: "a second document begins here; one is expected")
    }
    return root
  }

  private mutating func subtree(
    from event: Event, level: Int, _ reader: inout EventReader
  ) throws(YAMLError) -> Subtree {
    func refuse(_ message: String) -> YAMLError { YAMLError(file: file, line: event.location.line, message: message) }
    if case .alias(let name) = event.kind {
      guard let target = anchors[name] else {
        throw refuse(
          openAnchors.contains(name)
            ? "‘*\(name.shortened())’ stands inside what it refers to"
            : "‘*\(name.shortened())’ refers to nothing before it")
      }
      try account(nodes: target.nodeCount, deepest: level + target.depth - 1, at: event.location)
      return target
    }
    try account(nodes: 1, deepest: level, at: event.location)
    let countBefore = nodeCount
    if let anchor = event.anchor { openAnchors.insert(anchor) }
    var depth = 1
    var content: YAMLNode.Content
    switch event.kind {
    case .scalar(let text, let isPlain): content = .scalar(text: text, isPlain: isPlain)
    case .sequence:
      var elements: [YAMLNode] = []
      while let element = try child(level, &depth, &reader) { elements.append(element) }
      content = .sequence(elements)
    case .mapping:
      var entries: [YAMLMapping.Entry] = []
      while let key = try child(level, &depth, &reader) {
        guard case .scalar(let text, let isPlain) = key.content else { throw key.error("a key must be a scalar") }
        guard !(isPlain && text == "<<") else { throw key.error("merge keys (‘<<’) are not supported") }
        guard let value = try child(level, &depth, &reader) else { throw key.error("a key without a value") }
        entries.append(YAMLMapping.Entry(key: text, keyLocation: key.location, value: value))
      }
      content = .mapping(try YAMLMapping(entries, at: event.location))
    default: throw refuse("a value is expected here")
    }
    let built = Subtree(
      node: YAMLNode(content, at: event.location), nodeCount: nodeCount - countBefore + 1, depth: depth)
    if let anchor = event.anchor {
      openAnchors.remove(anchor)
      anchors[anchor] = built
    }
    return built
  }

  /// The next element of a collection at `level`, nil at its end; `depth` grows to hold it.
  private mutating func child(
    _ level: Int, _ depth: inout Int, _ reader: inout EventReader
  ) throws(YAMLError) -> YAMLNode? {
    let event = try reader.next()
    if case .end = event.kind { return nil }
    let child = try subtree(from: event, level: level + 1, &reader)
    depth = max(depth, child.depth + 1)
    return child.node
  }

  private mutating func account(nodes: Int, deepest: Int, at location: YAMLLocation) throws(YAMLError) {
    nodeCount += nodes
    guard nodeCount <= limits.nodeCount else {
      throw YAMLError(file: file, line: location.line, message: "more than \(limits.nodeCount) values")
    }
    guard deepest <= limits.depth else {
      throw YAMLError(file: file, line: location.line, message: "nested deeper than \(limits.depth) levels")
    }
  }
}
