import Dataset
import Evaluation
import Foundation
import Interchange
import Network
import Pipeline
import Platform
import Testing
import Zoo

/// The files that `val` and `detect` write.
@Suite struct ReportTests {
  /// A sample data set and a network that sees something everywhere; gone with the test.
  private final class Scene {
    let folder = FileManager.default.temporaryDirectory.appending(path: "report-\(UUID().uuidString)")
    let data: String
    let model: String

    init() throws {
      var sample = SampleDataset()
      (sample.trainCount, sample.valCount, sample.imageSize) = (1, 3, 64)
      data = try sample.write(to: folder.appending(path: "data").path)
      model = folder.appending(path: "model.safetensors").path
      let network = try Zoo.network(named: "yolov5n", classCount: sample.classCount)
      var parameters = network.initialParameters(seed: 1)
      for level in 0..<3 {
        let name = "model.24.m.\(level).bias"
        parameters[name] = parameters[name].map { Tensor(shape: $0.shape, values: $0.values.map { _ in 1 }) }
      }
      try ModelFile(network: network, parameters: parameters, classNames: ["a", "b", "c", "d"]).write(to: model)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    func text(_ name: String) throws -> String {
      try String(contentsOf: folder.appending(path: name), encoding: .utf8)
    }
  }

  @Test("Plots, COCO's figures and the detections they come from") func evaluation() throws {
    let scene = try Scene()
    let output = scene.path("out")
    try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
    var request = EvaluateRequest(
      model: scene.model, dataset: scene.data, imageSize: 64, batchSize: 2, machine: Machine(threads: 1),
      outputDirectory: output)
    request.savesJSON = true
    request.measuresCOCO = true
    let report = try evaluate(request)
    let names = try FileManager.default.contentsOfDirectory(atPath: output).sorted()
    #expect(
      names == [
        "F1_curve.svg", "PR_curve.svg", "P_curve.svg", "R_curve.svg", "confusion_matrix.svg", "labels.svg",
        "predictions.json",
      ])
    #expect(report.files?.map { URL(filePath: $0).lastPathComponent }.sorted() == names)
    #expect(report.coco != nil)

    struct Prediction: Decodable {
      var image_id: Int
      var category_id: Int
      var bbox: [Double]
      var score: Double
    }
    let predictions = try JSONDecoder().decode([Prediction].self, from: Data(scene.text("out/predictions.json").utf8))
    #expect(predictions.count > 3)
    #expect(Set(predictions.map(\.image_id)).count == 3)
    #expect(predictions.allSatisfy { (0..<4).contains($0.category_id) && $0.bbox.count == 4 && $0.score <= 1 })
    #expect(predictions.allSatisfy { $0.bbox[0] >= 0 && $0.bbox[0] + $0.bbox[2] <= 64.001 })

    request.isPlotting = false
    request.savesJSON = false
    request.measuresCOCO = false
    let plain = try evaluate(request)
    #expect(plain.files == [] && plain.coco == nil && plain.map50 == report.map50)
  }

