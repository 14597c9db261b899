import Testing
import Wording

@Suite("What errors say of foreign text")
struct WordingTests {
  @Test func nearestWords() {
    #expect(nearest("momentun", among: ["lr0", "momentum"]) == "momentum")
    #expect(nearest("Map50", among: ["map50_95", "map50"]) == "map50")
    #expect(nearest("lr1", among: ["lr0", "lrf"]) == "lr0")
    #expect(nearest("x", among: ["ab", "lr"]) == nil)
    #expect(nearest("zebra", among: ["backbone"]) == nil)
    #expect(nearest("", among: []) == nil)
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
    for code in Array(0..<0x20 as Range<UInt32>) + Array(0x7f..<0xa0) + [0x202e, 0x2066, 0xfeff] {
      let scalar = String(Unicode.Scalar(code)!)
      let isKept = scalar == "\n" || scalar == "\t"
      #expect(("a" + scalar + "[2J").printable == "a" + (isKept ? scalar : "\u{fffd}") + "[2J")
      let shown = ("a" + scalar + "[2J").shortened()
      #expect(shown == "a\u{fffd}[2J" || shown == "a [2J")
    }
    #expect("naïve 👩‍🔧 क्‍ष".printable == "naïve 👩‍🔧 क्‍ष")
  }
}
