import Foundation
import Testing
import YAML

private func parse(_ text: String, limits: YAMLDocument.Limits = .init()) throws(YAMLError) -> YAMLNode {
  try YAMLDocument.parse(text, file: "test.yaml", limits: limits)
}

private func message(_ body: () throws -> Void) -> String? {
  do { try body() } catch { return "\(error)" }
  return nil
}

@Suite("Reading YAML")
struct YAMLReadingTests {
  @Test("A YOLOv5 data.yaml")
  func dataYAML() throws {
    let text = """
      # comment
      path: ../coco128
      train: images/train2017  # inline comment
      val: [a.txt, 'b c.txt']
      test:
      nc: 2
      names:
        0: person
        1: "true"
      """
    let root = try parse(text).mapping
    #expect(root.keys == ["path", "train", "val", "test", "nc", "names"])
    #expect(try root.required("path").string == "../coco128")
    #expect(
      try root.required("val").sequence.map { node throws(YAMLError) in try node.string } == ["a.txt", "b c.txt"])
    #expect(root["test"]?.isNull == true)
    #expect(try root.required("nc").int == 2)
    let names = try root.required("names").mapping
    #expect(names.keys == ["0", "1"])
    #expect(names["1"]?.content == .scalar(text: "true", isPlain: false))
    #expect(names["1"]?.location == YAMLLocation(file: "test.yaml", line: 9, column: 6))
  }

  @Test(
    "Numbers as YOLOv5's files write them",
    arguments: [
      ("0.01", 0.01), ("1e-3", 1e-3), ("-5E+2", -500), ("3", 3), (".5", 0.5), ("4.", 4), ("+1.5", 1.5), ("010", 10),
    ])
  func doubles(text: String, value: Double) throws {
    #expect(try parse(text).double == value)
  }

  @Test(
    "What is not a number",
    arguments: [
      "1_000", "0x10", "1e", "e5", ".", "-", "1.2.3", "nan", ".inf", "1e999", "'1'", "ten", "[1]", "1:30", "",
    ])
  func notDoubles(text: String) {
    #expect(throws: YAMLError.self) { try parse(text).double }
    #expect(throws: YAMLError.self) { try parse(text).int }
  }

  @Test("Integers are decimal and fit")
  func integers() throws {
    #expect(try parse("-12").int == -12)
    #expect(try parse("0").int == 0)
    for text in ["010", "99999999999999999999", "1.0", "1e3", "--1"] {
      #expect(throws: YAMLError.self) { try parse(text).int }
    }
  }

  @Test("Booleans are YAML 1.1's")
  func booleans() throws {
    for text in ["true", "Yes", "ON"] { #expect(try parse(text).bool) }
    for text in ["false", "No", "off"] { #expect(try !parse(text).bool) }
    for text in ["1", "'true'", "y", "tRUE"] { #expect(throws: YAMLError.self) { try parse(text).bool } }
  }

  @Test("Aliases stand for what they name")
  func aliases() throws {
    let root = try parse("a: &x [1, 2]\nb: *x\n").mapping
    #expect(try root.required("b").sequence.count == 2)
    #expect(message { _ = try parse("a: *nobody") } == "test.yaml:1: ‘*nobody’ refers to nothing before it")
    #expect(message { _ = try parse("a: &x\n  - *x") } == "test.yaml:2: ‘*x’ stands inside what it refers to")
  }

  @Test("Errors name file, line and what stands there")
  func errors() throws {
    #expect(
      message { _ = try parse("a: 1\nb: 2\na: 3") } == "test.yaml:3: ‘a’ is already given in line 1")
    #expect(
      message { _ = try parse("\na: [1]").mapping.required("a").int }
        == "test.yaml:2: expected an integer, found a list")
    #expect(
      message { _ = try parse("a: '3'").mapping.required("a").int }
        == "test.yaml:1: expected an integer, found the quoted string ‘3’")
    #expect(
      message { _ = try parse("a:").mapping.required("a").string } == "test.yaml:1: expected a string, found nothing")
    #expect(message { _ = try parse("\n\na: 1").mapping.required("b") } == "test.yaml:3: ‘b’ is missing")
    #expect(message { _ = try parse("a: [1\nb: 2") }?.hasPrefix("test.yaml:2: ") == true)
    #expect(
      message { _ = try YAMLDocument.load("/nowhere/x.yaml") }?.hasPrefix("/nowhere/x.yaml: cannot be read") == true)
  }

  @Test("An unknown key is told its nearest neighbour")
  func unknownKeys() throws {
    let mapping = try parse("grid:\n  bakcbone: 1").mapping.required("grid").mapping
    #expect(
      message { try mapping.requireKnownKeys(["optimizer", "backbone"]) }
        == "test.yaml:2: unknown key ‘bakcbone’; did you mean ‘backbone’?")
    #expect(
      message { try mapping.requireKnownKeys(["seed", "lr"]) }
        == "test.yaml:2: unknown key ‘bakcbone’; known are seed, lr")
    try mapping.requireKnownKeys(["bakcbone"])
  }

  @Test("Block scalars, quotes and Unicode")
  func scalars() throws {
    let root = try parse("a: |\n  x\n  y\nb: \"\\u00e4\\0\"\nc: Zürich\n").mapping
    #expect(try root.required("a").string == "x\ny\n")
    #expect(try root.required("b").string == "ä\0")
    #expect(try root.required("c").string == "Zürich")
    #expect(try parse("!!str 12").content == .scalar(text: "12", isPlain: false))
  }
}

