import Interchange
import Pipeline
import Wording

extension Command {
  static let export = Command(
    name: "export", summary: "write a model as ONNX, for other runtimes", positionals: ["MODEL"],
    options: [
      Option("--output", "FILE", aliases: ["-o"], help: "the ONNX file (default: model.onnx)"), .imageSize,
      Option("--batch", "B", help: "images a pass (default: 1)"),
      Option("--dynamic-batch", excludes: ["--batch"], help: "as many images a pass as are handed in"),
      Option("--raw-head", help: "the head's raw maps instead of boxes in pixels and scores"),
      Option("--opset", "N", help: "version of ONNX's operators, 13 to 20 (default: 13)"),
      Option(
        "--sample", "FILE", help: "an input and the outputs it has here, in safetensors, to try other runtimes on"),
      .threads.needing(["--sample"]), .backend.needing(["--sample"]), .json,
    ],
    discussion: """
      Input 'images' is N×3×H×W, RGB in [0, 1]. Output 'output' is N×boxes×(5 + classes) as YOLOv5 exports it; with
      --raw-head, 'head0' … are the levels' logits, N×anchors×H×W×(5 + classes).
      """
  ) { arguments in
    let size = try arguments.imageSize()
    let options = ONNXModel.Options(
      imageHeight: size, imageWidth: size,
      batch: arguments.has("--dynamic-batch") ? .dynamic : .fixed(try arguments.batchSize(default: 1)),
      head: arguments.has("--raw-head") ? .raw : .decoded,
      opset: try arguments.int("--opset", in: ONNXModel.Options.opsets) ?? 13)
    let report = try Pipeline.export(
      ExportRequest(
        model: arguments.positionals[0], output: arguments.string("--output") ?? "model.onnx", options: options,
        sample: arguments.string("--sample"), machine: try arguments.machine()))
    if arguments.has("--json") { return printJSON(report) }
    printLine(
      """
      \(report.output): \(report.model), \(report.classes) classes, batch \(report.batch.map(String.init) ?? "any"), \
      \(report.imageSize) × \(report.imageSize) pixels, opset \(report.opset), \(report.sizeMegabytes.shown(2)) MB
      """)
  }
}