  @Test("Classes of other names, and images left out") func remarks() throws {
    let scene = try Scene()
    let model = try ModelFile.read(scene.model)
    let names = try DatasetDescription.classNames(inFile: scene.data)
    func remarks(_ classNames: [String]) throws -> [String] {
      try ModelFile(network: model.network, parameters: model.parameters, classNames: classNames).write(to: scene.model)
      let request = EvaluateRequest(
        model: scene.model, dataset: scene.data, imageSize: 64, machine: Machine(threads: 1))
      return try evaluate(request).remarks ?? []
    }
    #expect(try remarks(names).isEmpty)
    #expect(try remarks(names.indices.map { "class\($0)" }).isEmpty)
    let other = try remarks(["a", "b", "c", "d"])
    #expect(
      other.count == 1 && other[0].hasPrefix("\(scene.model) has other class names than \(scene.data): class 0 is ‘a’"))
    let turned = try remarks(names.reversed())
    #expect(turned.count == 1 && turned[0].hasPrefix("\(scene.model) names the same classes in another order than "))
    try Data("0 0.5 0.5 2 2".utf8).write(to: scene.folder.appending(path: "data/labels/val/000001.txt"))
    #expect(try remarks(names).first?.hasPrefix("val: 1 of 3 images are left out: 000001.jpg (") == true)
  }

  @Test("Objects, areas and crowds of an annotation file") func annotations() throws {
    let scene = try Scene()
    let names = try ImageSearch.images(scene.path("data/images/val")).map { URL(filePath: $0).lastPathComponent }
    var request = EvaluateRequest(
      model: scene.model, dataset: scene.data, imageSize: 64, machine: Machine(threads: 1),
      outputDirectory: scene.folder.path)
    request.isPlotting = false
    request.savesJSON = true
    request.measuresCOCO = true
    request.annotations = scene.path("instances.json")
    let classes = try DatasetDescription.classNames(inFile: scene.data)
    func write(_ images: [String], _ annotations: String, classes: [String] = classes) throws {
      let images = images.enumerated().map { "{\"id\": \($0 + 70), \"file_name\": \"some/\($1)\"}" }
      let categories = classes.enumerated().map { "{\"id\": \(9 - $0), \"name\": \"\($1)\"}" }
      let text = """
        {"images": [\(images.joined(separator: ","))], "annotations": [\(annotations)],
        "categories": [\(categories.joined(separator: ",")), {"id": 33, "name": "never seen"}]}
        """
      try Data(text.utf8).write(to: scene.folder.appending(path: "instances.json"))
    }

    // Large by its area, though not by its box; what nobody detects counts as missed.
    try write(
      names,
      """
      {"image_id": 70, "category_id": 33, "bbox": [0, 0, 10, 10], "area": 20000, "iscrowd": 0},
      {"image_id": 71, "category_id": 9, "bbox": [0, 0, 10, 10], "area": 1, "iscrowd": 1}
      """)
    let coco = try #require(try evaluate(request).coco)
    #expect(coco.apLarge == 0 && coco.ap == 0 && coco.apSmall == -1)
    let saved = try scene.text("predictions.json")
    #expect(saved.contains("\"image_id\":72,") && saved.contains("\"category_id\":6,"))

    try write(Array(names.dropLast()), "")
    #expect(throws: PipelineError.self) { try evaluate(request) }
    try write(names, "{\"image_id\": 70, \"category_id\": 1, \"bbox\": [0, 0, 1, 1]}")
    #expect(throws: PipelineError.self) { try evaluate(request) }
    try write(names, "{\"image_id\": 70, \"category_id\": 9, \"bbox\": [0, 0]}")
    #expect(throws: PipelineError.self) { try evaluate(request) }
    try write(names, "", classes: Array(classes.dropLast()))
    #expect(throws: PipelineError.self) { try evaluate(request) }
    try Data("[".utf8).write(to: scene.folder.appending(path: "instances.json"))
    #expect(throws: PipelineError.self) { try evaluate(request) }
  }

  /// A JPEG is one whatever it is called; what is drawn is called what it is.
  @Test func drawnImagesHaveEndingsThatFit() throws {
    let scene = try Scene()
    let bytes = try #require(FileManager.default.contents(atPath: ImageSearch.images(scene.path("data/images/*/*"))[0]))
    let folder = scene.folder.appending(path: "odd")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let endings = ["": "jpg", ".webp": "jpg", ".mpo": "jpg", ".tar.gz": "jpg", ".png": "png", ".JPG": "JPG"]
    for (index, ending) in endings.keys.sorted().enumerated() {
      try bytes.write(to: folder.appending(path: "scan\(index)\(ending)"))
    }
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    let request = DetectRequest(
      model: scene.model, sources: files.map { scene.path("odd/" + $0) }, outputDirectory: scene.path("out"),
      imageSize: 64, machine: Machine(threads: 1))
    let outputs = try detect(request).map { URL(filePath: try #require($0.output)) }
    #expect(outputs.map(\.pathExtension) == endings.sorted { $0.key < $1.key }.map(\.value))
    for output in outputs {
      let isPNG = try Data(contentsOf: output).starts(with: [0x89, 0x50, 0x4E, 0x47])
      #expect(isPNG == (output.pathExtension == "png"), "\(output)")
    }
  }

  @Test("Drawn images, label files and JSON; of one name, twice; one damaged") func detection() throws {
    let scene = try Scene()
    let files = try ImageSearch.images(scene.path("data/images/*/*"))
    try FileManager.default.createDirectory(atPath: scene.path("more"), withIntermediateDirectories: true)
    let name = URL(filePath: files[0]).lastPathComponent
    try FileManager.default.copyItem(atPath: files[0], toPath: scene.path("more/" + name))
    try Data("no image".utf8).write(to: scene.folder.appending(path: "more/zero.png"))

    var request = DetectRequest(
      model: scene.model, sources: [files[0], scene.path("more")], outputDirectory: scene.path("out"), imageSize: 64,
      machine: Machine(threads: 1))
    request.savesText = true
    request.savesConfidence = true
    request.savesJSON = true
    var damaged: [DatasetError] = []
    let results = try detect(request, onDamage: { damaged.append($0) })
    #expect(results.count == 2 && damaged.count == 1)
    #expect("\(damaged)".contains("zero.png"))

    let stem = URL(filePath: name).deletingPathExtension().lastPathComponent
    let endings = [stem, stem + "-2"]
    for (result, stem) in zip(results, endings) {
      #expect(!result.detections.isEmpty)
      #expect(result.output.map { URL(filePath: $0).deletingPathExtension().lastPathComponent } == stem)
      #expect(try ImageFile.read(#require(result.output)).width == result.width)
      let rows = try scene.text("out/labels/\(stem).txt").split(separator: "\n").map { row in
        try row.split(separator: " ").map { try #require(Double($0)) }
      }
      #expect(rows.count == result.detections.count)
      #expect(rows.allSatisfy { row in row.count == 6 && row.dropFirst().allSatisfy { (0...1).contains($0) } })
      // The least confident first.
      let first = try #require(rows.last)
      let best = try #require(result.detections.first)
      #expect(Int(first[0]) == best.classIndex && abs(first[5] - best.confidence) < 1e-5)
      #expect(abs(first[3] * Double(result.width) - (best.box[2] - best.box[0])) < 1e-3)
    }
    let stored = try JSONDecoder().decode([ImageDetections].self, from: Data(scene.text("out/detections.json").utf8))
    #expect(stored == results)

    // Nothing found: no file, not even an old one.
    request.sources = [files[0]]
    request.confidenceThreshold = 1
    request.drawsImages = false
    #expect(try detect(request).first?.labels == nil)
    #expect(!FileManager.default.fileExists(atPath: scene.path("out/labels/\(stem).txt")))
  }

  @Test("An image is never drawn over") func overwriting() throws {
    let scene = try Scene()
    let file = try #require(ImageSearch.images(scene.path("data/images/val")).first)
    let before = try Data(contentsOf: URL(filePath: file))
    let request = DetectRequest(
      model: scene.model, sources: [file], outputDirectory: scene.path("data/images/val"), imageSize: 64,
      machine: Machine(threads: 1))
    #expect(throws: OverwritingError.self) { try detect(request) }
    #expect(try Data(contentsOf: URL(filePath: file)) == before)
  }

  @Test func namesComeFromTheDataSetIfAsked() throws {
    let scene = try Scene()
    let file = try #require(ImageSearch.images(scene.path("data/images/val")).first)
    let names = scene.folder.appending(path: "names.yaml")
    try Data("names: [w, x, y, z]\n".utf8).write(to: names)
    var request = DetectRequest(
      model: scene.model, sources: [file], dataset: names.path, outputDirectory: scene.path("out"), imageSize: 64,
      machine: Machine(threads: 1))
    request.drawsImages = false
    let found = try #require(try detect(request).first?.detections)
    #expect(found.allSatisfy { ["w", "x", "y", "z"][$0.classIndex] == $0.class })
    try Data("names: [w]\n".utf8).write(to: names)
    #expect(throws: PipelineError.self) { try detect(request) }
  }
}
