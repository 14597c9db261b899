import Interchange
import Network
import TestSupport
import Testing
import Zoo

/// The naive executor is the referee of faster ones, so it is held to the float64 numbers first. They are stored as
/// float32, whose rounding is all that may differ.
@Suite struct ReferenceForwardTests {
  @Test(arguments: ZooTests.familiesWithFixtures) func agreesWithFloat64(_ name: String) throws {
    let fixture = try Fixtures.safetensors("forward/\(ZooTests.fixtureNames[name]!).safetensors")
    let network = try Zoo.network(named: name, classCount: 14)
    var executor = try ReferenceExecutor(network, network.goldenParameters)
    let images = DeterministicValues.images()
    let heads = try executor.heads(images)
    for (level, head) in heads.enumerated() {
      expectClose(head.floats, fixture.tensors["f64.eval.head\(level)"]!.floats, absolute: 1e-7, relative: 2e-7)
    }
    expectClose(
      executor.decoded(heads).floats, fixture.tensors["f64.eval.decoded"]!.floats, absolute: 1e-7, relative: 2e-7)
    for (level, head) in try executor.heads(images, mode: .training).enumerated() {
      let expected = fixture.tensors["f64.train.head\(level)"]!
      #expect(head.shape == expected.shape)
      expectClose(head.floats, expected.floats, absolute: 1e-6, relative: 2e-7)
    }
    for (key, tensor) in fixture.tensors where key.hasPrefix("train.") && key.contains("running") {
      let name = String(key.dropFirst("train.".count))
      expectClose(executor.runningStatistics[name]!.map(Float.init), tensor.floats, absolute: 1.5e-5, name)
    }
  }

  /// Folding is exact but for rounding.
  @Test(arguments: ["yolov5n", "mobilenetv2"], [Folding.all, .yolov5])
  func foldingChangesNothing(_ name: String, _ folding: Folding) throws {
    let network = try Zoo.network(named: name, classCount: 14)
    let images = DeterministicValues.images(shape: [1, 3, 64, 64])
    var executor = try ReferenceExecutor(network, network.goldenParameters)
    let folded = try network.folded(network.goldenParameters, folding)
    #expect(folded.network.batchNormCount == (folding == .all || name == "yolov5n" ? 0 : 50))
    var foldedExecutor = try ReferenceExecutor(folded.network, folded.parameters)
    for (a, b) in zip(try executor.heads(images), try foldedExecutor.heads(images)) {
      expectClose(b.values, a.values, absolute: 1e-6)
    }
  }

  /// Folded weights and biases of the first layers, as YOLOv5's `fuse()` computes them.
  @Test func foldedWeights() throws {
    let fixture = try Fixtures.safetensors("forward/fused.safetensors")
    for (key, tensor) in fixture.tensors.sorted(by: { $0.key < $1.key }) where !key.contains("decoded") {
      let (fixtureName, parameter) = (key.prefix { $0 != "." }, key.drop { $0 != "." }.dropFirst())
      let name = ZooTests.fixtureNames.first { $0.value == fixtureName }!.key
      let network = try Zoo.network(named: name, classCount: 14)
      let folded = try network.folded(network.goldenParameters, .yolov5).parameters
      expectClose(folded[String(parameter)]!.values, tensor.floats, absolute: 1e-7, relative: 5e-7, key)
    }
  }
}

extension Network {
  fileprivate var batchNormCount: Int {
    nodes.count { if case .batchNorm = $0.operation { true } else { false } }
  }
}
