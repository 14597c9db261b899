@testable import Dataset
import Foundation
import Geometry
import Testing

@Suite("data.yaml and label files") struct DatasetDescriptionTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func addImage(_ name: String, width: Int = 16, height: Int = 12) throws {
    try folder.addImage(name, width: width, height: height)
  }

  private func load(_ yaml: String) throws -> DatasetDescription {
    try folder.write(yaml, "data.yaml")
    return try DatasetDescription.load(folder.path + "/data.yaml")
  }

  private func failure(_ yaml: String) -> String {
    do {
      return "no error, but \(try load(yaml))"
    } catch {
      return "\(error)".replacingOccurrences(of: folder.path, with: "ROOT")
    }
  }

  @Test func namesAreAListOrAMap() throws {
    try addImage("images/a.png")
    for names in ["[cat, dog]", "{0: cat, 1: dog}", "{1: dog, 0: cat}"] {
      #expect(try load("train: images\nnames: \(names)").classNames == ["cat", "dog"])
    }
    #expect(try load("train: images\nnc: 2").classNames == ["class0", "class1"])
  }

  @Test func mistakesAreNamedWithTheirLine() throws {
    try addImage("images/a.png")
    #expect(failure("train: images\nnc: 3\nnames: [a, b]") == "ROOT/data.yaml:2: nc is 3, but there are 2 class names")
    #expect(failure("train: images\nnames: {0: a, 2: b}").hasPrefix("ROOT/data.yaml:2: "))
    #expect(failure("train: images\nnames: []") == "ROOT/data.yaml:2: there has to be at least one class name")
    #expect(failure("names: [a]") == "ROOT/data.yaml: neither ‘train’ nor ‘val’ says where the images are")
    #expect(
      failure("names: [a]\nval: nowhere") == "ROOT/data.yaml:2: ‘nowhere’ is not there; looked for ROOT/nowhere")
    #expect(failure("train: images") == "ROOT/data.yaml:1: ‘names’ is missing")
  }

  @Test func foldersAndListFilesAreFoundUnderThePathOrBesideTheFile() throws {
    try addImage("set/images/b.png")
    try addImage("set/images/sub/a.png")
    try addImage("images/c.png")
    try folder.write("./images/b.png\n\nimages/c.png\nREADME.md\n", "set/list.txt")
    let description = try load(
      "path: set\ntrain: images\nval: [../images, images/sub]\ntest: list.txt\nnames: [x]")
    func found(_ split: DatasetDescription.Split) throws -> [String] {
      try description.contents(of: split).images.map { String($0.path.dropFirst(folder.path.count + 1)) }
    }
    #expect(try found(.train) == ["set/images/b.png", "set/images/sub/a.png"])
    #expect(try found(.val) == ["images/c.png", "set/images/sub/a.png"])
    #expect(try found(.test) == ["images/c.png", "set/images/b.png"])
    // YOLOv5's own layout says `../images` for what lies beside the file.
    #expect(try load("train: ../images\nnames: [x]").sources[.train] == [folder.path + "/images"])
  }

  @Test func theLastImagesFolderBecomesLabels() {
    #expect(LabelFile.path(ofImage: "/images/a/images/b.x.jpg") == "/images/a/labels/b.x.txt")
    #expect(LabelFile.path(ofImage: "/a/b.jpg") == "/a/b.txt")
  }

  @Test func labelsAreReadAndBackgroundIsAccepted() throws {
    for name in ["a", "b", "c"] { try addImage("images/\(name).png") }
    try folder.write("1 0.5 0.25 0.5 0.125\n0 .1 .2 .3 .4\r\n1 0.5 0.25 0.5 0.125\n", "labels/a.txt")
    try folder.write("\n", "labels/b.txt")
    let contents = try load("train: images\nnames: [x, y]").contents(of: .train)
    #expect(
      contents.images[0].labels == [
        Label(classIndex: 1, cx: 0.5, cy: 0.25, w: 0.5, h: 0.125),
        Label(classIndex: 0, cx: 0.1, cy: 0.2, w: 0.3, h: 0.4),
      ])
    #expect(contents.duplicateRows == 1)
    #expect(contents.backgroundCount == 2)
    #expect(contents.boxCounts(classCount: 2) == [1, 1])
    #expect(contents.leftOut.isEmpty && contents.remarks(on: .train).isEmpty)
    #expect(contents.images[0].width == 16 && contents.images[0].height == 12)
  }

  @Test func outlinesBecomeBoxes() throws {
    let contents = try LabelFile.parse("2 0.25 0.5 0.75 0.5 0.5 1\n", file: "f", classCount: 3)
    #expect(contents.labels == [Label(classIndex: 2, cx: 0.5, cy: 0.75, w: 0.5, h: 0.5)])
    // However many points it has, whatever ends the lines.
    let long = "0" + String(repeating: " 0.25\t0.5", count: 10_000) + " 1 0"
    let lines = try LabelFile.parse("\r\n\(long)\r\n0 0.5 0.5 0.5 0.5", file: "f", classCount: 1).labels
    #expect(lines.map(\.box.cx) == [0.625, 0.5])
    #expect(lines.map(\.box.h) == [0.5, 0.5])
    let error = #expect(throws: DatasetError.self) {
      try LabelFile.parse("\r\n\(long) 0.5\r\n", file: "f", classCount: 1)
    }
    #expect(error.map { "\($0)".contains("f:2: 20004 columns") } == true)
  }

  @Test func damagedLabelsLeaveTheImageOutAndAreReported() throws {
    let rows = [
      "a": "0 0.5 0.5 0.5", "b": "0 0.5 0.5 1.5 0.5", "c": "0 0.5 x 0.5 0.5", "d": "0.5 0.5 0.5 0.5 0.5",
      "e": "-1 0.5 0.5 0.5 0.5", "f": "0 nan 0.5 0.5 0.5", "g": "0 0.5 0.5 0.5 0.5",
    ]
    for (name, row) in rows {
      try addImage("images/\(name).png")
      try folder.write("0 0.5 0.5 0.5 0.5\n\(row)\n", "labels/\(name).txt")
    }
    let contents = try load("train: images\nnames: [x]").contents(of: .train)
    #expect(contents.images.map(\.path) == [folder.path + "/images/g.png"])
    #expect(contents.leftOut.map(\.path) == ["a", "b", "c", "d", "e", "f"].map { "\(folder.path)/images/\($0).png" })
    for (image, name) in zip(contents.leftOut, ["a", "b", "c", "d", "e", "f"]) {
      #expect(image.reason.message.hasPrefix("\(folder.path)/labels/\(name).txt:2: "))
    }
    let remark = try #require(contents.remarks(on: .train).first)
    #expect(remark.hasPrefix("train: 6 of 7 images are left out: a.png, b.png, c.png … (/"))
    #expect(
      remark.hasSuffix("/labels/a.txt:2: 4 columns; a row is ‘class cx cy w h’, or a class and the outline's points)"))
  }

  @Test func aClassWithoutANameIsAnError() throws {
    try addImage("images/a.png")
    try folder.write("2 0.5 0.5 0.5 0.5\n", "labels/a.txt")
    let description = try load("train: images\nnames: [x, y]")
    let error = #expect(throws: DatasetError.self) { try description.contents(of: .train) }
    #expect(error?.message.hasPrefix("\(folder.path)/labels/a.txt:1: class 2") == true)
  }

  @Test func damagedImagesAreReportedAndAnEmptySplitIsAnError() throws {
    try addImage("images/good.png")
    try addImage("images/tiny.png", width: 9, height: 20)
    try folder.write("no image", "images/bad.jpg")
    try folder.write("BM", "images/other.bmp")
    let contents = try load("train: images\nnames: [x]").contents(of: .train)
    #expect(contents.images.count == 1)
    #expect(contents.leftOut.map { URL(filePath: $0.path).lastPathComponent } == ["bad.jpg", "other.bmp", "tiny.png"])
    try folder.write("text", "empty/readme.md")
    let description = try load("train: empty\nnames: [x]")
    #expect(throws: DatasetError.self) { try description.contents(of: .train) }
    #expect(throws: DatasetError.self) { try description.contents(of: .val) }
  }
}