@Suite("Hostile YAML")
struct HostileYAMLTests {
  @Test("Aliases that unfold to billions are refused at once")
  func billionLaughs() {
    var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in 1..<12 {
      let list = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
      text += "a\(level): &a\(level) [\(list)]\n"
    }
    #expect(message { _ = try parse(text) } == "test.yaml:5: more than 50000 values")
  }

  @Test("Depth is bounded, also through aliases")
  func depth() throws {
    let limits = YAMLDocument.Limits(depth: 8)
    #expect(throws: Never.self) {
      try parse(String(repeating: "[", count: 8) + String(repeating: "]", count: 8), limits: limits)
    }
    #expect(throws: YAMLError.self) {
      try parse(String(repeating: "[", count: 9) + String(repeating: "]", count: 9), limits: limits)
    }
    #expect(throws: YAMLError.self) { try parse(String(repeating: "[", count: 100_000)) }
    #expect(throws: YAMLError.self) { try parse("a: &x [[[[1]]]]\nb: [[[*x]]]", limits: limits) }
    #expect(throws: Never.self) { try parse("a: &x [[[[1]]]]\nb: [[*x]]", limits: limits) }
  }

  @Test func sizeAndCount() {
    #expect(throws: YAMLError.self) { try parse("abcdef", limits: .init(byteCount: 5)) }
    #expect(throws: YAMLError.self) { try parse("[1, 2, 3]", limits: .init(nodeCount: 3)) }
    #expect(throws: Never.self) { try parse("[1, 2, 3]", limits: .init(nodeCount: 4)) }
    // The names of ImageNet's 21,841 classes, by index; not twice as many.
    let names = (0..<43_682).map { "\($0): x\n" }
    #expect(throws: Never.self) { try parse(names.prefix(21_841).joined()) }
    #expect(throws: YAMLError.self) { try parse(names.joined()) }
    #expect(throws: YAMLError.self) { try YAMLDocument.load("/dev/zero", limits: .init(byteCount: 1000)) }
    #expect(throws: YAMLError.self) { try YAMLDocument.load("/") }
  }

  @Test(
    "What no file needs is refused, with its place",
    arguments: [
      ("a: !!python/object x", "test.yaml:1: the tag"), ("a: 1\n--- \nb: 2", "test.yaml:2: a second document"),
      ("b: &x {a: 1}\n<<: *x", "test.yaml:2: merge keys"), ("? [1]\n: 2", "test.yaml:1: a key must be a scalar"),
      ("a: 1\n\tb: 2", "test.yaml:2: "), ("a: 'x", "test.yaml:"), ("{a: 1", "test.yaml:"), ("\"\\q\"", "test.yaml:1: "),
      ("%YAML 3.0\n---\na: 1", "test.yaml:1: "), ("a: \u{1}", "test.yaml:1: control characters"),
    ])
  func refused(text: String, prefix: String) throws {
    let message = try #require(message { _ = try parse(text) })
    #expect(message.hasPrefix(prefix))
  }

  @Test func invalidUTF8() {
    let bytes = Array("a: 1\nb: ".utf8) + [0xFF, 0xFE, 0x80]
    #expect(message { _ = try YAMLDocument.parse(bytes, file: "x") }?.hasPrefix("x:2: ") == true)
    #expect(throws: YAMLError.self) { try YAMLDocument.parse([0xFF, 0xFE, 0x00], file: "x") }
  }

  @Test("Random bytes never trap")
  func noise() {
    var state: UInt64 = 7
    let alphabet = Array("ab:-?&*!|>'\"%@`{}[],# \n\t~<0.".utf8)
    for _ in 0..<2000 {
      var bytes: [UInt8] = []
      for _ in 0..<40 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        bytes.append(alphabet[Int(state >> 33) % alphabet.count])
      }
      _ = try? YAMLDocument.parse(bytes, file: "noise")
    }
  }

  @Test func emptyDocuments() throws {
    for text in ["", "\n", "# nothing\n", "---\n", "---\n...\n"] { #expect(try parse(text).isNull) }
  }
}

