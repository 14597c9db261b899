import Dataset
import Evaluation
import Foundation
import Pipeline
import Wording

extension Command {
  static let val = Command(
    name: "val", summary: "measure a model's accuracy on a data set", positionals: ["MODEL", "DATA.yaml"],
    options: [
      Option("--split", "NAME", help: "train, val or test (default: val)"), .imageSize,
      Option("--batch", "B", help: "images a batch (default: 32)"),
      Option("--square", help: "square images instead of batches of like shapes"),
      Option("--coco-metrics", help: "COCO's twelve figures too, as pycocotools computes them"),
      Option(
        "--annotations", "FILE", needs: ["--coco-metrics"],
        help: "take objects, areas and crowds for them from COCO's instances_….json"),
      Option(
        "--output", "DIR", aliases: ["-o"], help: "where confusion matrix, curves and label statistics go, in SVG"),
      Option("--no-plots", help: "do not draw these"),
      Option("--save-json", help: "DIR/predictions.json in COCO's results format (DIR by default: runs/val)"),
      .allowDamaged, .threads, .backend, .precision, .json,
    ],
    discussion: """
      MODEL is a model file, or bare YOLOv5 weights (.safetensors) of a known network. Category ids in predictions.json
      are COCO's if the data set has COCO's 80 classes, else class indices; an image's id is its file's name, as a
      number if it is one. With --annotations both are those of that file.
      """
  ) { arguments in
    if arguments.has("--no-plots"), !arguments.has("--save-json") {
      try arguments.refuse(["--output"], because: "nothing is written; give --save-json, too, or leave out --no-plots")
    }
    let output = arguments.string("--output") ?? (arguments.has("--save-json") ? "runs/val" : nil)
    var request = EvaluateRequest(
      model: arguments.positionals[0], dataset: arguments.positionals[1],
      split: try arguments.choice("--split", among: ["train", "val", "test"]) ?? "val",
      imageSize: try arguments.imageSize(), batchSize: try arguments.batchSize(default: 32),
      isRectangular: !arguments.has("--square"), machine: try arguments.machine(), outputDirectory: output)
    request.isPlotting = !arguments.has("--no-plots")
    request.savesJSON = arguments.has("--save-json")
    request.measuresCOCO = arguments.has("--coco-metrics")
    request.annotations = arguments.string("--annotations")
    let line = LiveLine()
    defer { line.clear() }
    let check = ImageCheck.ofUser(allowsDamaged: arguments.has("--allow-damaged"), line)
    let report = try Pipeline.evaluate(request, checking: check) { done, total in
      line.show("val: \(done) of \(total) images")
    }
    line.clear()
    for remark in report.remarks ?? [] { printError(remark.oneLine) }
    if arguments.has("--json") { return printJSON(report) }
    printLine(table(report))
    if let coco = report.coco { printLine("\n" + table(coco)) }
    for file in report.files ?? [] { printLine(file.oneLine) }
  }

  private static func table(_ report: EvaluationReport) -> String {
    let all =
      ["all", "\(report.labels)"]
      + [report.precision, report.recall, report.f1, report.map50, report.map50_95].map { $0.shown(4) }
    let rows = report.perClass.map { item in
      [item.name, "\(item.labels)"]
        + [item.precision, item.recall, item.f1, item.map50, item.map50_95].map { $0.shown(4) }
    }
    let head = ["class", "labels", "P", "R", "F1", "mAP50", "mAP50-95"]
    let place = "P, R and F1 at confidence \(report.bestConfidence.shown(3)); \(counted(report.images, "image"))"
    return textTable([head, all] + rows, rightAligned: [1, 2, 3, 4, 5, 6]) + "\n" + place
  }

  private static func table(_ coco: COCOSummary) -> String {
    let rows: [(String, String, String, String, Double)] = [
      ("AP", "0.50:0.95", "all", "100", coco.ap), ("AP", "0.50", "all", "100", coco.ap50),
      ("AP", "0.75", "all", "100", coco.ap75), ("AP", "0.50:0.95", "small", "100", coco.apSmall),
      ("AP", "0.50:0.95", "medium", "100", coco.apMedium), ("AP", "0.50:0.95", "large", "100", coco.apLarge),
      ("AR", "0.50:0.95", "all", "1", coco.ar1), ("AR", "0.50:0.95", "all", "10", coco.ar10),
      ("AR", "0.50:0.95", "all", "100", coco.ar100), ("AR", "0.50:0.95", "small", "100", coco.arSmall),
      ("AR", "0.50:0.95", "medium", "100", coco.arMedium), ("AR", "0.50:0.95", "large", "100", coco.arLarge),
    ]
    let cells = rows.map { [$0.0, $0.1, $0.2, $0.3, $0.4 < 0 ? "none" : $0.4.shown(4)] }
    return textTable([["COCO", "IoU", "objects", "detections", "value"]] + cells, rightAligned: [3, 4])
  }
}
