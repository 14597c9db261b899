import Evaluation
import Foundation
import JSON
import Wording

/// An annotation file of COCO's (`instances_*.json`): the objects with the areas of their outlines, and the crowds,
/// which YOLO's label files lack.
struct COCOAnnotations {
  private struct File: Decodable {
    struct Image: Decodable {
      var id: Int
      var file_name: String
    }

    struct Annotation: Decodable {
      var image_id: Int
      var category_id: Int
      /// Left, top, width, height in pixels.
      var bbox: [Double]
      var area: Double?
      var iscrowd: Int?
    }

    struct Category: Decodable {
      var id: Int
      var name: String
    }

    var images: [Image]
    var annotations: [Annotation]
    var categories: [Category]
  }

  private let path: String
  /// By the UTF-8 of the image's file name without folders.
  private let imageIDs: [[UInt8]: Int]
  private let truths: [Int: [COCOEvaluation.Truth]]
  /// By class index.
  let categoryIDs: [Int]

  /// - Parameter classNames: of the data set. Categories of the file that are none of them count as never found.
  /// - Throws: `PipelineError` if the file cannot be read, is none of COCO's, or lacks one of the classes.
  init(_ path: String, classNames: [String]) throws {
    let file: File
    do {
      file = try JSON.decode(File.self, from: Data(contentsOf: URL(filePath: path), options: .mappedIfSafe))
    } catch {
      throw PipelineError("\(path): not an annotation file of COCO's (\(error.words))")
    }
    self.path = path
    let ids = Dictionary(file.categories.map { ($0.name, $0.id) }, uniquingKeysWith: { first, _ in first })
    categoryIDs = try classNames.map { name in
      guard let id = ids[name] else { throw PipelineError("\(path): has no category ‘\(name)’") }
      return id
    }
    var classIndices = Dictionary(zip(categoryIDs, classNames.indices), uniquingKeysWith: { first, _ in first })
    for category in file.categories where classIndices[category.id] == nil {
      classIndices[category.id] = classIndices.count
    }
    imageIDs = Dictionary(
      file.images.map { (Array(URL(filePath: $0.file_name).lastPathComponent.utf8), $0.id) },
      uniquingKeysWith: { first, _ in first })
    var truths: [Int: [COCOEvaluation.Truth]] = [:]
    for annotation in file.annotations {
      guard annotation.bbox.count == 4, let category = classIndices[annotation.category_id] else {
        throw PipelineError("\(path): an annotation of image \(annotation.image_id) has no box or no known category")
      }
      let box = COCOEvaluation.Rectangle(
        x: annotation.bbox[0], y: annotation.bbox[1], width: annotation.bbox[2], height: annotation.bbox[3])
      truths[annotation.image_id, default: []].append(
        COCOEvaluation.Truth(box: box, category: category, area: annotation.area, isCrowd: annotation.iscrowd == 1))
    }
    self.truths = truths
  }

  /// - Throws: `PipelineError` if the file does not know the image.
  func image(_ imagePath: String) throws -> (id: Int, truths: [COCOEvaluation.Truth]) {
    guard let id = imageIDs[Array(URL(filePath: imagePath).lastPathComponent.utf8)] else {
      throw PipelineError("\(path): knows no image \(URL(filePath: imagePath).lastPathComponent)")
    }
    return (id, truths[id] ?? [])
  }
}
