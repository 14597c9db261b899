import Dataset
import Detection
import Evaluation
import Foundation
import Interchange
import Network

/// Finds objects in images and draws them: `detect`.
public struct DetectRequest: Sendable, Hashable, Codable {
  public var model: String
  /// Image files.
  public var images: [String]
  /// An existing folder for the drawn images, which keep their names; nil draws none.
  public var outputDirectory: String?
  public var imageSize: Int
  public var confidenceThreshold: Double
  public var iouThreshold: Double
  public var machine: Machine

  public init(
    model: String, images: [String], outputDirectory: String? = nil, imageSize: Int = 640,
    confidenceThreshold: Double = 0.25, iouThreshold: Double = 0.45, machine: Machine
  ) {
    self.model = model
    self.images = images
    self.outputDirectory = outputDirectory
    self.imageSize = imageSize
    self.confidenceThreshold = confidenceThreshold
    self.iouThreshold = iouThreshold
    self.machine = machine
  }
}

/// What was found in one image.
public struct ImageDetections: Sendable, Hashable, Codable {
  public struct Item: Sendable, Hashable, Codable {
    public var `class`: String
    public var confidence: Double
    /// Left, top, right, bottom in pixels of the image.
    public var box: [Double]
  }

  public var image: String
  /// The drawn image's file.
  public var output: String?
  public var detections: [Item]
}

/// - Parameter onImage: called after each image.
public func detect(
  _ request: DetectRequest, onImage: (ImageDetections) throws -> Void = { _ in }
) throws -> [ImageDetections] {
  let model = try Model.read(request.model)
  try requireImageSize(request.imageSize, stride: model.network.detect.strides.max() ?? 32)
  var suppression = NonMaximumSuppression.detect
  suppression.confidenceThreshold = Float(request.confidenceThreshold)
  suppression.iouThreshold = Float(request.iouThreshold)
  var detector = Detector(
    model.network, model.parameters, runtime: try request.machine.runtime(), imageSize: request.imageSize,
    suppression: suppression)
  let drawing = DetectionDrawing(classNames: model.classNames)
  var results: [ImageDetections] = []
  for path in request.images {
    let image = try ImageFile.read(path)
    let detections = try detector(image)
    var output: String?
    if let folder = request.outputDirectory {
      let target = URL(filePath: folder).appending(path: URL(filePath: path).lastPathComponent).path
      guard target != URL(filePath: path).path else {
        throw PipelineError("\(target): would be overwritten; choose another folder for the drawn images")
      }
      try ImageFile.write(drawing(detections, on: image), to: target)
      output = target
    }
    let items = detections.map { detection in
      let box = detection.box
      return ImageDetections.Item(
        class: model.classNames[detection.classIndex], confidence: Double(detection.confidence),
        box: [box.x1, box.y1, box.x2, box.y2].map(Double.init))
    }
    results.append(ImageDetections(image: path, output: output, detections: items))
    try onImage(results[results.count - 1])
  }
  return results
}
