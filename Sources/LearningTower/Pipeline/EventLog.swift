import Foundation
import Interchange
import Pruning
import Training

/// A run's epochs as TensorBoard shows them: one event each, under YOLOv5's names. TensorBoard follows a file while it
/// grows, so records are appended.
struct EventLog {
  private static let nameSuffix = ".greensweep"
  private let url: URL

  /// Begins the log of a run, or goes on with that of an interrupted one: what was logged stays, with its times; epochs
  /// that will be trained again go, and epochs the log does not have come in.
  /// - Parameter history: the epochs the run has completed.
  init(folder: URL, history: [EpochSummary], wallTimeSeconds: Double) throws {
    let earlier = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
      $0.hasPrefix(EventFile.namePrefix) && $0.hasSuffix(Self.nameSuffix)
    }.sorted()
    if history.isEmpty {  // Results of another run, which this one replaces.
      for name in earlier { try FileManager.default.removeItem(at: folder.appending(path: name)) }
    }
    let continued = history.isEmpty ? nil : earlier.last
    let name = continued ?? "\(EventFile.namePrefix)\(Int(wallTimeSeconds))\(Self.nameSuffix)"
    url = folder.appending(path: name)

    let bytes = continued == nil ? [] : [UInt8](try Data(contentsOf: url))
    var file = (try? EventFile(decoding: bytes, name: name)) ?? EventFile(wallTimeSeconds: wallTimeSeconds)
    let kept = zip(file.events, history).prefix { $0.step == $1.yolov5Epoch }.count
    file.events = file.events.prefix(kept) + history.dropFirst(kept).map { Self.event($0, wallTimeSeconds) }
    let encoded = file.encoded
    if encoded != bytes { try Data(encoded).write(to: url) }
  }

  func append(_ epoch: EpochSummary, wallTimeSeconds: Double) throws {
    let file = try FileHandle(forWritingTo: url)
    defer { try? file.close() }
    try file.seekToEnd()
    try file.write(contentsOf: Self.event(epoch, wallTimeSeconds).record)
  }

  private static func event(_ epoch: EpochSummary, _ wallTimeSeconds: Double) -> EventFile.Event {
    let figures =
      Array(zip(EpochSummary.yolov5Names, epoch.yolov5Values)) + zip(EpochSummary.scaleNames, epoch.scaleValues)
    let scalars = figures.map { EventFile.Scalar($0, Float($1)) }
    let scores = epoch.scales?.scores.map { scores in
      EventFile.Histogram(
        "scales/log10_score", lowest: scores.lowest, upperEdges: scores.upperEdges,
        counts: scores.counts.map(Double.init))
    }
    return EventFile.Event(
      wallTimeSeconds: wallTimeSeconds, step: epoch.yolov5Epoch, scalars: scalars,
      histograms: [scores].compactMap(\.self))
  }
}