@Suite("Writing YAML")
struct YAMLWritingTests {
  @Test("hyp.yaml and data.yaml look as people write them")
  func layout() {
    let value: YAMLValue = [
      "lr0": 0.01, "decay": 1e-05, "epochs": 3, "resume": false, "path": "../data", "val": nil,
      "names": ["cell", "yes", "0"], "grid": ["ratio": [0, 0.5], "empty": [:]],
      "runs": [["a": 1, "b": [2]], "x"],
    ]
    #expect(
      value.yamlText == """
        lr0: 0.01
        decay: 1.0e-05
        epochs: 3
        resume: false
        path: ../data
        val: null
        names: [cell, "yes", "0"]
        grid:
          ratio: [0, 0.5]
          empty: {}
        runs:
          -
            a: 1
            b: [2]
          - x

        """)
  }

  @Test(
    "Every string comes back as it was",
    arguments: [
      "", " ", "a", "a b", " a", "a ", "true", "No", "null", "~", "1", "1e3", "-", "- a", "a: b", "a #b", "#", "[x]",
      "'",
      "\"", "\\", "line\nline", "tab\t", "\u{0}\u{7}", "Zürich 漢字 🦓", "\u{2028}\u{FEFF}", "&x", "*x", "!t", "%", "@",
      "..",
      "../x", "/a/b.txt", "a,b", "<<", "?", "=", "0x10", "2024-01-01", "1:30", "\r\n",
    ])
  func roundTrip(string: String) throws {
    let text = YAMLValue.mapping([.init("key " + string, .sequence([.string(string)]))]).yamlText
    let entry = try #require(try parse(text).mapping.entries.first)
    #expect(entry.key == "key " + string)
    #expect(try entry.value.sequence.first?.content == .scalar(text: string, isPlain: isPlain(entry.value)))
    #expect(try entry.value.sequence.first?.string == string)
  }

  private func isPlain(_ list: YAMLNode) throws -> Bool {
    guard case .scalar(_, let isPlain)? = try list.sequence.first?.content else { return false }
    return isPlain
  }

  @Test func numbersRoundTrip() throws {
    for value in [0.0, 0.1, 1e-5, 1e300, -2.5e-300, Double.leastNonzeroMagnitude, 123456789.123] {
      #expect(try parse(YAMLValue.double(value).yamlText).double == value)
    }
  }
}
