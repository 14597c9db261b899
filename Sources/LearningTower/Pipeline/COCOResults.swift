import Dataset
import Detection
import Evaluation
import Foundation
import Geometry
import JSON

/// Detections of a whole split under COCO's names, for its JSON and its figures.
struct COCOResults {
  private struct Item {
    var found: [COCOEvaluation.Found]
    var truths: [COCOEvaluation.Truth]
  }

  private let annotations: COCOAnnotations?
  private let categoryIDs: [Int]
  private var items: [COCOImageID: Item] = [:]

  /// - Parameter annotations: what to judge by; nil: the data set's labels.
  init(classNames: [String], annotations: COCOAnnotations?) {
    self.annotations = annotations
    categoryIDs = annotations?.categoryIDs ?? COCOCategories.ids(of: classNames)
  }

  /// - Throws: `PipelineError` if an image of that name was added before, or the annotations do not know it.
  mutating func add(_ image: LabelledImage, _ detections: [Detection]) throws {
    var id = COCOImageID(stem: URL(filePath: image.path).deletingPathExtension().lastPathComponent)
    var truths = image.labels.map { label in
      COCOEvaluation.Truth(label, width: Double(image.width), height: Double(image.height))
    }
    if let known = try annotations?.image(image.path) { (id, truths) = (.number(known.id), known.truths) }
    guard items[id] == nil else {
      throw PipelineError(
        "\(image.path): another image of the split has this name too, and COCO's files tell images by their names")
    }
    items[id] = Item(found: detections.map(COCOEvaluation.Found.init(saved:)), truths: truths)
  }

  func summary() -> COCOSummary {
    var evaluation = COCOEvaluation()
    for (_, item) in sorted { evaluation.addImage(found: item.found, truths: item.truths) }
    return evaluation.summary()
  }

  /// COCO's results format, one detection a line.
  func json() throws -> String {
    var lines: [String] = []
    for (id, item) in sorted {
      for found in item.found {
        let box = [found.box.x, found.box.y, found.box.width, found.box.height]
        lines.append(
          try JSON.text(
            Line(image_id: id, category_id: categoryIDs[found.category], bbox: box, score: found.score)))
      }
    }
    return "[" + lines.joined(separator: ",\n") + "]\n"
  }

  private struct Line: Encodable {
    let image_id: COCOImageID
    let category_id: Int
    let bbox: [Double]
    let score: Double
  }

  private var sorted: [(COCOImageID, Item)] { items.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
}

extension COCOEvaluation.Truth {
  /// - Parameters: of the image, pixels.
  fileprivate init(_ label: Label, width: Double, height: Double) {
    let (cx, cy, w, h) = (Double(label.box.cx), Double(label.box.cy), Double(label.box.w), Double(label.box.h))
    self.init(
      box: COCOEvaluation.Rectangle(
        x: (cx - w / 2) * width, y: (cy - h / 2) * height, width: w * width,
        height: h * height), category: label.classIndex)
  }
}
