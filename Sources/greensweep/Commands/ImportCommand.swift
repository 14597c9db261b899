import Pipeline
import Wording

extension Command {
  static let importModel = Command(
    name: "import", summary: "write a model file from YOLOv5's weights or a network's name", positionals: ["MODEL"],
    options: [
      Option("--output", "FILE", aliases: ["-o"], help: "the model file (default: model.safetensors)"),
      Option("--data", "DATA.yaml", help: "names of the classes, where the weights have none"),
      Option("--half", help: "in half precision, as YOLOv5 saves its final models"),
      Option("--nc", "N", help: "number of classes of a named network (default: 80)"), .json,
    ],
    discussion: """
      MODEL is a .pt file of YOLOv5's (read without running its pickle), a safetensors file with a state_dict, or a
      network's name, which gives the weights that training begins with.
      """
  ) { arguments in
    if arguments.positionals[0].isWeightsFile {
      try arguments.refuse(["--nc"], because: "MODEL is a file with weights")
    }
    let output = arguments.string("--output") ?? "model.safetensors"
    let info = try Pipeline.importModel(
      ImportRequest(
        model: arguments.positionals[0], classCount: try arguments.classCount(), dataset: arguments.string("--data"),
        output: output, isHalfPrecision: arguments.has("--half")))
    if arguments.has("--json") { return printJSON(info) }
    printLine("\(output): \(info.model), \(info.classes) classes, \(info.parameters) parameters".oneLine)
  }
}
