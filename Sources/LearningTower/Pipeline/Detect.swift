import Dataset
import Detection
import Evaluation
import Foundation
import Geometry
import Interchange
import JSON
import Network
import Platform

/// Finds objects in images, draws them and writes them down: `detect`.
public struct DetectRequest: Sendable, Hashable, Codable {
  public var model: String
  /// Image files, folders and patterns such as `images/*.jpg`.
  public var sources: [String]
  /// A YOLOv5 `data.yaml` that names the classes; nil: the model file does.
  public var dataset: String?
  /// For all that is written; made where something is. Drawn images keep their names.
  public var outputDirectory: String
  public var drawsImages = true
  /// YOLO label files: `labels/NAME.txt`.
  public var savesText = false
  /// With the confidence as a sixth number.
  public var savesConfidence = false
  /// Everything in one file: `detections.json`.
  public var savesJSON = false
  public var imageSize: Int
  public var confidenceThreshold: Double
  public var iouThreshold: Double
  public var machine: Machine

  public init(
    model: String, sources: [String], dataset: String? = nil, outputDirectory: String, imageSize: Int = 640,
    confidenceThreshold: Double = 0.25, iouThreshold: Double = 0.45, machine: Machine
  ) {
    self.model = model
    self.sources = sources
    self.dataset = dataset
    self.outputDirectory = outputDirectory
    self.imageSize = imageSize
    self.confidenceThreshold = confidenceThreshold
    self.iouThreshold = iouThreshold
    self.machine = machine
  }
}

/// The objects found in one image.
public struct ImageDetections: Sendable, Hashable, Codable {
  public struct Item: Sendable, Hashable, Codable {
    public var `class`: String
    public var classIndex: Int
    public var confidence: Double
    /// Left, top, right, bottom in pixels of the image.
    public var box: [Double]

    enum CodingKeys: String, CodingKey {
      case `class`, confidence, box
      case classIndex = "class_index"
    }
  }

  public var image: String
  /// Pixels.
  public var width: Int
  public var height: Int
  /// The drawn image's file.
  public var output: String?
  /// The label file; nil also where nothing was found.
  public var labels: String?
  public var detections: [Item]
}

/// - Parameters:
///   - onImage: called after each image.
///   - onDamage: called for each image that cannot be read, and with why; the others are looked at all the same.
public func detect(
  _ request: DetectRequest, onImage: (ImageDetections) throws -> Void = { _ in },
  onDamage: (DatasetError) throws -> Void = { throw $0 }
) throws -> [ImageDetections] {
  let model = try Model.read(request.model, namesIn: request.dataset)
  try requireImageSize(request.imageSize, stride: model.network.detect.strides.max() ?? 32)
  let paths = try ImageSearch.images(request.sources)
  var folder = try DetectFolder(request, images: paths, classNames: model.classNames)
  var suppression = NonMaximumSuppression.detect
  suppression.confidenceThreshold = Float(request.confidenceThreshold)
  suppression.iouThreshold = Float(request.iouThreshold)
  var detector = try Detector(
    model.network, model.parameters, runtime: try request.machine.runtime(), imageSize: request.imageSize,
    suppression: suppression)
  var results: [ImageDetections] = []
  for path in paths {
    let image: Image
    let size: (width: Int, height: Int)
    do {
      image = try ImageFile.read(path)
      size = try ImageFile.size(ofFile: path)
    } catch {
      try onDamage(error)
      continue
    }
    let detections = try detector(image)
    // Very large images are read smaller.
    let scale = Float(size.width) / Float(image.width)
    let items = detections.map { detection in
      let box = detection.box
      return ImageDetections.Item(
        class: model.classNames[detection.classIndex], classIndex: detection.classIndex,
        confidence: Double(detection.confidence), box: [box.x1, box.y1, box.x2, box.y2].map { Double($0 * scale) })
    }
    let files = try folder.write(detections, in: image, of: path)
    let result = ImageDetections(
      image: path, width: size.width, height: size.height, output: files.image, labels: files.labels,
      detections: items)
    results.append(result)
    try onImage(result)
  }
  if request.savesJSON { try folder.write(results) }
  return results
}

/// Where `detect` writes.
private struct DetectFolder {
  private let request: DetectRequest
  private let url: URL
  private let drawing: DetectionDrawing
  private let inputs: InputFiles
  private var takenNames: Set<[UInt8]> = []

