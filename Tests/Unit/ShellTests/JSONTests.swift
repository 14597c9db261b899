import Foundation
import JSON
import Sweep
import Testing

/// The fleet's JSON against Foundation's, and against what is not JSON.
@Suite struct JSONTests {
  private struct Everything: Codable, Equatable {
    enum Choice: Codable, Equatable {
      case nothing
      case pair(Int, name: String)
    }
    var text = "plain"
    var whole = -42
    var large = UInt64.max
    var least = Int64.min
    var number = 0.1
    var round = 3.0
    var flag = true
    var missing: String?
    var list = [1, 2, 3]
    var lists = [[Double]](repeating: [1.5], count: 2)
    var names = ["b": "2", "a": "1"]
    var choice = Choice.pair(1, name: "x")
    var none = Choice.nothing
    var nested = ["k": [Choice.nothing]]
  }

  @Test func dictionariesAreSorted() throws {
    let names = (0..<40).map { "stage\($0)" }
    let limits = Dictionary(uniqueKeysWithValues: names.map { ($0, StageLimits()) })
    let expected = "{" + names.sorted().map { "\"\($0)\":{}" }.joined(separator: ",") + "}"
    #expect(String(decoding: JSON.encode(limits), as: UTF8.self) == expected)
  }

  @Test(arguments: [
    (
      #"{"k":[{"nothing":{}},{"pair":{"_0":true,"name":"x"}}]}"#,
      "k.1.pair._0: expected a whole number that fits, found true"
    ),
    (#"{"other":[],"k":[{"pair":{"_0":1}}]}"#, "k.0.pair: name is missing"),
    (#"{"k":{}}"#, "k: expected a list, found object"), ("[]", "expected an object, found array"),
    (#"{"k":[}"#, "not JSON: no value at byte 6"),
  ])
  func errorsTellThePlace(_ text: String, _ expected: String) throws {
    let error = #expect(throws: JSONError.self) { try JSON.decode([String: [Everything.Choice]].self, from: text.utf8) }
    #expect(error?.description == expected)
  }

  @Test func manyMembersAreReadInOneGo() throws {
    let members = Dictionary(uniqueKeysWithValues: (0..<200_000).map { ("member \($0)", [$0]) })
    let bytes = JSON.encode(members)
    let start = ContinuousClock.now
    let back = try JSON.decode([String: [Int]].self, from: bytes)
    let isSame = back == members
    #expect(isSame)
    #expect(ContinuousClock.now - start < .seconds(20))
  }

  @Test func figuresThatAreNoneAreTheFleetsAlone() throws {
    #expect(try JSON.decode([Double].self, from: "[\"inf\"]".utf8, .fleet) == [.infinity])
    for text in ["[\"inf\"]", "[\"nan\"]", "[1e999]"] {
      #expect(throws: JSONError.self) { try JSON.decode([Double].self, from: text.utf8) }
    }
    #expect(throws: JSONError.self) { try JSON.decode([Float].self, from: "[1e300]".utf8) }
  }

  @Test(arguments: ["[[[[", "[[1,", String(repeating: "[", count: 100_000), "{\"a\":[{", "[[[[\"", "[[tru"])
  func whatIsCutOffIsAnError(_ text: String) {
    #expect(throws: JSONError.self) { try JSON.decode([[Double]].self, from: text.utf8) }
  }

  static let texts = [
    "", "plain", "\"quoted\" \\ back", "line\nbreak\ttab\u{1}\u{1F}", "Zürich 東京 🚀", "\u{2028}", "a/b", "e\u{301}",
  ]

  @Test(arguments: texts) func agreesWithFoundation(_ text: String) throws {
    var value = Everything()
    value.text = text
    value.names[text] = text
    let ours = JSON.encode(value)
    #expect(try JSONDecoder().decode(Everything.self, from: Data(ours)) == value)
    #expect(try JSON.decode(Everything.self, from: ours) == value)
    for formatting: JSONEncoder.OutputFormatting in [[], .prettyPrinted, .sortedKeys] {
      let encoder = JSONEncoder()
      encoder.outputFormatting = formatting
      #expect(try JSON.decode(Everything.self, from: try encoder.encode(value)) == value)
    }
  }

  /// Models and checkpoints are named by their bytes, of which this text is a part.
  @Test(arguments: texts) func filesAreWrittenAsFoundationWritesThem(_ text: String) throws {
    var value = Everything()
    value.text = text.filter { !$0.isASCII || $0.asciiValue! >= 0x20 }
    value.names["Z"] = text.filter { $0.isLetter }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    #expect(try JSON.text(value) == String(decoding: encoder.encode(value), as: UTF8.self))
    let floats: [Float] = [0, 1, -0.5, 0.1, 1e-7, 3e20, 16_777_216]
    #expect(try JSON.text(floats) == String(decoding: encoder.encode(floats), as: UTF8.self))
    #expect(throws: JSONError.self) { try JSON.text([Double.nan]) }
  }

  @Test func namesInSnakeCase() throws {
    struct Layer: Codable, Equatable {
      var keptCount = 3
      var gflops = 1.5
      var namesByIndex = ["aB": 1]
    }
    let text = try JSON.text(Layer(), .snakeCase)
    #expect(text == #"{"gflops":1.5,"kept_count":3,"names_by_index":{"aB":1}}"#)
    #expect(try JSON.decode(Layer.self, from: text.utf8, .snakeCase) == Layer())
  }

  @Test func plainValuesComeBack() throws {
    let value = PlainValue.object([
      "null": .null, "yes": .bool(true), "int": .int(.min), "double": .double(1e-300), "text": .string("a\"b"),
      "list": .array([.int(1), .array([]), .object([:])]), "object": .object(["x": .double(0.5)]),
    ])
    let bytes = JSON.encode(value)
    #expect(String(decoding: bytes, as: UTF8.self) == value.canonicalJSON)
    #expect(try JSON.decode(PlainValue.self, from: bytes) == value)
  }

  @Test func figuresWithoutJSONAreWords() throws {
    let values: [String: Double] = ["a": .nan, "b": .infinity, "c": -.infinity, "d": 1]
    let bytes = JSON.encode(values)
    #expect(String(decoding: bytes, as: UTF8.self) == #"{"a":"nan","b":"inf","c":"-inf","d":1.0}"#)
    let back = try JSON.decode([String: Double].self, from: bytes, .fleet)
    #expect(back["a"]!.isNaN && back["b"] == .infinity && back["c"] == -.infinity && back["d"] == 1)
  }

  @Test(arguments: [
    "", " ", "{", "}", "[1,", "[1 2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "tru", "nulll", "\"", "\"\\",
    "\"\\u12\"",
    "\"\\ud800\"", "\"\\x\"", "\"\u{1}\"", "1 1", "--", "[1]]", "\"\\u+123\"",
  ])
  func refusesWhatIsNone(_ text: String) {
    #expect(throws: JSONError.self) { try JSON.decode(PlainValue.self, from: Array(text.utf8)) }
  }

  @Test func refusesDepthsAndBadUTF8() {
    let deep = Array(repeating: UInt8(ascii: "["), count: 1_000_000)
    #expect(throws: JSONError.self) { try JSON.decode(PlainValue.self, from: deep) }
    #expect(throws: JSONError.self) { try JSON.decode(String.self, from: [0x22, 0xFF, 0x22]) }
  }

  @Test(arguments: ["256", "-1", "1.5", "1e2", "\"1\"", "null", "[]"]) func numbersMustFit(_ text: String) {
    #expect(throws: JSONError.self) { try JSON.decode(UInt8.self, from: Array(text.utf8)) }
  }

  /// A document is read or refused, whichever of its bytes change.
  @Test func mutatedDocumentsDoNoHarm() {
    let seed = JSON.encode(Everything())
    var state: UInt64 = 1
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    for _ in 0..<20_000 {
      var bytes = seed
      for _ in 0...random(4) {
        switch random(4) {
        case 0: bytes[random(bytes.count)] = UInt8(random(256))
        case 1: bytes.remove(at: random(bytes.count))
        case 2: bytes.insert(contentsOf: bytes[random(bytes.count)...].prefix(random(20)), at: random(bytes.count))
        default: bytes.removeLast(random(bytes.count - 1))
        }
        if bytes.count < 3 { bytes = seed }
      }
      _ = try? JSON.decode(Everything.self, from: bytes)
      _ = try? JSON.decode(PlainValue.self, from: bytes)
    }
  }
}
