import Dataset
import Foundation
import Testing

@Suite struct ImageSearchTests {
  private func folder(_ names: [String]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for name in names { try folder.write("", name) }
    return folder
  }

  private let names = [
    "b.jpg", "a.PNG", "note.txt", ".hidden.jpg", "day1/x.jpeg", "day1/deep/y.jpg", "day2/x.jpg", "odd[1].jpg",
  ]

  @Test(
    arguments: [
      ("", ["a.PNG", "b.jpg", "odd[1].jpg"]), ("/b.jpg", ["b.jpg"]), ("/note.txt", ["note.txt"]),
      ("/odd[1].jpg", ["odd[1].jpg"]), ("/*.jpg", ["b.jpg", "odd[1].jpg"]), ("/?.*", ["a.PNG", "b.jpg"]),
      ("/day?/*", ["day1/x.jpeg", "day2/x.jpg"]), ("/day[13-9]/x.*", ["day1/x.jpeg"]),
      ("/**/*.jpg", ["b.jpg", "day1/deep/y.jpg", "day2/x.jpg", "odd[1].jpg"]),
      ("/**", ["a.PNG", "b.jpg", "day1/deep/y.jpg", "day1/x.jpeg", "day2/x.jpg", "odd[1].jpg"]),
      ("/day1/**/y.jpg", ["day1/deep/y.jpg"]),
    ] as [(String, [String])])
  func files(pattern: String, expected: [String]) throws {
    let folder = try folder(names)
    let found = try ImageSearch.images(folder.path + pattern)
    #expect(found == expected.map { folder.path + "/" + $0 })
  }

  @Test(arguments: ["/nothing.jpg", "/nothing", "/*.gif", "/day3/*", "/b.jpg/*", "/[", "/empty"])
  func nothing(pattern: String) throws {
    let folder = try folder(names + ["empty/note.txt"])
    #expect(throws: DatasetError.self) { try ImageSearch.images(folder.path + pattern) }
  }

  @Test(
    "What exists is taken literally, folder by folder, and a backslash takes a letter's meaning",
    arguments: [
      ("/[2024] x/train/*.jpg", ["[2024] x/train/a.jpg"]),
      ("/**/train/a.jpg", ["2 x/train/a.jpg", "[2024] x/train/a.jpg"]),
      ("/*/[a]/b*.jpg", ["[2024] x/[a]/b.jpg"]), ("/\\[2024\\] x/train/a.jpg", ["[2024] x/train/a.jpg"]),
      ("/[[]2024] ?/train/*", ["[2024] x/train/a.jpg"]), ("/2 x/train/?.jpg", ["2 x/train/a.jpg"]),
      ("/w\\*.jpg", ["w*.jpg"]), ("/w*.jpg", ["w*.jpg"]), ("/w?.jpg", ["w*.jpg", "w1.jpg"]),
    ] as [(String, [String])])
  func literalNames(pattern: String, expected: [String]) throws {
    let folder = try folder(["[2024] x/train/a.jpg", "[2024] x/[a]/b.jpg", "2 x/train/a.jpg", "w*.jpg", "w1.jpg"])
    let found = try ImageSearch.images(folder.path + pattern)
    #expect(found == expected.map { folder.path + "/" + $0 })
  }

  @Test("A link to its own folder does not go round for ever") func links() throws {
    let folder = try folder(["a/x.jpg"])
    try FileManager.default.createSymbolicLink(atPath: folder.path + "/a/again", withDestinationPath: "../a")
    let found = try ImageSearch.images(folder.path + "/**/x.jpg")
    #expect(found == [folder.path + "/a/x.jpg"])
  }
}
