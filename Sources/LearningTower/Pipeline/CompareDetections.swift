import Dataset
import Detection
import Evaluation
import Geometry
import Interchange
import Network

/// A model and what a contact sheet says of it.
public struct ComparedModel: Sendable, Hashable {
  public var path: String
  /// Lines of its heading.
  public var heading: [String]

  public init(path: String, heading: [String]) {
    self.path = path
    self.heading = heading
  }
}

/// Draws what models find in some of the images of a data set, the labels in the first column.
/// - Parameters:
///   - images: those to choose from; shown are some of those with objects, from all over the list.
///   - output: a JPEG, or a PNG if its name says so.
public func compareDetections(
  of models: [ComparedModel], in images: [LabelledImage], count: Int = 4, classNames: [String], imageSize: Int,
  machine: Machine, to output: String
) throws {
  let candidates = images.contains { !$0.labels.isEmpty } ? images.filter { !$0.labels.isEmpty } : images
  let shown = min(count, candidates.count)
  let chosen = (0..<shown).map { candidates[$0 * candidates.count / shown] }
  let photographs = try chosen.map { try ImageFile.read($0.path) }
  let runtime = try machine.runtime()
  var columns = [
    DetectionSheet.Column(
      heading: ["labels"],
      detections: zip(chosen, photographs).map { image, photograph in
        image.labels.map { $0.detection(in: photograph) }
      },
      showsConfidence: false)
  ]
  for model in models {
    let file = try Model.read(model.path)
    try requireImageSize(imageSize, stride: file.network.detect.strides.max() ?? 32)
    var detector = try Detector(file.network, file.parameters, runtime: runtime, imageSize: imageSize)
    columns.append(DetectionSheet.Column(heading: model.heading, detections: try photographs.map { try detector($0) }))
  }
  try ImageFile.write(DetectionSheet(classNames: classNames)(photographs, columns), to: output)
}

extension Label {
  fileprivate func detection(in image: Image) -> Detection {
    let (width, height) = (Float(image.width), Float(image.height))
    return Detection(
      box: PixelBox(box.on(width: width, height: height)), confidence: 1,
      classIndex: classIndex)
  }
}
