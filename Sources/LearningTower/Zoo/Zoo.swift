public import Network

/// The families a sweep can choose from. Names of modules and parameters are those of YOLOv5 and of the study's
/// backbones for it, so that their `state_dict`s fit.
public enum Zoo {
  /// The names of all families, smallest YOLOv5 first.
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

  /// Returns the network whose `state_dict` has these names and shapes, with the anchors found there: for files that do
  /// not say what they hold, such as YOLOv5's own weights.
  /// - Throws: `NetworkError` when no family has them, with what is known about the tensors.
  public static func matching(_ parameters: Parameters) throws(NetworkError) -> Network {
    for family in families {
      guard let network = try family.network(headOf: parameters), (try? network.validated(parameters)) != nil else {
        continue
      }
      return try network.adoptingAnchors(of: parameters)
    }
    if let clue = clues.first(where: { parameters.tensors.keys.contains(where: $0.isIn) }) {
      throw NetworkError("the tensors \(clue.meaning)")
    }
    throw NetworkError(
      """
      the tensors' names and shapes are those of no known network (\(names.joined(separator: ", "))): give its YOLOv5 \
      model file, with 'import FILE --cfg MODEL.yaml' or 'train DATA.yaml --cfg MODEL.yaml --weights FILE'
      """)
  }

  /// Tensors that tell networks which are not supported.
  private static let clues: [(isIn: @Sendable (String) -> Bool, meaning: String)] = [
    ({ $0.contains(".dfl.") }, "are of YOLOv8, YOLOv5u or later, whose heads without anchors are not supported"),
    ({ $0.contains(".proto.") }, "are of a network for segmentation, which is not supported"),
    ({ $0.hasSuffix(".linear.weight") }, "are of a network for classification, which is not supported"),
    ({ $0 == "model.0.conv.conv.weight" }, "begin with Focus, as YOLOv5 did before 6.0, which is not supported"),
    (
      { $0 == "model.0.conv.bias" },
      "have their batch norms folded (YOLOv5's fuse): give the weights as they were before an export"
    ),
  ]

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
