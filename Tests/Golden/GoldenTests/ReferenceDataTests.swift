import Compute
import Dataset
import Detection
import Evaluation
import Foundation
import Geometry
import Interchange
import Network
import TestSupport
import Testing
import Zoo

/// Trained weights on real images, against what YOLOv5 v7.0 measures. The images and weights are too large to be
/// kept here: `GREENSWEEP_DATA` names a folder with `coco128/` and `bccd/` (YOLO layout, with `data.yaml`) and
/// `weights/` (models as safetensors; beside each what was measured, as JSON).
private let dataFolder = ProcessInfo.processInfo.environment["GREENSWEEP_DATA"]

@Suite(
  "Reference data: trained weights on real images",
  .enabled(if: dataFolder != nil, "GREENSWEEP_DATA does not name the folder of the reference data"), .serialized)
struct ReferenceDataTests {
  let folder = (dataFolder ?? "") + "/"

  private func model(_ name: String = "yolov5n") throws -> ModelFile {
    try ModelFile.read(folder + "weights/\(name).safetensors", networkOf: Zoo.matching)
  }

  private func json(_ name: String) throws -> Fixture {
    try Fixture(decoding: Data(contentsOf: URL(filePath: folder + "weights/" + name)))
  }

  struct Setting: Sendable, CustomTestStringConvertible {
    /// Files in `weights/`, the data set's folder, and the name of the figures.
    var model: String
    var dataset: String
    var name: String
    var batchSize: Int

    var testDescription: String { "\(model) on \(dataset), \(name)" }
    var isRectangular: Bool { name.hasPrefix("rect") }
    var imageSize: Int { Int(name.suffix(3))! }
  }

  @Test(
    "Mean average precision",
    arguments: [
      Setting(model: "yolov5n", dataset: "coco128", name: "rect_640", batchSize: 8),
      Setting(model: "yolov5n", dataset: "coco128", name: "square_640", batchSize: 8),
      Setting(model: "yolov5n", dataset: "coco128", name: "rect_320", batchSize: 8),
      Setting(model: "bccd_yolov5n_320", dataset: "bccd", name: "rect_320", batchSize: 16),
      Setting(model: "bccd_yolov5n_320", dataset: "bccd", name: "square_320", batchSize: 16),
    ])
  func meanAveragePrecision(setting: Setting) throws {
    let model = try model(setting.model)
    let measured = try json("\(setting.model).json")["measured"]
    let figures = measured[setting.name]
    let dataset = try DatasetDescription.load(folder + setting.dataset + "/data.yaml")
    let loader = ValidationLoader(
      images: try dataset.contents(of: .val).images,
      options: .init(
        imageSize: setting.imageSize, batchSize: setting.batchSize, isRectangular: setting.isRectangular))
    var evaluator = try Evaluator(model.network, model.parameters, runtime: Runtime(threads: 2))
    let metrics = try evaluator.evaluate(loader).metrics
    expectClose(
      [metrics.map50, metrics.map50_95], [figures["mAP50"].double, figures["mAP50_95"].double], absolute: 0.003)
    expectClose([metrics.precision, metrics.recall], [figures["P"].double, figures["R"].double], absolute: 0.01)
    let perClass = "per_class_\(setting.name)"
    guard measured.has(perClass) else { return }
    for entry in metrics.perClass {
      let name = dataset.classNames[entry.classIndex]
      let expected = measured[perClass][name]
      // A single box more or less is a large part of a rare class.
      let tolerance = max(0.01, 0.1 / Double(entry.labelCount))
      expectClose(
        [entry.map50, entry.map50_95], [expected["AP50"].double, expected["AP50_95"].double], absolute: tolerance, name)
    }
  }

  @Test("Boxes on single images")
  func detections() throws {
    let model = try model()
    let images = try json("yolov5n_reference.json")["detections"]["images"].object
    let dataset = try DatasetDescription.load(folder + "coco128/data.yaml")
    let files = try dataset.contents(of: .val).images.map(\.path)
    var detector = try Detector(model.network, model.parameters, runtime: Runtime(threads: 2), imageSize: 640)
    for (name, expected) in images.sorted(by: { $0.key < $1.key }) {
      let path = try #require(files.first { $0.contains(name) })
      let detections = try detector(ImageFile.read(path))
      let boxes = expected["boxes"].array.map(\.floats)
      #expect(detections.count == boxes.count, "\(name)")
      // JPEG decoders and resizers differ, so near equals may change places.
      for row in boxes {
        let box = PixelBox(x1: row[0], y1: row[1], x2: row[2], y2: row[3])
        let match = detections.filter { $0.classIndex == Int(row[5]) }.max { $0.box.iou(box) < $1.box.iou(box) }
        let found = try #require(match, "\(name): class \(Int(row[5]))")
        expectClose([found.box.x1, found.box.y1, found.box.x2, found.box.y2], Array(row[..<4]), absolute: 2, name)
        expectClose(found.confidence, row[4], absolute: 0.02, name)
      }
    }
  }

  @Test("Decoded rows for an image given by a formula")
  func synthetic() throws {
    let model = try model()
    let expected = try json("yolov5n_reference.json")["synthetic"]
    let plan = try InferencePlan(
      model.network, model.parameters, batchSize: 1, imageHeight: 128, imageWidth: 128,
      runtime: try Runtime(threads: 2))
    var image: [Float] = []
    for row in 0..<128 {
      for column in 0..<128 {
        for channel in 0..<3 { image.append(Float((7 * row + 13 * column + 29 * channel) % 256) / 255) }
      }
    }
    plan.run(image)
    var predictions = Predictions(classCount: 80)
    for level in 0..<3 {
      plan.withHead(level) { head in
        predictions.append(
          level: level, of: model.network.detect, shape: plan.heads[level], head: head, image: 0, objectnessAbove: nil)
      }
    }
    #expect(predictions.rowCount == 1008)
    for (row, values) in expected["rows"].object {
      let start = Int(row)! * 85
      let actual = Array(predictions.values[start..<start + 10])
      expectClose(Array(actual[..<4]), Array(values.floats[..<4]), absolute: 2e-3, "box of row \(row)")
      expectClose(Array(actual[4...]), Array(values.floats[4...]), absolute: 2e-5, "scores of row \(row)")
    }
  }
}
