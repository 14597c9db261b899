import Network
import TestSupport
import Testing
import Zoo

/// Structure of the ten networks against `model_zoo.json`: names, shapes, order, counts and costs to the digit.
@Suite struct ZooTests {
  static let fixtureNames = [
    "yolov5n": "yolov5n", "yolov5s": "yolov5s", "yolov5m": "yolov5m", "yolov5l": "yolov5l", "yolov5x": "yolov5x",
    "mobilenetv2": "MobileNetv2", "mobilenetv3-small": "MobileNetv3_small", "mobilenetv3-large": "MobileNetv3_large",
    "shufflenetv2": "ShuffleNet", "ghostnet": "yolov5s-ghost",
  ]
  static let names = fixtureNames.keys.sorted()
  /// One of every family.
  static let families = [
    "yolov5n", "mobilenetv1", "mobilenetv2", "mobilenetv3-small", "mobilenetv3-large", "shufflenetv1", "shufflenetv2",
    "ghostnet",
  ]
  static let familiesWithFixtures = families.filter { fixtureNames[$0] != nil }
  static let fixture = Result { try Fixtures.json("model_zoo.json") }

  func golden(_ name: String) throws -> Fixture { try Self.fixture.get()[Self.fixtureNames[name]!] }

  /// The two families that the reference lacks are derived from their papers' tables (`PaperTableTests`).
  @Test func everyNetworkHasItsFixture() {
    #expect(Set(Zoo.names) == Set(Self.names + ["mobilenetv1", "shufflenetv1"]))
  }

  @Test(arguments: Self.names) func stateDictHasNamesShapesAndOrder(_ name: String) throws {
    let specs = try Zoo.network(named: name, classCount: 14).parameterSpecs
    let expected = try golden(name)["state_dict"].array.map { ($0[0].string, $0[1].ints) }
    #expect(specs.map(\.name) == expected.map(\.0))
    #expect(specs.map(\.shape) == expected.map(\.1))
  }

  @Test(arguments: Self.names, [14, 80]) func countsAndCosts(_ name: String, classCount: Int) throws {
    let network = try Zoo.network(named: name, classCount: classCount)
    try network.check()
    let expected = try golden(name)["nc\(classCount)"]
    #expect(network.parameterCount == expected["parameters"].int)
    #expect(network.folded(.yolov5).parameterCount == expected["fused"]["parameters"].int)
    #expect(network.moduleCount == expected["layers"].int)
    #expect(network.folded(.yolov5).moduleCount == expected["fused"]["layers"].int)
    func gflops(_ json: Fixture) -> Double { json["gflops_640"]["thop 0.1.1.post2209072238"].double }
    expectClose(try network.gflops(imageSize: 640), gflops(expected), absolute: 1e-5)
    expectClose(try network.folded(.yolov5).gflops(imageSize: 640), gflops(expected["fused"]), absolute: 1e-5)

    let bias = expected["initial_bias_added"]
    expectClose((0..<3).map(network.detect.objectnessBias), bias["obj"].floats, absolute: 1e-6)
    expectClose(network.detect.classBias, bias["cls"].float, absolute: 1e-6)
  }

  @Test(arguments: Self.names) func layersAt640(_ name: String) throws {
    let layers = try Zoo.network(named: name, classCount: 14).layers(height: 640, width: 640)
    let expected = try golden(name)["layers640"].array
    #expect(layers.count == expected.count)
    for (layer, expected) in zip(layers, expected) {
      #expect(layer.type == expected["type"].string)
      #expect(layer.parameterCount == expected["parameters"].int, "\(layer.path)")
      if expected["type"].string == "Detect" {
        let shapes = layer.outputs.map { [1, 3, $0.height, $0.width, $0.channels / 3] }
        #expect(shapes == expected["out"].array.map(\.ints))
      } else {
        #expect(layer.outputs.map { [1, $0.channels, $0.height, $0.width] } == [expected["out"].ints], "\(layer.path)")
      }
    }
  }

  @Test(arguments: Self.names) func anchorsAndBatchNormsLeftAlone(_ name: String) throws {
    let network = try Zoo.network(named: name, classCount: 14)
    let expected = try golden(name)
    let anchors = expected["anchors_buffer"].array.flatMap { $0.array.flatMap(\.floats) }
    #expect(network.detect.anchorsTensor.values == anchors)
    #expect(Set(network.sparsityExcludedBatchNorms) == Set(expected["ignored_bn"].strings))
  }

  @Test(arguments: ["yolov5n", "mobilenetv2"]) func fusedStateDict(_ name: String) throws {
    let expected = try Fixtures.json("forward/fused.json")[Self.fixtureNames[name]!]["state_dict"].array
    let specs = try Zoo.network(named: name, classCount: 14).folded(.yolov5).parameterSpecs
    let pairs = specs.map { ($0.name, $0.shape) }.sorted { $0.0 < $1.0 }
    let expectedPairs = expected.map { ($0[0].string, $0[1].ints) }.sorted { $0.0 < $1.0 }
    #expect(pairs.map(\.0) == expectedPairs.map(\.0))
    #expect(pairs.map(\.1) == expectedPairs.map(\.1))
  }
}
