import Interchange
import Pipeline
import Wording

extension Command {
  static let export = Command(
    name: "export", summary: "write a model as ONNX, for other runtimes", positionals: ["MODEL"],
    options: [
      Option("--output", "FILE", aliases: ["-o"], help: "the ONNX file (default: model.onnx)"),
      Option("--image-size", "S|HxW", help: "side of square images in pixels, or height and width (default: 640)"),
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
      --raw-head, 'head0' … are the levels' logits, N×anchors×H×W×(5 + classes). The file takes images of one size,
      which need not be square: 'greensweep export model.safetensors --image-size 384x640'.
      """
  ) { arguments in
    let size = try imageSize(arguments.string("--image-size") ?? "640")
    let options = ONNXModel.Options(
      imageHeight: size.height, imageWidth: size.width,
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
      \(report.output): \(report.model), \(counted(report.classes, "class")), \
      batch \(report.batch.map(String.init) ?? "any"), \
      \(report.imageHeight) × \(report.imageWidth) pixels (height × width), opset \(report.opset), \
      \(report.sizeMegabytes.shown(2)) MB
      """)
  }

  /// One side, or height and width.
  private static func imageSize(_ text: String) throws -> (height: Int, width: Int) {
    let sides = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    guard (1...2).contains(sides.count), sides.allSatisfy((32...8192).contains) else {
      throw UsageError(
        "--image-size takes a side or HEIGHTxWIDTH such as 384x640, of 32 to 8192 pixels each, not ‘\(text)’")
    }
    return (sides[0], sides[sides.count - 1])
  }
}
