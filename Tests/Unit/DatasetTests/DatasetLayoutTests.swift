@testable import Dataset
import Foundation
import Testing

/// Where the files of a data set are, and what becomes of those that cannot be used.
@Suite("layouts of data sets") struct DatasetLayoutTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private let row = "0 0.5 0.5 0.5 0.5\n"

  /// Without the mark that tells which byte of a letter comes first.
  private func utf16(_ text: String) -> [UInt8] { text.utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] } }

  private func load(_ yaml: String, _ name: String = "data.yaml") throws -> DatasetDescription {
    try folder.write(yaml, name)
    return try DatasetDescription.load("\(folder.path)/\(name)")
  }

  private func failure(_ action: () throws -> Void) -> String {
    do {
      try action()
      return "no error"
    } catch {
      return "\(error)".replacingOccurrences(of: folder.path, with: "ROOT")
    }
  }

  private func images(_ description: DatasetDescription, _ split: DatasetDescription.Split = .train) throws -> [String]
  {
    try description.contents(of: split).images.map { String($0.path.dropFirst(folder.path.count + 1)) }
  }

  // MARK: - data.yaml

  @Test func nothingTakesThePlaceOfARootThatIsNotThere() throws {
    try folder.addImage("images/a.png")
    for root in ["~/no-such-data-1f3a", "/no-such-data-1f3a", "gone", "'C:\\data'", "images/a.png"] {
      let message = failure { _ = try load("path: \(root)\ntrain: images\nnames: [x]") }
      let name = root.replacingOccurrences(of: "'", with: "")
      #expect(message.hasPrefix("ROOT/data.yaml:1: there is no folder ‘\(name)’; looked for "), "\(message)")
    }
    // Nor of a split that is not under the root, though the folder of the file has one.
    try folder.addImage("set/other/a.png")
    let message = failure { _ = try load("path: set\ntrain: images\nnames: [x]") }
    #expect(message == "ROOT/data.yaml:2: ‘images’ is not there; looked for ROOT/set/images")
    for nothing in ["", "''", "~"] {
      #expect(try images(load("path: \(nothing)\ntrain: images\nnames: [x]")) == ["images/a.png"])
    }
  }

  @Test func onlyWhoAsksForASplitNeedsIt() throws {
    try folder.addImage("train/images/a.png")
    try folder.addImage("valid/images/b.png")
    for name in ["a", "b"] { try folder.write(row, name == "a" ? "train/labels/a.txt" : "valid/labels/b.txt") }
    // Roboflow's layout: the paths are meant from a folder beside the others.
    let description = try load(
      "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 1\nnames: ['x']\nroboflow: {v: 1}\n")
    #expect(try images(description) == ["train/images/a.png"])
    #expect(try description.trainingContents().keys.count == 2)
    let missing = "ROOT/data.yaml:3: ‘../test/images’ is not there; looked for "
    #expect(failure { _ = try description.contents(of: .test) }.hasPrefix(missing))
    try folder.write("", "test/images/readme.md")
    #expect(try description.trainingContents().keys.count == 2)
    #expect(
      failure { _ = try load("test: test/images\ntrain: train/images\nnames: [x]").contents(of: .test) } != "no error")
    #expect(failure { _ = try load("test: nowhere\ntrain: gone\nnames: [x]") }.contains("‘gone’ is not there"))
    for empty in ["''", "~", ""] {
      #expect(try load("train: train/images\ntest: \(empty)\nnames: [x]").absent.isEmpty)
    }
    #expect(
      failure { _ = try load("train: []\nnames: [x]") }
        == "ROOT/data.yaml:1: an empty list; name a folder or a list file")
    let many = Array(repeating: ".", count: 1001).joined(separator: ", ")
    #expect(
      failure { _ = try load("train: [\(many)]\nnames: [x]") }
        == "ROOT/data.yaml:1: a list of 1001 names is too long: use up to 1000 folders, or a list file of images")
  }

  /// YOLOv5's own files say `path: ../datasets/x` from `data/x.yaml`, and mean the folder of its scripts.
  @Test func aRootIsFoundFromTheFolderAboveToo() throws {
    try folder.addImage("datasets/x/images/a.png")
    let description = try load(
      "path: ../datasets/x\r\ntrain: images\r\nval: [images, ./images/]\r\nnames:\r\n  0: '1'\r\n  1: 2\r\n"
        + "download: |\r\n  import os\r\n", "yolov5/data/x.yaml")
    #expect(try images(description) == ["datasets/x/images/a.png"])
    #expect(description.classNames == ["1", "2"])
  }

  @Test func backslashesAreReadAsSlashesWhereNothingHasThem() throws {
    try folder.addImage("set/images/a.png")
    try folder.write("images\\a.png\r\n.\\images\\b.png\r\n", "set/list.txt")
    try folder.addImage("set/images/b.png")
    #expect(try images(load("path: .\\set\ntrain: list.txt\nnames: [x]")) == ["set/images/a.png", "set/images/b.png"])
    #expect(try images(load("train: ..\\set\\images\nnames: [x]")) == ["set/images/a.png", "set/images/b.png"])
    try folder.addImage("set\\images/c.png")
    #expect(try images(load("train: set\\images\nnames: [x]")) == ["set\\images/c.png"])
  }

  /// Behind a link, `..` is the folder above the link's target.
  @Test func aLinkLeadsWhereTheSystemSays() throws {
    try folder.addImage("store/pets/images/a.png")
    try folder.addImage("store/images/b.png")
    try folder.link("pets", to: "store/pets")
    #expect(try images(load("path: pets\ntrain: ../images\nnames: [x]")) == ["store/images/b.png"])
    #expect(try images(load("train: pets/images\nnames: [x]")) == ["pets/images/a.png"])
  }

  @Test func namesCountedFromOneAndTextOfOtherEncodingsAreSaid() throws {
    try folder.addImage("images/a.png")
    func names(_ text: String) -> String { failure { _ = try load("train: images\nnames: \(text)") } }
    #expect(
      names("{1: disc, 2: bar}") == "ROOT/data.yaml:2: class ‘0’ has no name: names are counted from 1; number the 2 "
        + "names from 0 to 1, as the label files do")
    #expect(
      names("{0: disc, 2: bar}")
        == "ROOT/data.yaml:2: class ‘1’ has no name: number the 2 names from 0 to 1, as the label files do")
    #expect(names("\n\t- disc\n\t- bar") == "ROOT/data.yaml:3: begins with a tab; indent with blanks in YAML")
    #expect(names("\n  0: disc\n \t1: bar") == "ROOT/data.yaml:4: begins with a tab; indent with blanks in YAML")
    let refusal = "ROOT/data.yaml: written in UTF-16, or no text at all; save it as UTF-8"
    let yaml = "train: images\nnames: [x]\n"
    for bytes in [[0xFF, 0xFE] + utf16(yaml), Array(utf16(yaml).reversed())] {
      try folder.write(bytes, "data.yaml")
      #expect(failure { _ = try DatasetDescription.load(folder.path + "/data.yaml") } == refusal)
    }
    #expect(try load("\u{feff}" + yaml).classNames == ["x"])
  }

  // MARK: - Labels

  @Test func byteOrderMarksAreReadAndUTF16IsSaid() throws {
    for name in ["a", "b", "c", "d"] { try folder.addImage("images/\(name).png") }
    try folder.write("\u{feff}" + row, "labels/a.txt")
    try folder.write("\u{feff}\(row)\u{feff}1 0.5 0.5 0.25 0.25\n", "labels/b.txt")
    try folder.write([0xFF, 0xFE] + utf16(row), "labels/c.txt")
    try folder.write(utf16(row), "labels/d.txt")
    let contents = try load("train: images\nnames: [x, y]").contents(of: .train)
    #expect(contents.images.map(\.labels.count) == [1, 2])
    let why = contents.leftOut.map { $0.reason.message.replacingOccurrences(of: folder.path, with: "ROOT") }
    #expect(why == ["c", "d"].map { "ROOT/labels/\($0).txt: written in UTF-16, or no text at all; save it as UTF-8" })
  }

  @Test func coordinatesOutsideTheImageAreNamedWithTheirLine() throws {
    for (row, why) in [
      ("0 -0.01 0.5 0.2 0.2", "-0.01 lies outside [0, 1]; coordinates are fractions of the image"),
      ("0 0.5 0.5 0.2 1.01", "1.01 lies outside [0, 1]; coordinates are fractions of the image"),
      ("0 0.1 0.1 -0.2 0.1 0.2 0.2", "-0.2 lies outside [0, 1]; coordinates are fractions of the image"),
      ("0 320 240 64 48", "320 lies outside [0, 1]; coordinates are fractions of the image"),
    ] {
      let message = failure { _ = try LabelFile.parse(Array("0 0.5 0.5 1 1\n\n\(row)".utf8), file: "f", classCount: 1) }
      #expect(message == "f:3: \(why)")
    }
  }

  /// Only "no such file" means background: whatever else keeps a label file from being read might hide boxes.
  @Test func whatCannotBeReadIsNoBackground() throws {
    for name in ["background", "folder", "good", "link", "pipe"] { try folder.addImage("images/\(name).png") }
    for name in ["through", "inside"] { try folder.addImage("images/\(name)/a.png") }
    try folder.write(row, "labels/good.txt")
    try folder.link("labels/link.txt", to: "../annex/link.txt")
    try folder.write("", "labels/folder.txt/x")
    #expect(unsafe mkfifo(folder.path + "/labels/pipe.txt", 0o600) == 0)
    try folder.link("labels/through", to: "../annex/labels")
    try folder.write("a file where a folder is expected", "labels/inside")
    let contents = try load("train: images\nnames: [x]").contents(of: .train)
    #expect(contents.images.map { lastName(of: $0.path) } == ["background.png", "good.png"])
    let why = contents.leftOut.map { $0.reason.message.replacingOccurrences(of: folder.path, with: "ROOT") }
    #expect(
      why == [
        "ROOT/labels/folder.txt: a folder, device or pipe instead of a label file",
        "ROOT/labels/inside/a.txt: cannot be read: a file stands where a folder should be",
        "ROOT/labels/link.txt: cannot be read: it is a link that leads nowhere; fetch what it stands for",
        "ROOT/labels/pipe.txt: a folder, device or pipe instead of a label file",
        "ROOT/labels/through/a.txt: cannot be read: ROOT/labels/through is a link that leads nowhere; fetch what it "
          + "stands for",
      ])
  }

  @Test func trainingWithoutABoxIsRefused() throws {
    for name in ["train", "val"] {
      try folder.addImage("\(name)/images/a.png")
      try folder.write(row, "\(name)/labels/a.txt")
    }
    let description = try load("train: train/images\nval: val/images\nnames: [x]")
    _ = try description.trainingContents()
    func refusal() -> String { failure { _ = try description.trainingContents() } }
    for (content, why) in [
      (nil, "there is no box: the labels of ROOT/val/images/a.png were looked for in ROOT/val/labels/a.txt"),
      ("", "there is no box: the labels of ROOT/val/images/a.png were looked for in ROOT/val/labels/a.txt"),
      (
        "0 0.5 0.5 0.2 0\n0 0.5 0.5 0 0.2\n",
        "none of the 2 boxes has a width and a height (the first file is ROOT/val/labels/a.txt)"
      ),
    ] {
      try FileManager.default.removeItem(atPath: folder.path + "/val/labels/a.txt")
      if let content { try folder.write(content, "val/labels/a.txt") } else { #expect(refusal().hasSuffix(why)) }
      #expect(refusal() == "ROOT/data.yaml: split ‘val’: \(why)")
      #expect(try description.contents(of: .val).remarks(on: .val).count == 1)
      try folder.write("", "val/labels/a.txt")
    }
    // The only image with a box is left out.
    try folder.write("0 0.5 0.5 2 2\n", "val/labels/a.txt")
    try folder.addImage("val/images/b.png")
    #expect(
      refusal()
        == "ROOT/data.yaml: split ‘val’: there is no box: the labels of ROOT/val/images/b.png were looked for in "
        + "ROOT/val/labels/b.txt; 1 of 2 images are left out, the first because of ROOT/val/labels/a.txt:1: 2 lies "
        + "outside [0, 1]; coordinates are fractions of the image")
    // Some flat boxes are said, and harm nobody.
    try folder.write("0 0.5 0.5 0.2 0\n\(row)", "val/labels/a.txt")
    let remark = try #require(description.trainingContents()[.val]?.remarks(on: .val).first)
    #expect(remark.hasPrefix("val: 1 of 2 boxes have no width or no height"))
  }

  // MARK: - Names

  @Test func aFileNamedTwiceCountsOnce() throws {
    for name in ["a", "b"] {
      try folder.addImage("images/train/\(name).png", width: 20)
      try folder.write(row, "labels/train/\(name).txt")
    }
    try folder.link("again", to: "images/train")
    try folder.link("images/train/loop", to: ".")
    try folder.link("images/train/soft.png", to: "a.png")
    try folder.write(row, "labels/train/soft.txt")
    for (name, target) in [("hard", "b"), ("odd", "a")] {
      let (file, other) = ("\(folder.path)/images/train/\(target).png", "\(folder.path)/images/train/\(name).png")
      #expect(unsafe link(file, other) == 0)
    }
    try folder.write("0 0.5 0.5 0.25 0.25\n", "labels/train/odd.txt")
    try folder.write("./images/train/a.png\n./images/train/a.png\nimages/../images/train/b.png\n", "list.txt")
    for (sources, repeated) in [
      ("images/train", 2), ("[images/train, images/train]", 7), ("[images, images/train]", 7), ("list.txt", 1),
      ("[images/train/a.png, list.txt]", 2), ("[images/train, again]", 7),
    ] {
      let contents = try load("train: \(sources)\nnames: [x]").contents(of: .train)
      #expect(
        contents.images.map { String($0.path.dropFirst(folder.path.count)) } == [
          "/images/train/a.png", "/images/train/b.png",
        ])
      #expect(contents.images.map(\.labels.count) == [1, 1], "\(sources)")
      #expect(contents.repeatedNames == repeated, "\(sources)")
      let conflicts = contents.leftOut.map { $0.reason.message.replacingOccurrences(of: folder.path, with: "") }
      let conflict = "/images/train/odd.png: the same file as /images/train/a.png, with other labels; keep one"
      #expect(conflicts == (sources.contains("list") ? [] : [conflict]), "\(sources)")
    }
  }

  @Test func namesAreBytes() throws {
    let (composed, decomposed) = ("caf\u{e9}.png", "cafe\u{301}.png")
    try folder.addImage("images/\(composed)", width: 20)
    try folder.addImage("images/\(decomposed)", width: 30)
    try folder.addImage("images/sub/\u{301}x.png", width: 40)
    try folder.write(row, "labels/caf\u{e9}.txt")
    try folder.write(row + "1 0.5 0.5 0.25 0.25\n", "labels/cafe\u{301}.txt")
    try folder.write(row, "labels/sub/\u{301}x.txt")
    // Latin-1, as old archives have it.
    let pixel = try PNG.encode(Image(width: 50, height: 12))
    try folder.write(pixel, folder: "images", rawName: Array("caf".utf8) + [0xE9] + Array(".png".utf8))
    try folder.write(Array(row.utf8), folder: "labels", rawName: Array("caf".utf8) + [0xE9] + Array(".txt".utf8))

    let description = try load("train: images\nnames: [x, y]")
    let contents = try description.contents(of: .train)
    #expect(contents.leftOut.isEmpty && contents.repeatedNames == 0)
    #expect(contents.images.map(\.width) == [50, 30, 20, 40])
    #expect(contents.images.map(\.labels.count) == [1, 2, 1, 1])
    #expect(lastName(of: contents.images[0].path) == "caf\\xE9.png")
    #expect(try ImageFile.read(contents.images[0].path).width == 50)
    #expect(try ImageSearch.images(folder.path + "/images").count == 3)
    #expect(try ImageSearch.images([folder.path + "/images", folder.path + "/images/*"]).count == 3)

    try DatasetPack.write([.train: contents], classNames: description.classNames, to: folder.path + "/a.tar")
    let unpacked = try DatasetPack.unpack(folder.path + "/a.tar", into: folder.path + "/unpacked")
    #expect(try unpacked.contents(of: .train).images.map(\.width) == [50, 30, 20, 40])
    #expect(try unpacked.contents(of: .train).images.map(\.labels.count) == [1, 2, 1, 1])

    var list = Array("images/".utf8) + Array("caf".utf8) + [0xE9] + Array(".png\nimages/\(composed)\n".utf8)
    list += Array("images/\(decomposed)\nimages/lost.mp4\n# a comment\n".utf8)
    try folder.write(list, "list.txt")
    let listed = try load("train: list.txt\nnames: [x, y]").contents(of: .train)
    #expect(listed.images.map(\.width) == [50, 30, 20])
    #expect(
      listed.leftOut.map { $0.reason.message.replacingOccurrences(of: folder.path, with: "ROOT") }
        == ["ROOT/list.txt:4: ‘images/lost.mp4’ does not end like an image's name"])
  }

  @Test func linksThatLeadNowhereAndPipesAreNotOverlooked() throws {
    try folder.addImage("images/a.png")
    try folder.link("images/b.png", to: "../annex/b.png")
    try folder.link("images/more", to: "../annex/more")
    #expect(unsafe mkfifo(folder.path + "/images/pipe.png", 0o600) == 0)
    let contents = try load("train: images\nnames: [x]").contents(of: .train)
    #expect(contents.images.count == 1)
    #expect(contents.leftOut.map { lastName(of: $0.path) } == ["b.png", "more", "pipe.png"])
    let remark = try #require(contents.remarks(on: .train).first)
    #expect(remark.hasPrefix("train: 3 of 4 images are left out: b.png, more, pipe.png ("))
  }
}