  /// - Parameter images: the paths of all that is looked at.
  /// - Throws: `OverwritingError` if something that is read, or the labels of the images, would be written over.
  init(_ request: DetectRequest, images: [String], classNames: [String]) throws {
    self.request = request
    url = URL(filePath: request.outputDirectory)
    drawing = DetectionDrawing(classNames: classNames)
    // The labels of a data set lie beside its images, whichever link leads there.
    let labels = images.flatMap { image in
      let url = URL(filePath: image).absoluteURL
      return Set([url.path, url.resolvingSymlinksInPath().path]).map(LabelFile.path)
    }
    inputs = InputFiles([request.model] + [request.dataset].compactMap { $0 } + images + labels)
    if request.drawsImages { try refuseOutputFolder(url.path, amongInputs: Set(images.map(\.parentFolders.first!))) }
    if request.savesText {
      try refuseOutputFolder(labelFolder.path, amongInputs: Set(labels.flatMap(\.parentFolders)))
      let sibling = url.appending(path: "images").path
      guard !FileManager.default.fileExists(atPath: sibling) else {
        throw OverwritingError(
          "\(url.path): is a data set (it has a folder ‘images’), whose labels would be written over; "
            + "choose another output")
      }
    }
    if request.savesJSON { try inputs.refuseOverwriting(detectionsFile) }
    if request.drawsImages || request.savesJSON || request.savesText {
      try makeFolder(request.outputDirectory)
    }
    if request.savesText {
      try makeFolder(labelFolder.relativePath)
    }
  }

  private var labelFolder: URL { url.appending(path: "labels") }

  mutating func write(
    _ detections: [Detection], in image: Image, of path: String
  ) throws -> (image: String?, labels: String?) {
    let (stem, ending) = name(of: path)
    var files: (image: String?, labels: String?)
    if request.drawsImages {
      let target = url.appending(path: "\(stem).\(ending)")
      try inputs.refuseOverwriting(target.relativePath)
      try ImageFile.write(drawing(detections, on: image), to: target.relativePath)
      files.image = target.relativePath
    }
    if request.savesText {
      let target = labelFolder.appending(path: "\(stem).txt")
      try inputs.refuseOverwriting(target.relativePath)
      if detections.isEmpty {  // No file means no object, so none of an earlier run may stay.
        try? FileManager.default.removeItem(at: target)
      } else {
        try writeText(labels(detections, in: image), to: target.relativePath)
        files.labels = target.relativePath
      }
    }
    return files
  }

  private var detectionsFile: String { url.appending(path: "detections.json").relativePath }

  func write(_ results: [ImageDetections]) throws {
    try writeText(try JSON.text(results) + "\n", to: detectionsFile)
  }

  /// A row for each object, centre and size as fractions of the image; the least confident first, as YOLOv5 does.
  private func labels(_ detections: [Detection], in image: Image) -> String {
    let (width, height) = (Float(image.width), Float(image.height))
    return detections.reversed().map { detection in
      let box = CenteredBox(detection.box)
      var values = [box.cx / width, box.cy / height, box.width / width, box.height / height]
      if request.savesConfidence { values.append(detection.confidence) }
      return "\(detection.classIndex) " + values.map { String(format: "%g", $0) }.joined(separator: " ") + "\n"
    }.joined()
  }

  /// Images of different folders may have one name; the later ones get a number. The drawn image keeps an ending that
  /// says what is written, JPEG or PNG; what is called otherwise becomes a JPEG.
  private mutating func name(of path: String) -> (stem: String, ending: String) {
    let file = URL(filePath: path)
    let stem = file.deletingPathExtension().lastPathComponent
    var name = stem
    var number = 2
    while !takenNames.insert(Array(name.utf8)).inserted {
      name = "\(stem)-\(number)"
      number += 1
    }
    let ending = file.pathExtension
    return (name, ["jpg", "jpeg", "png"].contains(ending.lowercased()) ? ending : "jpg")
  }
}

extension String {
  /// The folders around a file, from its own one up to the root.
  fileprivate var parentFolders: [String] {
    var folders: [String] = []
    var url = URL(filePath: self).absoluteURL
    repeat {
      url = url.deletingLastPathComponent()
      folders.append(url.path)
    } while url.path != "/" && folders.count < 128
    return folders
  }
}
