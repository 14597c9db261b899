import Foundation
import Pipeline

extension Command {
  static let detect = Command(
    name: "detect", summary: "find objects in images and draw them", positionals: ["MODEL", "IMAGE"], repeatsLast: true,
    options: [
      Option("--output", "DIR", aliases: ["-o"], help: "where the drawn images go (default: runs/detect)"),
      Option("--no-images", help: "do not draw"), .imageSize,
      Option("--conf", "C", help: "least confidence (default: 0.25)"),
      Option("--iou", "I", help: "overlap from which the weaker box goes (default: 0.45)"), .threads, .backend, .json,
    ],
    discussion: "IMAGE is a JPEG or PNG file, or a folder of such files."
  ) { arguments in
    let output = arguments.has("--no-images") ? nil : arguments.string("--output") ?? "runs/detect"
    if let output { try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true) }
    let request = DetectRequest(
      model: arguments.positionals[0], images: try imageFiles(arguments.positionals.dropFirst()),
      outputDirectory: output, imageSize: try arguments.imageSize(),
      confidenceThreshold: try arguments.double("--conf", in: 0...1) ?? 0.25,
      iouThreshold: try arguments.double("--iou", in: 0...1) ?? 0.45, machine: try arguments.machine())
    let isJSON = arguments.has("--json")
    let found = try Pipeline.detect(request) { image in
      guard !isJSON else { return }
      let counts = Dictionary(grouping: image.detections, by: \.class).sorted { $0.key < $1.key }
      let words = counts.map { "\($0.value.count) \($0.key)" }
      let summary = words.isEmpty ? "nothing" : words.joined(separator: ", ")
      print("\(image.image): \(summary)\(image.output.map { " → \($0)" } ?? "")")
    }
    if isJSON { try printJSON(found) }
  }

  /// Files as given; of a folder, its images by name.
  private static func imageFiles(_ paths: ArraySlice<String>) throws -> [String] {
    var files: [String] = []
    for path in paths {
      guard FileManager.default.fileExists(atPath: path) else { throw UsageError("detect: no such file: \(path)") }
      guard try URL(filePath: path).resourceValues(forKeys: [.isDirectoryKey]).isDirectory == true else {
        files.append(path)
        continue
      }
      let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
      let images = names.filter { ["jpg", "jpeg", "png"].contains(URL(filePath: $0).pathExtension.lowercased()) }
      files += images.map { URL(filePath: path).appending(path: $0).path }
    }
    guard !files.isEmpty else { throw UsageError("detect: no JPEG or PNG file in \(paths.joined(separator: ", "))") }
    return files
  }
}
