import Dataset
import Foundation
import Interchange
import Pipeline
import Testing
import Training
import YAML
import Zoo

/// The files that a run leaves for YOLOv5's scripts and TensorBoard.
@Suite struct RunFolderTests {
  @Test("An interrupted run leaves every epoch once, as an uninterrupted one does", arguments: [nil, 0.3])
  func resuming(fading: Double?) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "run-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    var sample = SampleDataset()
    (sample.trainCount, sample.valCount, sample.imageSize) = (4, 2, 64)
    let data = try sample.write(to: folder.appending(path: "data").path)
    func request(_ name: String) throws -> TrainRequest {
      let output = folder.appending(path: name)
      try FileManager.default.createDirectory(at: output, withIntermediateDirectories: true)
      let configuration = TrainingConfiguration(
        epochs: 4, batchSize: 2, imageSize: 64, fading: fading.map { ChannelFading(ratio: $0) }, fitsAnchors: false)
      return TrainRequest(
        start: .new(Architecture(.family("yolov5n")), weights: nil), dataset: data, configuration: configuration,
        outputDirectory: output.path, machine: Machine(threads: 1), checkpointInterval: 2)
    }
    var time = 1000.0
    func clock() -> Double {
      time += 1
      return time
    }

    let whole = try request("whole")
    _ = try train(whole, wallTimeSeconds: clock)

    // Ends when epoch 3 is recorded but its checkpoint is that of epoch 2.
    struct Interruption: Error {}
    var parts = try request("parts")
    #expect(throws: Interruption.self) {
      try train(
        parts,
        onEvent: { event in if case .epoch(let summary, _, _) = event, summary.epoch == 3 { throw Interruption() } },
        wallTimeSeconds: clock)
    }
    #expect(try log(parts).events.map(\.step) == [0, 1, 2])
    let before = try log(parts).events
    parts.checkpoint = folder.appending(path: "parts/checkpoint.safetensors").path
    _ = try train(parts, wallTimeSeconds: clock)

    let events = try log(parts).events
    #expect(events.map(\.step) == [0, 1, 2, 3])
    #expect(Array(events.prefix(2)) == Array(before.prefix(2)), "their times stay")
    #expect(events[2].wallTimeSeconds > before[2].wallTimeSeconds)
    #expect(events.map(\.scalars) == (try log(whole)).events.map(\.scalars))
    #expect(events.map(\.histograms) == (try log(whole)).events.map(\.histograms))
    let tags = fading == nil ? [] : ["scales/log10_score"]
    #expect(events.map { $0.histograms.map(\.tag) } == [tags, tags, tags, tags])
    let plot = try text(parts, "results.svg")
    #expect(plot == (try text(whole, "results.svg")) && !plot.contains("nan"))
    #expect(plot.contains("channels at zero") == (fading != nil) && plot.contains("class=\"heat\"") == (fading != nil))
    #expect(try text(parts, "results.csv") == text(whole, "results.csv"))
    #expect(try text(parts, "results.csv").split(separator: "\n").count == 5)

    // Goes on in an empty folder, as on another box.
    var elsewhere = try request("elsewhere")
    elsewhere.checkpoint = parts.checkpoint
    _ = try train(elsewhere, wallTimeSeconds: clock)
    #expect(try log(elsewhere).events.map(\.scalars) == events.map(\.scalars))
    #expect(try log(elsewhere).events.map(\.histograms) == events.map(\.histograms))
    #expect(try text(elsewhere, "results.csv") == text(whole, "results.csv"))

    // A new run in the same folder begins anew.
    var shorter = whole
    shorter.configuration.epochs = 1
    _ = try train(shorter, wallTimeSeconds: clock)
    #expect(try log(whole).events.map(\.step) == [0])
    #expect(try text(whole, "results.csv").split(separator: "\n").count == 2)
  }

  @Test("The hyper-parameters can be given to another run") func hyp() throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "hyp-\(UUID().uuidString).yaml")
    defer { try? FileManager.default.removeItem(at: file) }
    for preset in Hyperparameters.presets {
      try preset.values.yaml.yamlText.write(to: file, atomically: true, encoding: .utf8)
      #expect(try Hyperparameters(hypYAMLPath: file.path) == preset.values)
    }
  }

  private func text(_ request: TrainRequest, _ name: String) throws -> String {
    try String(contentsOf: URL(filePath: request.outputDirectory).appending(path: name), encoding: .utf8)
  }

  private func log(_ request: TrainRequest) throws -> EventFile {
    let folder = URL(filePath: request.outputDirectory)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.contains("tfevents") }
    #expect(names.count == 1)
    return try EventFile(
      decoding: [UInt8](Data(contentsOf: folder.appending(path: try #require(names.first)))), name: "log")
  }
}
