import Pipeline
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
    if arguments.has("--json") { return try printJSON(info) }
    let rows = info.table.map { layer in
      let outputs = layer.outputs.map { $0.map(String.init).joined(separator: "×") }.joined(separator: " ")
      return [layer.path, layer.type, "\(layer.parameters)", outputs]
    }
    print(textTable([["layer", "type", "parameters", "output"]] + rows, rightAligned: [2]))
    print(
      """

      \(info.model), \(info.classes) classes: \(info.parameters) parameters (\(info.parametersFused) fused), \
      \(info.gflops.shown(2)) GFLOPs at \(info.imageSize) (\(info.gflopsFused.shown(2)) fused), \
      \(info.layers) layers (\(info.layersFused) fused), \(info.sizeMegabytes.shown(2)) MB in half precision
      """)
  }

  private static func modelInfo(_ arguments: Arguments) throws -> ModelInfo {
    let imageSize = try arguments.imageSize()
    guard let model = arguments.positionals.first else {
      guard arguments.has("--cfg") else { throw UsageError("model info: give MODEL or --cfg MODEL.yaml") }
      return try info(try arguments.architecture(family: ""))
    }
    if arguments.has("--cfg") { throw UsageError("model info: give MODEL or --cfg, not both") }
    if model.hasSuffix(".yaml") || model.hasSuffix(".yml") {
      var architecture = try arguments.architecture(family: "")
      architecture.source = .modelFile(model)
      return try info(architecture)
    }
    if Zoo.names.contains(model) { return try info(try arguments.architecture(family: model)) }
    if arguments.has("--width") || arguments.has("--depth") {
      throw UsageError("model info: --width and --depth go with a named network or a model YAML, not with \(model)")
    }
    return try Pipeline.modelInfo(model, classCount: arguments.classCount(), imageSize: imageSize)

    func info(_ architecture: Architecture) throws -> ModelInfo {
      try Pipeline.modelInfo(
        architecture, classCount: arguments.has("--nc") ? arguments.classCount() : nil, imageSize: imageSize)
    }
  }
}
