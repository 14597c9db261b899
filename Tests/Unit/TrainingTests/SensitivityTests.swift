import Dataset
import Foundation
import Interchange
import Network
import Pipeline
import Platform
import Pruning
import Testing

@Suite struct SensitivityTests {
  /// Each layer has a row; what is written agrees with what is reported, and nothing that is read is written over.
  @Test func everyLayerIsMeasured() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sensitivity-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    var sample = SampleDataset()
    (sample.trainCount, sample.valCount, sample.imageSize, sample.classCount) = (4, 3, 64, 2)
    let data = try sample.write(to: folder.appending(path: "data").path)
    let model = folder.appending(path: "model.safetensors").path
    try ModelFile(
      network: TinyRun.network, parameters: TinyRun.network.initialParameters(seed: 0),
      classNames: sample.classNames
    ).write(to: model)
    var request = SensitivityRequest(
      model: model, dataset: data, imageSize: 64, machine: Machine(threads: 1),
      outputDirectory: folder.appending(path: "out").path)
    request.imageLimit = 2
    var steps: [Int] = []
    let report = try sensitivity(request) { done, total in
      #expect(total == 1 + 5 * 4)
      steps.append(done)
    }
    #expect(steps == Array(1...21))
    #expect(report.images == 2 && report.layers.map(\.channels) == [8, 8, 12, 16, 16])
    #expect(report.layers.map(\.batchNorms) == (0..<5).map { ["model.\($0).bn"] })
    #expect(report.layers.allSatisfy { $0.map50.count == 4 && $0.map50.allSatisfy { (0...1).contains($0) } })
    let csv = try String(contentsOfFile: report.files[0], encoding: .utf8).split(separator: "\n")
    #expect(csv.count == 21 && csv[1].hasPrefix("model.0.bn,8,0.2,"))
    let svg = try String(contentsOfFile: report.files[1], encoding: .utf8)
    #expect(svg.components(separatedBy: "class=\"heat\"").count == 1 + 20)
    #expect(svg.contains("model.4.bn") && !svg.contains("nan"))

    request.outputDirectory = folder.appending(path: "in").path
    try FileManager.default.createDirectory(atPath: request.outputDirectory, withIntermediateDirectories: true)
    request.model = folder.appending(path: "in/sensitivity.csv").path
    try FileManager.default.copyItem(atPath: model, toPath: request.model)
    #expect(throws: OverwritingError.self) { try sensitivity(request) { _, _ in } }
  }
}
