import Dataset
import Foundation
import Geometry
import Pipeline
import Platform
import Sweep
import Wording

extension Command {
  static let initSweep = Command(
    name: "init", summary: "write a sweep file that suits a data set and this machine", positionals: ["DATA.yaml"],
    options: [
      Option("--output", "FILE", aliases: ["-o"], help: "(default: sweep.yaml)"),
      Option("--budget", "TIME", help: "how long the sweep may take, such as 45m, 2h or 1d (default: what is usual)"),
      Option("--force", help: "write over a FILE that is there"), .workers, .workerThreads, .allowDamaged, .backend,
    ],
    discussion: """
      Looks at the pictures and boxes, times training steps here, and asks nothing. Weights called yolov5n.pt (or
      .safetensors) or yolov5s.pt beside DATA.yaml or FILE are used. 'greensweep run FILE' is the next command, with
      the same --workers and --threads; 'greensweep plan FILE' tells what it will do.
      """
  ) { arguments in
    let output = arguments.string("--output") ?? "sweep.yaml"
    let budget = try arguments.duration("--budget")
    guard arguments.has("--force") || !FileManager.default.fileExists(atPath: output) else {
      throw WorkError("\(output): is there already; give --force to write over it, or another --output")
    }
    let description = try DatasetDescription.load(arguments.positionals[0])
    try refuseOverwriting([output], ofInputs: description.files())
    let contents = try description.sweepContents(allowsDamaged: arguments.has("--allow-damaged"))
    let usual = SweepDraft(of: description, contents, for: output)
    let (workers, machine) = try arguments.localWorkers()

    func preparation(_ draft: SweepDraft, duration: String = "?") throws -> SweepPreparation {
      let spec = try SweepSpec(text: draft.text(duration: duration), file: output)
      return try SweepPreparation(spec, file: output, of: description, contents)
    }
    let first = try preparation(usual)
    for remark in first.remarks { printError(remark.oneLine) }
    let estimate = try SweepEstimate(first, first.tree(), machine: machine, workers: workers)
    func seconds(_ draft: SweepDraft) throws -> Double {
      let tree = try preparation(draft).tree()
      return estimate.forecast(tree).seconds
    }
    var draft = usual
    if let budget {
      let (fitting, least) = try usual.fitting(budgetSeconds: budget, seconds: seconds)
      guard let fitting else {
        throw WorkError(
          """
          a budget of \(budget.shownAsDuration) is too small: the least that makes sense, \(least.backbones[0]) with \
          \(least.steps) steps and one ratio, takes about \(try seconds(least).shownAsDuration) here; give more time, \
          or run a file of your own
          """)
      }
      draft = fitting
    }
    let needed = try seconds(draft)
    _ = try preparation(draft, duration: needed.shownAsDuration)
    try Data(draft.text(duration: needed.shownAsDuration).utf8).write(to: URL(filePath: output), options: .atomic)
    printLine(
      """
      \(output): \(draft.backbones.joined(separator: ", ")) at \(draft.imageSize) pixels, \
      \(counted(draft.backbones.count * draft.pruneRatios.count, "trial")) of \(draft.steps) steps, about \
      \(needed.shownAsDuration) on this machine
      next: greensweep run \(output)
      """)
  }
}

extension SweepDraft {
  /// The draft for a data set.
  /// - Parameter output: the sweep file, from whose folder its paths start.
  init(
    of description: DatasetDescription, _ contents: [DatasetDescription.Split: DatasetContents], for output: String
  ) {
    let training = contents[.train]?.images ?? []
    let longSides = training.map { max($0.width, $0.height) }.sorted()
    var boxes: [Int: [Double]] = [:]
    for image in training {
      for label in image.labels where label.hasArea {
        let (width, height) = (Double(label.box.w) * Double(image.width), Double(label.box.h) * Double(image.height))
        boxes[label.classIndex, default: []].append(
          (width * height).squareRoot() / Double(max(image.width, image.height)))
      }
    }
    // A class of a few boxes decides about nothing.
    let common = boxes.values.filter { $0.count >= 10 }
    let quartiles = (common.isEmpty ? Array(boxes.values) : common).map { $0.sorted()[$0.count / 4] }
    let facts = Facts(
      trainingImages: training.count, validationImages: contents[.val]?.images.count ?? 0,
      classes: description.classCount, boxes: boxes.values.reduce(0) { $0 + $1.count },
      longSide: longSides.isEmpty ? 0 : longSides[longSides.count / 2],
      smallBox: quartiles.min() ?? 0)
    let folder = URL(filePath: output).absoluteURL.deletingLastPathComponent().standardized
    let data = URL(filePath: description.file).absoluteURL.standardized
    let dataFolder = data.deletingLastPathComponent()
    func written(_ file: URL) -> String {
      let base = folder.path.hasSuffix("/") ? folder.path : folder.path + "/"
      return file.path.hasPrefix(base) ? String(file.path.dropFirst(base.count)) : file.path
    }
    var weights: [String: String] = [:]
    for backbone in ["yolov5n", "yolov5s"] {
      let files = [dataFolder, folder].flatMap { folder in
        ["pt", "safetensors"].map { folder.appending(path: "\(backbone).\($0)") }
      }
      weights[backbone] = files.first { FileManager.default.fileExists(atPath: $0.path) }.map(written)
    }
    self.init(
      name: dataFolder.lastPathComponent, dataset: written(data), facts: facts, weights: weights,
      objectives: [.map50, .sizeMB, .latencyMS, .energyJ].filter(MeasurableMetrics.here.contains).map {
        Objective($0.naturalDirection, $0)
      })
    remarks = DatasetDescription.Split.allCases.flatMap { contents[$0]?.remarks(on: $0) ?? [] }
  }
}
