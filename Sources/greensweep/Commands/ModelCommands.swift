import Pipeline
import Wording
import Zoo

extension Command {
  static let modelInfo = Command(
    name: "model info", summary: "parameters, GFLOPs and layers of a network or a model file", positionals: ["MODEL"],
    optionalPositionals: 1, options: [.modelYAML, .width, .depth, .classCount, .imageSize, .json],
    discussion: """
      MODEL is a file with weights, a YOLOv5 model file (.yaml, as with --cfg) or one of:
      \(Zoo.names.joined(separator: ", ")).
      """
  ) { arguments in
    let info = try modelInfo(arguments)
    if arguments.has("--json") { return printJSON(info) }
    let rows = info.table.map { layer in
      let outputs = layer.outputs.map { $0.map(String.init).joined(separator: "×") }.joined(separator: " ")
      return [layer.path, layer.type, "\(layer.parameters)", outputs]
    }
    printLine(textTable([["layer", "type", "parameters", "output"]] + rows, rightAligned: [2]))
    printLine(
      """

      \(info.model.oneLine), \(counted(info.classes, "class")): \
      \(info.parameters) parameters (\(info.parametersFused) fused), \
      \(info.gflops.shown(2)) GFLOPs at \(info.imageSize) (\(info.gflopsFused.shown(2)) fused), \
      \(info.layers) layers (\(info.layersFused) fused), \(info.sizeMegabytes.shown(2)) MB in half precision
      """)
  }

  private static func modelInfo(_ arguments: Arguments) throws -> ModelInfo {
    let imageSize = try arguments.imageSize()
    let model = arguments.positionals.first
    guard (model == nil) == arguments.has("--cfg") else {
      throw UsageError("model info: give either MODEL or --cfg MODEL.yaml")
    }
    guard let model, model.isWeightsFile else {
      return try Pipeline.modelInfo(
        arguments.architecture(model ?? ""), classCount: arguments.has("--nc") ? arguments.classCount() : nil,
        imageSize: imageSize)
    }
    try arguments.refuse(["--width", "--depth", "--nc"], because: "\(model) is a file with weights")
    return try Pipeline.modelInfo(model, imageSize: imageSize)
  }
}
