import Pipeline
import Wording

extension Command {
  static let importModel = Command(
    name: "import", summary: "write a model file from YOLOv5's weights or a network's name", positionals: ["MODEL"],
    options: [
      Option("--output", "FILE", aliases: ["-o"], help: "the model file (default: model.safetensors)"),
      Option("--cfg", "MODEL.yaml", help: "which network the weights are of, unless it is a known one"),
      Option("--data", "DATA.yaml", help: "names of the classes, in place of the weights' own"),
      Option("--half", help: "in half precision, as YOLOv5 saves its final models"),
      Option("--nc", "N", help: "number of classes of a named network (default: 80)"),
      Option("--weights", "FILE", help: "begin a named network with these weights, also of an image classifier"), .json,
    ],
    discussion: """
      MODEL is a .pt file of YOLOv5's (read without running its pickle; of an interrupted training too), a safetensors
      file with a state_dict, or a network's name, which gives the weights that training begins with. Weights of other
      networks, such as YOLOv5's P6, need --cfg with the YOLOv5 model file they were trained from.
      """
  ) { arguments in
    let model = arguments.positionals[0]
    try arguments.requireKnown(model)
    try model.isWeightsFile
      ? arguments.refuse(["--nc", "--weights"], because: "MODEL is a file with weights")
      : arguments.refuse(["--cfg"], because: "MODEL is not a file with weights")
    let output = arguments.string("--output") ?? "model.safetensors"
    let request = ImportRequest(
      model: model, classCount: try arguments.classCount(), weights: arguments.string("--weights"),
      architecture: arguments.has("--cfg") ? try arguments.architecture(model) : nil,
      dataset: arguments.string("--data"), output: output, isHalfPrecision: arguments.has("--half"))
    let info = try Pipeline.importModel(request, onNote: { printError("import: \($0)") })
    if arguments.has("--json") { return printJSON(info) }
    printLine("\(output): \(info.model), \(counted(info.classes, "class")), \(info.parameters) parameters".oneLine)
  }
}
