import Pipeline

extension Command {
  static let val = Command(
    name: "val", summary: "measure a model's accuracy on a data set", positionals: ["MODEL", "DATA.yaml"],
    options: [
      Option("--split", "NAME", help: "train, val or test (default: val)"), .imageSize,
      Option("--batch", "B", help: "images a batch (default: 32)"),
      Option("--square", help: "square images instead of batches of like shapes"), .threads, .backend, .json,
    ],
    discussion: "MODEL is a model file, or bare YOLOv5 weights (.safetensors) of a known network."
  ) { arguments in
    let request = EvaluateRequest(
      model: arguments.positionals[0], dataset: arguments.positionals[1],
      split: try arguments.choice("--split", among: ["train", "val", "test"]) ?? "val",
      imageSize: try arguments.imageSize(), batchSize: try arguments.batchSize(default: 32),
      isRectangular: !arguments.has("--square"), machine: try arguments.machine())
    let line = LiveLine()
    let report = try Pipeline.evaluate(request) { done, total in line.show("val: \(done) of \(total) images") }
    line.clear()
    if arguments.has("--json") { return try printJSON(report) }
    let rows = report.perClass.map { item in
      [item.name, "\(item.labels)"] + [item.precision, item.recall, item.map50, item.map50_95].map { $0.shown(4) }
    }
    let all =
      ["all", "\(report.labels)"]
      + [report.precision, report.recall, report.map50, report.map50_95].map { $0.shown(4) }
    print(textTable([["class", "labels", "P", "R", "mAP50", "mAP50-95"], all] + rows, rightAligned: [1, 2, 3, 4, 5]))
  }
}
