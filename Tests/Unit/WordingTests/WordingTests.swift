import Foundation
import Testing

@testable import Wording

@Suite("What is said of foreign text")
struct WordingTests {
  @Test func nearestWords() {
    #expect(nearest("momentun", among: ["lr0", "momentum"]) == "momentum")
    #expect(nearest("Map50", among: ["map50_95", "map50"]) == "map50")
    #expect(nearest("lr1", among: ["lr0", "lrf"]) == "lr0")
    #expect(nearest("x", among: ["ab", "lr"]) == nil)
    #expect(nearest("zebra", among: ["backbone"]) == nil)
    #expect(nearest("", among: []) == nil)
  }

  @Test func numbersWithNouns() {
    #expect(
      counted(1, "job") == "1 job" && counted(0, "job") == "0 jobs" && counted(2, "finished trial").hasSuffix("ls"))
    #expect(counted(1, "class") == "1 class" && counted(2, "class") == "2 classes" && counted(3, "box") == "3 boxes")
  }

  @Test("A line of bounded length, whatever the text")
  func shortensForeignText() {
    #expect("lr0".shortened() == "lr0")
    #expect("".shortened() == "")
    #expect(String(repeating: "x", count: 60).shortened() == String(repeating: "x", count: 60))
    #expect(String(repeating: "x", count: 61).shortened() == String(repeating: "x", count: 59) + "…")
    #expect("two\r\nlines\tand\u{2028}more".shortened() == "two  lines and more")
    // One letter with a million marks.
    #expect(("a" + String(repeating: "\u{301}", count: 1_000_000)).shortened().unicodeScalars.count == 60)
  }

  @Test("Nothing that moves a cursor or turns text around passes")
  func printsNoControlCharacters() {
    for code in Array(0..<0x20 as Range<UInt32>) + Array(0x7f..<0xa0) + [
      0x2028, 0x2029, 0x200e, 0x2066, 0x2069, 0xfeff, 0xe0041,
    ] + Array(0x202a...0x202e) {
      let scalar = String(Unicode.Scalar(code)!)
      let isKept = scalar == "\n" || scalar == "\t"
      #expect(("a" + scalar + "[2J").printable == "a" + (isKept ? scalar : "\u{fffd}") + "[2J")
      let shown = ("a" + scalar + "[2J").shortened()
      #expect(shown == "a\u{fffd}[2J" || shown == "a [2J")
    }
    #expect("naïve 👩‍🔧 क्‍ष".printable == "naïve 👩‍🔧 क्‍ष")
  }

  @Test("Windows' line ends stay, other returns do not")
  func lineEnds() {
    #expect("a\r\nb\rc\r".printable == "a\r\nb\u{fffd}c\u{fffd}")
    #expect("a\r\nb\tc\nd".oneLine == "a  b c d")
  }

  @Test("JSON keeps its meaning and steers no terminal")
  func escapesJSON() throws {
    let text = "a\u{1b}[2J\u{202e}\u{85}\u{7f}\u{e0041}é👩‍🔧"
    let json = String(decoding: try JSONEncoder().encode([text]), as: UTF8.self)
    #expect(json.printableJSON == json.printableJSON.printable)
    #expect(try JSONDecoder().decode([String].self, from: Data(json.printableJSON.utf8)) == [text])
    #expect("[\"\u{202e}\u{e0041}\",\n1]".printableJSON == "[\"\\u202e\\udb40\\udc41\",\n1]")
  }

  @Test("Columns stay aligned with wide, combining and hostile letters")
  func alignsTables() {
    let rows = [["name", "n"], ["中文", "10"], ["e\u{301}a", "9"], ["👩‍🔧👍🏽", "8"], ["a\nb\u{202e}", "7"], ["🇫🇷", "6"]]
    let expected = [
      "name   n", "中文  10", "e\u{301}a     9", "👩‍🔧👍🏽   8", "a b\u{fffd}   7", "🇫🇷     6",
    ]
    #expect(textTable(rows, rightAligned: [1]).split(separator: "\n").map(String.init) == expected)
    #expect("한글ﾊﾝｶｸ全角".terminalWidth == 12)
    let long = String(repeating: "x", count: 5_000)
    #expect(textTable([[long, "a"], ["y", "b"]]).count < 5_200)
  }

  @Test("Foundation's errors become path and reason")
  func wordsOfErrors() {
    struct Ours: Error, CustomStringConvertible { var description = "ours" }
    func words(_ body: () throws -> Void) -> String {
      do { try body() } catch { return error.words }
      return "no error"
    }
    #expect(words { throw Ours() } == "ours")
    #expect(words { _ = try Data(contentsOf: URL(filePath: "/no/file")) } == "/no/file: no such file or folder")
    let failures: [() throws -> Void] = [
      { _ = try FileHandle(forReadingFrom: URL(filePath: "/etc/passwd/x")) },
      { try Data([1]).write(to: URL(filePath: "/dev/full")) },
      { try Data([1]).write(to: URL(filePath: "/proc/x"), options: .atomic) },
      { try FileManager.default.createDirectory(atPath: "/etc/passwd/x", withIntermediateDirectories: true) },
      { _ = try FileManager.default.contentsOfDirectory(atPath: "/etc/passwd") },
      { try FileManager.default.moveItem(atPath: "/no/file", toPath: "/tmp/x") },
      { try FileManager.default.removeItem(atPath: "/no/file") },
      { _ = try FileManager.default.destinationOfSymbolicLink(atPath: "/etc/passwd") },
      { throw CocoaError(.fileWriteOutOfSpace) }, { throw CocoaError(.fileReadUnknown) },
      { throw NSError(domain: NSPOSIXErrorDomain, code: 24) }, { throw POSIXError(.EROFS) },
      {
        let process = Process()
        process.executableURL = URL(filePath: "/no/program")
        try process.run()
      },
    ]
    for failure in failures {
      let text = words(failure)
      #expect(text != "no error" && !text.isEmpty)
      for wrapping in ["Error Domain", "NSCocoa", "NSPOSIX", "operation couldn", "UserInfo", "Swift.", "Optional("] {
        #expect(!text.contains(wrapping), "\(text)")
      }
    }
    #expect(words { throw NSError(domain: NSPOSIXErrorDomain, code: 24) }.contains("ulimit -n"))
    #expect(words { try Data([1]).write(to: URL(filePath: "/dev/full")) }.contains("No space left on device"))
  }

  @Test("A stream that cannot be written to keeps the first reason")
  func streamsNoticeErrors() throws {
    let descriptor = unsafe open("/dev/full", O_WRONLY)
    let stream = StandardStream(descriptor)
    #expect(stream.failure == nil)
    stream.write("")
    #expect(stream.failure == nil)
    stream.write("text")
    stream.write("more")
    #expect(stream.failure?.hasPrefix("No space left on device") == true)
    stream.finish()
    #expect(stream.failure?.hasPrefix("No space left on device") == true)
  }
}
