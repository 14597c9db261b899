import Pipeline
import Zoo

extension Command {
  static let modelInfo = Command(
    name: "model info", summary: "parameters, GFLOPs and layers of a network or a model file", positionals: ["MODEL"],
    options: [.classCount, .imageSize, .json],
    discussion: "MODEL is a model file or one of: \(Zoo.names.joined(separator: ", "))."
  ) { arguments in
    let info = try Pipeline.modelInfo(
      arguments.positionals[0], classCount: arguments.classCount(), imageSize: arguments.imageSize())
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
}
