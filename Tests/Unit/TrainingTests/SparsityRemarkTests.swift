import Foundation
import Interchange
import Network
import Pruning
import Testing
import Training

@testable import Pipeline

@Suite struct SparsityRemarkTests {
  /// A network's scales: a tenth below `lower`, and a share of them near zero.
  private func scales(lower: Double, nearZero: Double = 0) -> ScaleSummary {
    ScaleSummary(zeroShare: 0, nearZeroShare: nearZero, lowerScale: lower, medianScale: 1, upperScale: 2)
  }

  private func remark(on scales: [ScaleSummary], rate: Double? = nil, fading: ChannelFading? = nil) -> String? {
    var configuration = TrainingConfiguration(epochs: 2)
    (configuration.sparsityRate, configuration.fading) = (rate, fading)
    return sparsityRemark(scales, configuration)
  }

  @Test func trainingThatMovesNothingIsToldWithTheRemedy() throws {
    let remark = try #require(self.remark(on: [scales(lower: 0.735), scales(lower: 0.729)], rate: 0.005))
    #expect(remark.contains("0.005 has had no effect") && remark.contains("0.7350") && remark.contains("0.7290"))
    #expect(remark.contains("--sparsify-target") && !remark.contains("\n"))
  }

  @Test func trainingThatMovesScalesIsNot() {
    #expect(remark(on: [scales(lower: 0.7), scales(lower: 0.5)], rate: 0.01) == nil)
    #expect(remark(on: [scales(lower: 0.7), scales(lower: 0.7, nearZero: 0.05)], rate: 0.01) == nil)
    #expect(remark(on: [scales(lower: 0.7)], rate: 0.01) == nil)
    #expect(remark(on: [scales(lower: 0.7), scales(lower: 0.7)]) == nil)
  }

  @Test func fadingThatFadesNothingIsToldWithTheRemedy() throws {
    let fading = ChannelFading(ratio: 0.001)
    let remark = try #require(self.remark(on: [scales(lower: 0.7)], fading: fading))
    #expect(remark.contains("a share of 0.001") && remark.contains("--sparsify-target") && !remark.contains("\n"))
    var faded = scales(lower: 0.7)
    faded.zeroShare = 0.1
    #expect(self.remark(on: [faded], fading: fading) == nil)
  }

  /// The remarks of whole runs: with too little of a penalty, with too small a share, and with an effect.
  @Test func aRunSaysWhetherItHadAnEffect() throws {
    let run = try TinyRun(images: 4)
    defer { run.remove() }
    let model = run.folder.appending(path: "start.safetensors").path
    try ModelFile(
      network: TinyRun.network, parameters: TinyRun.network.initialParameters(seed: 0), classNames: TinyRun.classNames
    ).write(to: model)
    func result(_ name: String, _ change: (inout TrainingConfiguration) -> Void) throws -> TrainResult {
      var configuration = TinyRun.configuration(epochs: 2)
      change(&configuration)
      let request = TrainRequest(
        start: .model(model), dataset: "data.yaml", configuration: configuration,
        outputDirectory: run.folder.appending(path: name).path, machine: Machine(threads: 1))
      return try train(request, on: run.data, onEvent: { _ in }, isCancelled: { false })
    }
    let plain = try result("plain") { _ in }
    #expect(plain.sparsityHadEffect == nil && plain.remarks == nil)
    let weak = try result("weak") { $0.sparsityRate = 1e-9 }
    #expect(weak.sparsityHadEffect == false && weak.remarks?.first?.contains("has had no effect") == true)
    let few = try result("few") { $0.fading = ChannelFading(ratio: 0.001) }
    #expect(few.sparsityHadEffect == false && few.remarks?.first?.contains("no channel has faded") == true)
    let faded = try result("faded") {
      $0.fading = ChannelFading(ratio: 0.3, method: PruningMethod(.grouped, importance: .taylor, minimumChannels: 2))
    }
    #expect(faded.sparsityHadEffect == true && faded.remarks == nil)
    #expect(try ModelFile.read(#require(faded.model)).map50 == faded.map50)
  }
}
