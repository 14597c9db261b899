public import Network

/// The families a sweep can choose from. Names of modules and parameters are those of YOLOv5 and of the study's
/// backbones for it, so that their `state_dict`s fit.
public enum Zoo {
  /// What can be asked for by name, smallest YOLOv5 first.
  public static let names = families.map(\.name)

  /// - Throws: `NetworkError` naming the nearest known name.
  public static func network(named name: String, classCount: Int) throws(NetworkError) -> Network {
    try family(named: name).network(classCount: classCount)
  }

  /// - Throws: `NetworkError` naming the nearest known name.
  static func family(named name: String) throws(NetworkError) -> LayerTable {
    guard let family = families.first(where: { $0.name == name }) else {
      let nearest = names.min { editDistance($0, name) < editDistance($1, name) }!
      throw NetworkError(
        "no network is called \(name); did you mean \(nearest)? Known: \(names.joined(separator: ", "))")
    }
    return family
  }

  /// The network whose `state_dict` has these names and shapes, with the anchors found there: for files that do not say
  /// what they hold, such as YOLOv5's own weights.
  /// - Throws: `NetworkError` when no family has them.
  public static func matching(_ parameters: Parameters) throws(NetworkError) -> Network {
    for family in families {
      // The head's rows say how many classes there are: anchors × (5 + classes).
      let probe = try family.network(classCount: 1)
      let head = "\(probe.nodes[probe.detect.outputs[0]].name).bias"
      guard let rows = parameters[head]?.shape.first, rows % probe.detect.anchors[0].count == 0 else { continue }
      let classCount = rows / probe.detect.anchors[0].count - 5
      guard 1...100_000 ~= classCount else { continue }
      let network = try family.network(classCount: classCount)
      guard (try? network.validated(parameters)) != nil else { continue }
      return try network.adoptingAnchors(of: parameters)
    }
    throw NetworkError("the tensors' names and shapes are those of no known network (\(names.joined(separator: ", ")))")
  }

  private static let families: [LayerTable] = [
    .yolov5("yolov5n", depthMultiple: 0.33, widthMultiple: 0.25),
    .yolov5("yolov5s", depthMultiple: 0.33, widthMultiple: 0.50),
    .yolov5("yolov5m", depthMultiple: 0.67, widthMultiple: 0.75),
    .yolov5("yolov5l", depthMultiple: 1.0, widthMultiple: 1.0),
    .yolov5("yolov5x", depthMultiple: 1.33, widthMultiple: 1.25),
    .mobileNetV1, .mobileNetV2, .mobileNetV3Small, .mobileNetV3Large, .shuffleNetV1, .shuffleNetV2, .ghostNet,
  ]
}

/// Levenshtein's distance: single-character edits between two words.
private func editDistance(_ a: String, _ b: String) -> Int {
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let substituted = diagonal + (x == y ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(substituted, row[j] + 1, diagonal + 1)
    }
  }
  return row[b.count]
}
