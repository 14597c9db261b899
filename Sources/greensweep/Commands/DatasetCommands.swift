import Dataset
import Wording

extension Command {
  static let datasetInfo = Command(
    name: "dataset info", summary: "count a data set's images and boxes, and check every label",
    positionals: ["DATA.yaml"], options: [.json],
    discussion: """
      The labels of images/a.jpg are looked for in labels/a.txt, and beside the image if no folder is called images. An
      image without such a file is background; one of which the image or the label file cannot be read is left out, and
      named. A file that lists, folders or links name several times counts once.
      """
  ) { arguments in
    let line = LiveLine()
    defer { line.clear() }
    let info = try DatasetInfo(
      DatasetDescription.load(arguments.positionals[0]), checking: .ofUser(allowsDamaged: true, line))
    line.clear()
    if arguments.has("--json") { return printJSON(info) }
    let header = ["split", "images", "background", "boxes"] + info.classes
    let rows = info.splits.map { split in
      [split.split, "\(split.images)", "\(split.backgrounds)", "\(split.boxes)"] + split.boxesPerClass.map(String.init)
    }
    printLine(textTable([header] + rows, rightAligned: Set(1..<header.count)))
    for problem in info.absent { printLine(problem.oneLine) }
    for split in info.splits {
      if split.duplicateRows > 0 {
        printLine("\(split.split): \(split.duplicateRows) repeated label rows are left out")
      }
      for problem in split.problems + split.readInPart { printLine("\(split.split): \(problem)".oneLine) }
      for remark in split.remarks { printLine(remark) }
    }
  }

  static let datasetSample = Command(
    name: "dataset sample", summary: "write a generated data set that needs learning", positionals: ["DIR"],
    options: [
      Option("--images", "N", help: "training images (default: \(SampleDataset().trainCount))"),
      Option("--val-images", "N", help: "validation images (default: \(SampleDataset().valCount))"),
      Option("--image-size", "S", help: "side in pixels (default: \(SampleDataset().imageSize))"),
      Option("--nc", "N", help: "classes (default: \(SampleDataset().classCount))"),
      Option("--seed", "N", help: "(default: 0)"),
    ]
  ) { arguments in
    var sample = SampleDataset()
    sample.trainCount = try arguments.int("--images", in: 1...100_000) ?? sample.trainCount
    sample.valCount = try arguments.int("--val-images", in: 1...100_000) ?? sample.valCount
    sample.imageSize = try arguments.imageSize(default: sample.imageSize)
    sample.classCount = try arguments.int("--nc", in: 1...SampleDataset.maximumClassCount) ?? sample.classCount
    sample.seed = UInt64(try arguments.int("--seed", in: 0...Int.max) ?? 0)
    let description = try sample.write(to: arguments.positionals[0])
    printLine(
      "\(description): \(sample.trainCount) + \(sample.valCount) images of \(sample.classNames.joined(separator: ", "))"
    )
  }
}

/// The object that `dataset info --json` prints.
private struct DatasetInfo: Encodable {
  struct Split: Encodable {
    var split: String
    var images: Int
    var backgrounds: Int
    var boxes: Int
    var boxesPerClass: [Int]
    var duplicateRows: Int
    var problems: [String]
    /// A line for the images left out, which `problems` lists, and for what else a reader of results must know.
    var remarks: [String]
    var readInPart: [String]

    enum CodingKeys: String, CodingKey {
      case split, images, backgrounds, boxes, problems, remarks
      case readInPart = "read_in_part"
      case boxesPerClass = "boxes_per_class"
      case duplicateRows = "duplicate_rows"
    }
  }

  var classes: [String]
  var splits: [Split]
  /// Why splits that are described are not there.
  var absent: [String]

  init(_ description: DatasetDescription, checking check: ImageCheck) throws {
    classes = description.classNames
    absent = DatasetDescription.Split.allCases.compactMap { description.absent[$0]?.description }
    splits = try DatasetDescription.Split.allCases.filter { description.sources[$0] != nil }.map { split in
      let contents = try description.contents(of: split, checking: check)
      return Split(
        split: split.rawValue, images: contents.images.count, backgrounds: contents.backgroundCount,
        boxes: contents.boxCount, boxesPerClass: contents.boxCounts(classCount: description.classCount),
        duplicateRows: contents.duplicateRows, problems: contents.leftOut.map(\.reason.description),
        remarks: contents.remarks(on: split), readInPart: contents.readInPart.map(\.reason.description))
    }
  }
}
