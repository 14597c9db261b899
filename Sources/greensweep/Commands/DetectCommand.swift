import Foundation
import Pipeline
import Wording

extension Command {
  static let detect = Command(
    name: "detect", summary: "find objects in images, draw them and write them down",
    positionals: ["MODEL", "IMAGE"], repeatsLast: true,
    options: [
      Option("--data", "DATA.yaml", help: "names of the classes, for bare YOLOv5 weights"),
      Option("--output", "DIR", aliases: ["-o"], help: "where everything goes (default: runs/detect)"),
      Option("--no-images", help: "do not draw"),
      Option("--save-txt", help: "YOLO label files in DIR/labels"),
      Option("--save-conf", needs: ["--save-txt"], help: "with the confidence as a sixth number"),
      Option("--save-json", help: "all detections in DIR/detections.json"), .imageSize,
      Option("--conf", "C", help: "least confidence (default: 0.25)"),
      Option("--iou", "I", help: "overlap from which the weaker box goes (default: 0.45)"), .threads, .backend,
      .precision, .json,
    ],
    discussion: """
      IMAGE is a JPEG or PNG file (whatever its name), a folder of pictures, or a pattern such as 'shots/**/*.jpg'. A
      name that exists is taken literally, folder by folder; a backslash takes the meaning from the letter after it.
      DIR may not be where the images or their labels lie.
      """
  ) { arguments in
    if arguments.has("--no-images"), !arguments.has("--save-txt"), !arguments.has("--save-json") {
      try arguments.refuse(["--output"], because: "nothing is written; give --save-txt or --save-json, too")
    }
    var request = DetectRequest(
      model: arguments.positionals[0], sources: Array(arguments.positionals.dropFirst()),
      dataset: arguments.string("--data"), outputDirectory: arguments.string("--output") ?? "runs/detect",
      imageSize: try arguments.imageSize(),
      confidenceThreshold: try arguments.double("--conf", in: 0...1) ?? 0.25,
      iouThreshold: try arguments.double("--iou", in: 0...1) ?? 0.45, machine: try arguments.machine())
    request.drawsImages = !arguments.has("--no-images")
    request.savesText = arguments.has("--save-txt")
    request.savesConfidence = arguments.has("--save-conf")
    request.savesJSON = arguments.has("--save-json")
    let isJSON = arguments.has("--json")
    var damaged = 0
    let found = try Pipeline.detect(request) { image in
      guard !isJSON else { return }
      let counts = Dictionary(grouping: image.detections, by: \.class).sorted { $0.key < $1.key }
      let words = counts.map { "\($0.value.count) \($0.key)" }
      let summary = words.isEmpty ? "nothing" : words.joined(separator: ", ")
      printLine("\(image.image): \(summary)\(image.output.map { " → \($0)" } ?? "")".oneLine)
    } onDamage: { problem in
      damaged += 1
      printError("\(problem)")
    }
    if isJSON { printJSON(found) }
    if damaged > 0 { throw WorkError("\(damaged) of \(found.count + damaged) images could not be read") }
  }
}
